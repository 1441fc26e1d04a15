"""Where the part vectors of an image come from: mined regions (DRM), horizontal stripes, or learnt vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.nn.precision import at_least_float32
from vibench.nn.stripes import StripePool

SCALES = (1, 3, 5)
"""Kernels of the max-pooling in front of the part scores."""

Pooling = Literal["strided", "sliding"]


@dataclass(frozen=True)
class Regions:
    """The parts of a batch of images."""

    vectors: Tensor
    """(B, N, C) float32 at least: P, one vector per part."""
    scores: Tensor | None = None
    """(B, N, L): the selected scores over the L positions that the vectors are weighted means by; of `RegionMining`."""


class RegionMining(nn.Module):
    """Discriminative region mining (DRM): a learnt prototype per part scores the positions, the best are averaged.

    Wu et al., "Learning Concordant Attention via Target-aware Alignment ..." (CAL), ICCV 2023, Sec. 3.2.1. The map is
    max-pooled at three scales, resized back and concatenated; a 1x1 convolution without bias, whose rows are the
    prototypes, and a softmax over the positions give the scores S of each part, of which all but the top
    N_k = ceil(alpha * L / N) are set to 0 (Eq. (3)).

    Each scale meets its third of the convolution before it is resized, which is the same because both are linear and
    saves maps of 3 C channels. ``strided``: kernel-sized strides in ceil mode and a bilinear resize; ``sliding``:
    stride 1 with padding, no resize.
    """

    def __init__(self, channels: int, parts: int, alpha: float = 0.6, pooling: Pooling = "strided") -> None:
        super().__init__()
        self.alpha = alpha
        self.pooling = pooling
        self.prototypes = nn.Conv2d(len(SCALES) * channels, parts, 1, bias=False)

    def forward(self, maps: Tensor) -> Regions:
        """Maps (B, C, h, w) -> N part vectors each, and their selected scores over L = h * w positions, row by row."""
        with torch.autocast(maps.device.type, enabled=False):
            maps = at_least_float32(maps)
            scores = self.part_scores(maps)
            kept = scores.topk(selected_count(scores.shape[2], scores.shape[1], self.alpha), dim=2)
            selected = torch.zeros_like(scores).scatter(2, kept.indices, kept.values)
            vectors = selected @ maps.flatten(2).transpose(1, 2) / selected.sum(dim=2, keepdim=True)
            return Regions(vectors, selected)

    def part_scores(self, maps: Tensor) -> Tensor:
        """S (B, N, L) of maps (B, C, h, w); a part's scores sum to 1 over the positions."""
        weights = self.prototypes.weight.to(maps.dtype).chunk(len(SCALES), dim=1)
        logits = [self._at_scale(maps, scale, weight) for scale, weight in zip(SCALES, weights, strict=True)]
        return torch.stack(logits).sum(dim=0).flatten(2).softmax(dim=2)

    def _at_scale(self, maps: Tensor, scale: int, weight: Tensor) -> Tensor:
        if scale == 1:
            return functional.conv2d(maps, weight)
        if self.pooling == "sliding":
            return functional.conv2d(functional.max_pool2d(maps, scale, stride=1, padding=scale // 2), weight)
        scored = functional.conv2d(functional.max_pool2d(maps, scale, ceil_mode=True), weight)
        return functional.interpolate(scored, size=maps.shape[2:], mode="bilinear", align_corners=False)


class StripeRegions(nn.Module):
    """Horizontal stripes of the map, averaged, in place of mined regions."""

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.pool = StripePool(parts, "avg")

    def forward(self, maps: Tensor) -> Regions:
        """Maps (B, C, h, w) -> one vector per stripe, from top to bottom."""
        return Regions(self.pool(maps).transpose(1, 2))


class LearntRegions(nn.Module):
    """Learnt vectors, the same for all images, in place of mined regions; drawn from N(0, 1)."""

    def __init__(self, channels: int, parts: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(parts, channels))

    def forward(self, maps: Tensor) -> Regions:
        """Maps (B, C, h, w) -> the vectors, once per image."""
        return Regions(self.vectors.expand(len(maps), -1, -1))


def selected_count(positions: int, parts: int, alpha: float) -> int:
    """N_k = ceil(alpha * positions / parts), from 1 to ``positions``."""
    # The product of a decimal fraction may end up just above a whole number.
    return min(max(math.ceil(alpha * positions / parts - 1e-9), 1), positions)
