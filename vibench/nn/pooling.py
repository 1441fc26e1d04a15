"""Global pooling: a feature map (B, C, H, W) becomes one feature (B, C).

PyTorch's own gradients of means fill a whole map with equal numbers, in rows of columns even where the network keeps
its channels last, and every layer below then copies or strides. Those here are views of one number per mean, which
whatever reads them next puts into its own order.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.nn.precision import at_least_float32


class AveragePool(nn.Module):
    """Global average pooling."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C), float32 at least."""
        return _PositionMeans.apply(features)


class MaxPool(nn.Module):
    """Global maximum pooling."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C), float32 at least."""
        return functional.adaptive_max_pool2d(at_least_float32(features), 1).flatten(1)


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


def row_means(maps: Tensor) -> Tensor:
    """The mean over every row of maps (B, C, H, W): (B, C, H)."""
    return _RowMeans.apply(maps)


def row_power_means(maps: Tensor, p: float) -> Tensor:
    """The mean of x^p over every row of maps (B, C, H, W): (B, C, H).

    Its gradient takes one new map and two passes, where that of ``pow`` and ``mean`` takes three and four.
    """
    return _RowPowerMeans.apply(maps, p)


def _mean_of_rows(maps: Tensor) -> Tensor:
    # Several times faster than ``mean(dim=3)`` where channels come last.
    return functional.adaptive_avg_pool2d(maps, (maps.shape[2], 1)).squeeze(3)


class _PositionMeans(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.shape, ctx.dtype = maps.shape, maps.dtype
        return maps.mean(dim=(2, 3), dtype=torch.promote_types(maps.dtype, torch.float32))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        height, width = ctx.shape[2:]
        return (gradients[0] / (height * width)).to(ctx.dtype)[:, :, None, None].expand(ctx.shape)


class _RowMeans(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        ctx.width = maps.shape[3]
        ctx.layout = (
            torch.channels_last if maps.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format
        )
        return _mean_of_rows(maps)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # Not a view: a sum of two views, where the map is also pooled as a whole, comes out in neither order.
        return (gradients[0] / ctx.width)[..., None].expand(-1, -1, -1, ctx.width).contiguous(memory_format=ctx.layout)


class _RowPowerMeans(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, p: float) -> Tensor:
        ctx.save_for_backward(maps)
        ctx.p = p
        return _mean_of_rows(maps.pow(p))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (maps,) = ctx.saved_tensors
        return maps.pow(ctx.p - 1.0).mul_((gradients[0] * (ctx.p / maps.shape[3]))[..., None]), None
