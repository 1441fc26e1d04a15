"""Identity loss: classification among the training identities."""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor

from vibench.nn.precision import at_least_float32


def identity_loss(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy of ``logits`` (B, C) against ``labels`` (B,), without smoothing unless asked for.

    With smoothing epsilon the targets are (1 - epsilon) * one-hot + epsilon / C.
    """
    return functional.cross_entropy(at_least_float32(logits), labels, label_smoothing=label_smoothing)
