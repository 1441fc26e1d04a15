"""Horizontal stripes of a feature map, each with a feature and a classifier of its own (PCB)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.nn.pooling import row_means, row_power_means
from vibench.nn.precision import at_least_float32

StripePooling = Literal["avg", "max", "gem"]


class StripePool(nn.Module):
    """Pools a map over each of ``stripes`` horizontal stripes; one stripe is the whole map.

    ``gem`` is the generalised mean with the fixed exponent ``p``, (mean of x^p + 1e-12)^(1/p). A height that does not
    divide by ``stripes`` gives stripes that overlap by a row, as in adaptive pooling.
    """

    def __init__(self, stripes: int, kind: StripePooling = "gem", p: float = 3.0, eps: float = 1e-12) -> None:
        super().__init__()
        self.stripes = stripes
        self.kind = kind
        self.p = p
        self.eps = eps

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, stripes), from top to bottom, float32 at least."""
        maps = at_least_float32(maps)
        if self.kind == "max":
            return _maxima(maps, self.stripes)
        if self.kind == "avg":
            return stripe_means(maps, self.stripes)
        powers = _means(row_power_means(maps, self.p), self.stripes)
        return (powers + self.eps).pow(1.0 / self.p)


def stripe_means(maps: Tensor, stripes: int) -> Tensor:
    """The mean of maps (B, C, H, W) over each of so many horizontal stripes: (B, C, stripes)."""
    return _means(row_means(maps), stripes)


def _maxima(maps: Tensor, stripes: int) -> Tensor:
    """The largest value of maps (B, C, H, W) in each stripe: (B, C, stripes); as adaptive pooling, see `_means`."""
    height, width = maps.shape[2:]
    if height % stripes == 0:
        return functional.max_pool2d(maps, (height // stripes, width)).squeeze(3)
    parts = (maps[:, :, stripe] for stripe in _stripes(height, stripes))
    return torch.stack([part.flatten(2).max(dim=2).values for part in parts], dim=2)


def _means(rows: Tensor, stripes: int) -> Tensor:
    """The mean of values of rows (B, C, H) over each stripe: (B, C, stripes).

    As adaptive pooling, whose gradient CUDA cannot repeat.
    """
    return torch.stack([rows[:, :, stripe].mean(dim=2) for stripe in _stripes(rows.shape[2], stripes)], dim=2)


def _stripes(height: int, stripes: int) -> list[slice]:
    """The rows of each stripe, from the last whole one above its upper bound to the first below its lower one."""
    return [slice(place * height // stripes, -(-(place + 1) * height // stripes)) for place in range(stripes)]


class StripeHead(nn.Module):
    """Stripe features: pooling, then per stripe a 1x1 convolution, batch norm and ReLU of its own.

    Sun et al., "Beyond Part Models: Person Retrieval with Refined Part Pooling" (PCB), ECCV 2018, in the form of the
    official code of the hetero-centre triplet loss (Liu et al., IEEE TMM 2020). Convolutions have a bias and start
    from Kaiming-normal weights.
    """

    def __init__(self, channels: int, stripes: int, dim: int, pool: StripePooling = "gem", p: float = 3.0) -> None:
        super().__init__()
        self.pool = StripePool(stripes, pool, p)
        self.embed = nn.ModuleList(_stripe_embedding(channels, dim) for _ in range(stripes))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, stripes, dim), float32 at least."""
        convolutions, norms, activations = zip(*self.embed, strict=True)
        weights = torch.stack([convolution.weight.flatten(1) for convolution in convolutions])
        biases = torch.stack([convolution.bias for convolution in convolutions])
        # All convolutions in one product: a stripe has a single position.
        embedded = torch.baddbmm(biases[:, None], self.pool(maps).permute(2, 0, 1), weights.mT)[:, :, :, None, None]
        parts = zip(activations, norms, embedded, strict=True)
        features = [activation(norm(stripe)) for activation, norm, stripe in parts]
        return at_least_float32(torch.stack(features, dim=1).flatten(2))


def stripe_classifiers(stripes: int, dim: int, num_classes: int) -> nn.ModuleList:
    """One linear layer with bias per stripe, weights drawn from N(0, 0.001), biases 0."""
    return nn.ModuleList(_stripe_classifier(dim, num_classes) for _ in range(stripes))


def _stripe_embedding(channels: int, dim: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, dim, 1)
    nn.init.kaiming_normal_(convolution.weight)
    return nn.Sequential(convolution, nn.BatchNorm2d(dim), nn.ReLU())


def _stripe_classifier(dim: int, num_classes: int) -> nn.Linear:
    classifier = nn.Linear(dim, num_classes)
    nn.init.normal_(classifier.weight, 0.0, 0.001)
    nn.init.zeros_(classifier.bias)
    return classifier
