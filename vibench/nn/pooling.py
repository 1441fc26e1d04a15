"""Global pooling: a feature map (B, C, H, W) becomes one feature (B, C)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vibench.nn.precision import at_least_float32


class AveragePool(nn.Module):
    """Global average pooling."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C), float32 at least."""
        return at_least_float32(features).mean(dim=(2, 3))


class MaxPool(nn.Module):
    """Global maximum pooling."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C), float32 at least."""
        return at_least_float32(features).amax(dim=(2, 3))


class GeneralisedMeanPool(nn.Module):
    """Generalised-mean pooling (GeM): f_c = (mean over positions of x_c^p + eps)^(1/p) for maps x >= 0.

    p = 1 is average pooling, p -> infinity maximum pooling. Radenovic, Tolias, Chum, "Fine-tuning CNN Image Retrieval
    with No Human Annotation", TPAMI 2019; in AGW (Ye et al., TPAMI 2021, Sec. 4) with p = 3. A fixed exponent is no
    entry of the state dict, a learnable one is ``p``.
    """

    p: Tensor | float

    def __init__(self, p: float = 3.0, learnable: bool = False, eps: float = 1e-12) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p])) if learnable else p
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C), float32 at least: x^p overflows and eps vanishes in half precision."""
        powers = at_least_float32(features).pow(self.p)
        return (powers.mean(dim=(2, 3)) + self.eps).pow(1.0 / self.p)
