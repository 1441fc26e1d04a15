"""The adversaries of cm-SSFT, and the reversal of the gradient that sets the network against them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vibench.losses import identity_loss
from vibench.modality import CODE, MODALITIES
from vibench.nn.precision import at_least_float32


def reverse_gradient(features: Tensor, factor: float) -> Tensor:
    """``features`` unchanged; their gradient is multiplied by ``-factor`` on its way back.

    Ganin, Lempitsky, "Unsupervised Domain Adaptation by Backpropagation", ICML 2015.
    """
    return _ReverseGradient.apply(features, factor)


class _ReverseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return -ctx.factor * gradients[0], None


class ModalityDiscriminator(nn.Module):
    """Tells the modality of a shared feature H: fully connected layers with batch norm and LeakyReLU between them."""

    def __init__(self, features: int, dims: Sequence[int]) -> None:
        """``dims``: widths of the hidden layers."""
        super().__init__()
        widths = (features, *dims)
        layers: list[nn.Module] = []
        for width, wider in zip(widths[1:], widths, strict=False):
            layers += [nn.Linear(wider, width), nn.BatchNorm1d(width), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], len(MODALITIES)))

    def forward(self, shared: Tensor) -> Tensor:
        """(B, D) -> logits (B, 2), in the order of `vibench.modality.CODE`."""
        return self.layers(shared)

    def loss(self, shared: Tensor, modality: Tensor) -> Tensor:
        """L_ma, Eq. (14): cross-entropy of the logits against ``modality`` (B,)."""
        return identity_loss(self(shared), modality)


class ProjectionAdversary(nn.Module):
    """Predicts an image's shared feature H from its specific one P by a matrix Theta per modality."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.theta = nn.ModuleDict({modality: nn.Linear(features, features, bias=False) for modality in MODALITIES})

    def forward(self, specific: Tensor, modality: Tensor) -> Tensor:
        """(B, D) with the codes ``modality`` (B,) -> Theta^m P (B, D), float32 at least."""
        visible, infrared = (at_least_float32(self.theta[name](specific)) for name in MODALITIES)
        return torch.where((modality == CODE[MODALITIES[0]])[:, None], visible, infrared)

    def loss(self, specific: Tensor, shared: Tensor, modality: Tensor) -> Tensor:
        """L_pa, Eq. (15): mean over the images of the length, not squared, of Theta^m P - H."""
        return torch.linalg.vector_norm(self(specific, modality) - shared, dim=1).mean()
