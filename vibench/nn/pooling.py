"""Global pooling: a feature map (B, C, H, W) becomes one feature (B, C)."""

from __future__ import annotations

from typing import Any

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
        maps = at_least_float32(features)
        powers = (
            maps.pow(self.p).mean(dim=(2, 3))
            if isinstance(self.p, Tensor)
            else row_power_means(maps, self.p).mean(dim=2)
        )
        return (powers + self.eps).pow(1.0 / self.p)


def row_power_means(maps: Tensor, p: float) -> Tensor:
    """The mean of x^p over every row of maps (B, C, H, W): (B, C, H).

    Its gradient takes one new map and two passes, where that of ``pow`` and ``mean`` takes three and four.
    """
    return _RowPowerMeans.apply(maps, p)


class _RowPowerMeans(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, p: float) -> Tensor:
        ctx.save_for_backward(maps)
        ctx.p = p
        return maps.pow(p).mean(dim=3)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (maps,) = ctx.saved_tensors
        return maps.pow(ctx.p - 1.0).mul_((gradients[0] * (ctx.p / maps.shape[3]))[..., None]), None
