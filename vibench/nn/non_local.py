"""Non-local attention without softmax."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.nn.precision import at_least_float32


class NonLocal(nn.Module):
    """Every position receives a weighted sum over all positions, added to the input.

    With N = H*W positions and 1x1 convolutions theta, phi, g from ``channels`` to ``inner`` channels, the affinity is
    the dot product A = theta^T phi / N, and out = x + BN(expand(A g)). The norm starts at zero, so the block starts
    as the identity. Wang et al., "Non-local Neural Networks", CVPR 2018, Eq. (1) and (4), in the form of AGW
    (Ye et al., TPAMI 2021, Sec. 4).

    A is never built: by associativity A g = theta^T (phi g^T / N), an ``inner`` x ``inner`` product.
    """

    def __init__(self, channels: int, inner: int = 1) -> None:
        super().__init__()
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.expand = nn.Conv2d(inner, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)
        nn.init.zeros_(self.norm.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = features.shape[2:]
        # One convolution for all three, so that the map is read once, and takes one gradient.
        weight, bias = (
            torch.cat([getattr(projection, name) for projection in (self.theta, self.phi, self.g)])
            for name in ("weight", "bias")
        )
        theta, phi, g = functional.conv2d(features, weight, bias).flatten(2).chunk(3, dim=1)
        # A product of three maps, summed over all positions, leaves the range of half precision.
        with torch.autocast(features.device.type, enabled=False):
            theta, phi, g = (at_least_float32(projected) for projected in (theta, phi, g))
            summary = phi @ (g / (height * width)).transpose(1, 2)
            attended = summary.transpose(1, 2) @ theta
        # A linear layer leaves channels last, as the map has them; a convolution of one channel cannot know of it.
        expanded = functional.linear(attended.to(features.dtype).mT, self.expand.weight.flatten(1), self.expand.bias)
        return features + self.norm(expanded.mT.unflatten(2, (height, width)))
