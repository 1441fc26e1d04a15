"""Modality learning of MPANet: a classifier per modality, and its temporal mean that teaches the other one.

Wu et al., "Discover Cross-Modality Nuances for Visible-Infrared Person Re-Identification", CVPR 2021, in the form of
the official code.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.losses import identity_loss
from vibench.modality import INFRARED, MODALITIES, VISIBLE, other
from vibench.nn.precision import at_least_float32

SLOWDOWN_EPOCH = 100
"""Epoch (from 1) from which on the temporal means follow ever more slowly."""


class ModalityLearning(nn.Module):
    """Classifiers C_V and C_I of the two modalities and their temporal means, which no gradient reaches.

    Sub-modules ``classifiers`` and ``means``, each with ``visible`` and ``infrared``: linear without bias, PyTorch's
    initialisation; the means start as copies.
    """

    epochs_trained: Tensor

    def __init__(self, features: int, num_classes: int, rate: float) -> None:
        """``rate``: of the temporal means, rho of `update_means`."""
        super().__init__()
        self.rate = rate
        self.classifiers = nn.ModuleDict(
            {modality: nn.Linear(features, num_classes, bias=False) for modality in MODALITIES}
        )
        self.means = copy.deepcopy(self.classifiers).requires_grad_(False)
        self.register_buffer("epochs_trained", torch.zeros((), dtype=torch.int64))

    def forward(
        self, visible: Tensor, infrared: Tensor, visible_labels: Tensor, infrared_labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """L_V + L_I, and L_KL of g of either modality, (B_V, D) and (B_I, D), with labels (B_V,) and (B_I,).

        L_V and L_I are cross-entropies of each modality under its own classifier. L_KL = KL(q || q'), the mean over all
        images of sum q (log q - log q'): q is the softmax of the own modality's classifier, q' that of the other
        modality's temporal mean. The gradient flows through q, into features and classifiers; q' has none. The paper
        calls the two heads mutual, the official code has this one direction.
        """
        if self.training:
            self.update_means()
        features = {VISIBLE: visible, INFRARED: infrared}
        logits = {modality: self.classifiers[modality](features[modality]) for modality in MODALITIES}
        with torch.no_grad():
            taught = torch.cat([self.means[other(modality)](features[modality]) for modality in MODALITIES])
        labelled = ((logits[VISIBLE], visible_labels), (logits[INFRARED], infrared_labels))
        identity = torch.stack([identity_loss(*pair) for pair in labelled]).sum()
        own = functional.log_softmax(at_least_float32(torch.cat([logits[modality] for modality in MODALITIES])), dim=1)
        target = functional.log_softmax(at_least_float32(taught), dim=1)
        return identity, (own.exp() * (own - target)).sum(dim=1).mean()

    @torch.no_grad()
    def update_means(self) -> None:
        """mean <- (1 - rho) mean + rho classifier, rho = rate * min(100 / (e + 1), 1) in epoch e, counted from 1.

        Done at every training step before the means are used. The paper keeps rho constant; in its 140 epochs the
        official code lets it fall from 0.2 to 0.14.
        """
        # On the device: reading the counter would make the host wait for a GPU.
        rate = self.rate * (SLOWDOWN_EPOCH / (self.epochs_trained + 2)).clamp(max=1.0)
        for mean, current in zip(self.means.parameters(), self.classifiers.parameters(), strict=True):
            mean.lerp_(current, rate.to(mean.dtype))
