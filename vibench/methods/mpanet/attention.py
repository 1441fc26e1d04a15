"""The attention of MPANet: against the modality in the channels, and for patterns in the positions.

Wu et al., "Discover Cross-Modality Nuances for Visible-Infrared Person Re-Identification", CVPR 2021.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vibench.nn.pooling import AveragePool
from vibench.nn.precision import at_least_float32

REDUCTION = 16
EPS = 1e-5
"""Of the instance norm, PyTorch's default."""


class ModalityAlleviation(nn.Module):
    """Modality alleviation (MAM): instance normalisation of those channels that the image asks it for.

    With m = sigmoid(W2 relu(W1 avgpool(x))) per channel, out = m x + (1 - m) IN(x). The instance norm has neither
    scale nor running statistics, so testing is as training. W1 and W2 are 1x1 convolutions without bias, to
    ``channels`` / 16 and back, drawn from Kaiming's normal distribution (fan-out).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // REDUCTION, 1, bias=False)
        self.excite = nn.Conv2d(channels // REDUCTION, channels, 1, bias=False)
        self.pool = AveragePool()
        for convolution in (self.squeeze, self.excite):
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        mask = self.excite(self.squeeze(self.pool(features)[:, :, None, None]).relu()).sigmoid()
        return _TowardsInstanceNorm.apply(features, mask)


class _TowardsInstanceNorm(torch.autograd.Function):
    """m x + (1 - m) IN(x), of maps x (B, C, H, W) and masks m (B, C, 1, 1), computed in float32 at least.

    As IN(x) = r (x - mean) with r = 1 / sqrt(variance + eps), it is (m + (1 - m) r) (x - mean) + m mean: one pass over
    the map, and its gradient another, where the modules one by one write a map each.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, mask: Tensor) -> Tensor:
        wide, m = at_least_float32(maps), at_least_float32(mask)
        mean = wide.mean(dim=(2, 3), keepdim=True)
        centred = wide - mean
        r = centred.square().mean(dim=(2, 3), keepdim=True).add_(EPS).rsqrt_()
        ctx.save_for_backward(maps, mask, mean, r)
        return centred.mul_(m + (1.0 - m) * r).add_(m * mean).to(maps.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        maps, mask, mean, r = ctx.saved_tensors
        gradient, m = at_least_float32(gradients[0]), at_least_float32(mask)
        centred = at_least_float32(maps) - mean
        plain = gradient.mean(dim=(2, 3), keepdim=True)
        along = (gradient * centred).mean(dim=(2, 3), keepdim=True)
        of_mask = (along * (1.0 - r) + plain * mean) * (maps.shape[2] * maps.shape[3])
        # The normalised share neither grows with the map's mean nor with its spread: their directions go out.
        share = (1.0 - m) * r
        of_maps = centred.mul_(-share * r.square() * along).sub_(share * plain).addcmul_(gradient, m + share)
        return of_maps.to(maps.dtype), of_mask.to(mask.dtype)


class PatternMasks(nn.Module):
    """Pattern masks of the pattern alignment module (PAM): M = sigmoid(1x1 convolution), one map per pattern.

    The convolution keeps PyTorch's initialisation, its bias starts at 0.
    """

    def __init__(self, channels: int, patterns: int) -> None:
        super().__init__()
        self.masks = nn.Conv2d(channels, patterns, 1)
        assert self.masks.bias is not None
        nn.init.zeros_(self.masks.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, P, H, W) in [0, 1]."""
        return self.masks(features).sigmoid()


def pattern_features(features: Tensor, masks: Tensor) -> Tensor:
    """Pattern features (B, P*C), float32 at least: the mean over all positions of each mask times the features.

    ``features`` (B, C, H, W), ``masks`` (B, P, H, W). The mean divides by the number of positions, not by the sum of
    the mask.
    """
    with torch.autocast(features.device.type, enabled=False):
        maps, weights = at_least_float32(features).flatten(2), at_least_float32(masks).flatten(2)
        return (weights @ maps.transpose(1, 2) / maps.shape[2]).flatten(1)


def separability(masks: Tensor) -> Tensor:
    """L_sep: inner product of two masks, mean over images and pairs of patterns; 0 for a single pattern.

    ``masks`` (B, P, H, W). The inner product is a sum over positions as in the official code, whose weight 0.5 is tuned
    to it; the paper averages.
    """
    patterns = masks.shape[1]
    with torch.autocast(masks.device.type, enabled=False):
        flat = at_least_float32(masks).flatten(2)
        products = (flat @ flat.transpose(1, 2)).triu(diagonal=1)
        pairs = max(patterns * (patterns - 1) // 2, 1)
        return products.sum() / (len(masks) * pairs)
