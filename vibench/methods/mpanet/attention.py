"""The attention of MPANet: against the modality in the channels, and for patterns in the positions.

Wu et al., "Discover Cross-Modality Nuances for Visible-Infrared Person Re-Identification", CVPR 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.nn.precision import at_least_float32

REDUCTION = 16


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
        for convolution in (self.squeeze, self.excite):
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        pooled = features.mean(dim=(2, 3), keepdim=True)
        mask = self.excite(self.squeeze(pooled).relu()).sigmoid()
        return torch.lerp(functional.instance_norm(features), features, mask.to(features.dtype))


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
