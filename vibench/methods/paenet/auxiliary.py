"""Attribute-based auxiliary learning (AAL) of PAENet: classifiers of the attributes, in training only."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.nn.neck import identity_classifier

AuxiliaryForm = Literal["paper", "code"]


class AttributeAuxiliary(nn.Module):
    """One binary classifier per attribute on what the gates of the progressive embedding select.

    ``paper``: W = sigmoid([w_1 f, ..., w_n f]), f_atr = FC(W * [f, ..., f]) (Eq. (8)), and all classifiers read f_atr.
    ``code``: the classifiers read the gates themselves, classifier i that of attribute i; since gates are computed
    from the code, that supervises little.
    """

    def __init__(self, channels: int, attributes: int, form: AuxiliaryForm) -> None:
        super().__init__()
        self.attributes = attributes
        self.fuse = nn.Linear(attributes * channels, channels) if form == "paper" else None
        self.classifiers = nn.ModuleList(identity_classifier(channels, 1) for _ in range(attributes))

    def forward(self, gates: Tensor, pooled: Tensor) -> Tensor:
        """Gates (B, n, C) or (B, 1, C) and pooled feature f (B, C) -> logits (B, n), float32."""
        gates = gates.expand(-1, self.attributes, -1)
        if self.fuse is None:
            rows = gates.unbind(1)
        else:
            # Pooling of a map whose channels are scaled scales the pooled feature.
            scores = (gates * pooled[:, None]).sigmoid()
            rows = (self.fuse((scores * pooled[:, None]).flatten(1)),) * self.attributes
        logits = [classifier(row) for classifier, row in zip(self.classifiers, rows, strict=True)]
        return torch.cat(logits, dim=1).float()


def attribute_loss(logits: Tensor, attributes: Tensor, known: Tensor) -> Tensor:
    """L_atr: binary cross-entropy, mean over the attributes of the images whose labels are ``known`` (B,).

    ``logits`` and ``attributes`` (B, n). Eq. (9) prints the positive term alone; the paper's text and the official
    code mean both. 0 where no label is known.
    """
    each = functional.binary_cross_entropy_with_logits(logits.float(), attributes, reduction="none")
    counted = known.to(each.dtype)[:, None]
    return (counted * each).sum() / (counted.sum() * logits.shape[1]).clamp(min=1.0)
