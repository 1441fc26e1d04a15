"""Multi-stage feature aggregation (MFA): a stage's map looks at the map of the stage before.

Zhang and Wang, "Diverse Embedding Expansion Network and Low-Light Cross-Modality Benchmark for Visible-Infrared Person
Re-Identification", CVPR 2023. Both blocks are non-local blocks without softmax whose queries come from the high map
(B, D_h, H_h, W_h) and whose keys and values come from the low one (B, D_l, H_l, W_l): D_h channels at the resolution
of the low map divided by the stride. Both end in x_h + BN(expand(y)), and the norm starts at zero, so that an
aggregation starts as the identity. Affinities are never built over positions: a product is taken in the order that
keeps it channels by channels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from vibench.nn.precision import at_least_float32

Blocks = Literal["none", "cnl", "pnl", "both"]
"""Which blocks aggregate: none, channel, position, or channel and then position."""

Reshape = Literal["code", "plain"]
"""How the position block lays out its tokens, see `PositionBlock`."""


class _CrossBlock(nn.Module, ABC):
    """Projections and closing norm that both blocks have."""

    def __init__(self, high: int, low: int, inner: int, key_stride: int, expand_stride: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(high, inner, 1)
        self.phi = nn.Conv2d(low, inner, 1, stride=key_stride)
        self.g = nn.Conv2d(low, inner, 1)
        self.expand = nn.Conv2d(inner, high, 1, stride=expand_stride)
        self.norm = nn.BatchNorm2d(high)
        nn.init.zeros_(self.norm.weight)
        nn.init.zeros_(self.norm.bias)

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """The high map (B, D_h, H_h, W_h) with what it found in the low one; shape as ``high``."""
        projected = self.theta(high), self.phi(low), self.g(low)
        # Products of three maps, summed over channels or positions, leave the range of half precision.
        with torch.autocast(high.device.type, enabled=False):
            theta, phi, g = (at_least_float32(each) for each in projected)
            attended = self.attend(theta, phi, g)
        return high + self.norm(self.expand(attended.to(high.dtype)))

    @abstractmethod
    def attend(self, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
        """What the high map finds in the low one, from their projections; a subclass says along which axis."""


class ChannelBlock(_CrossBlock):
    """Every channel gets a weighted sum over all channels of the low map (CNL).

    A = theta phi^T / D_l is D_l x D_l, summed over the positions of the high map; y = A g at the low resolution.
    """

    def __init__(self, high: int, low: int, stride: int) -> None:
        super().__init__(high, low, low, stride, stride)

    def attend(self, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
        affinity = theta.flatten(2) @ phi.flatten(2).transpose(1, 2) / theta.shape[1]
        return (affinity @ g.flatten(2)).view_as(g)


class PositionBlock(_CrossBlock):
    """Every position gets a weighted sum over all positions of the low map (PNL).

    With ``plain`` tokens, a token is the D_l / 2 values of a position, and y = theta^T phi g^T / (number of low
    tokens). The official code reshapes a map (D_l / 2, N) to (D_l, N / 2) instead, so that a token holds the values of
    position p and of position p + N / 2 together. That is an oversight, but the printed numbers come from it: it is
    the form ``code``, and needs an even number of positions in both maps.
    """

    def __init__(self, high: int, low: int, reshape: Reshape = "code") -> None:
        super().__init__(high, low, low // 2, 1, 1)
        self.rows_per_channel = 2 if reshape == "code" else 1

    def attend(self, theta: Tensor, phi: Tensor, g: Tensor) -> Tensor:
        batch, channels, height, width = theta.shape
        rows = channels * self.rows_per_channel
        theta, phi, g = (each.reshape(batch, rows, -1) for each in (theta, phi, g))
        summary = g @ phi.transpose(1, 2) / phi.shape[2]
        return (summary @ theta).reshape(batch, channels, height, width)


class Aggregation(nn.Module):
    """The channel block and then the position block between two maps, as far as they are wanted."""

    def __init__(self, high: int, low: int, stride: int, blocks: Blocks = "both", reshape: Reshape = "code") -> None:
        """``high`` and ``low`` are channels; ``stride`` is the resolution of the low map over that of the high one."""
        super().__init__()
        self.channel = ChannelBlock(high, low, stride) if blocks in ("cnl", "both") else None
        self.position = PositionBlock(high, low, reshape) if blocks in ("pnl", "both") else None

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """Shape as ``high``."""
        for block in (self.channel, self.position):
            if block is not None:
                high = block(high, low)
        return high
