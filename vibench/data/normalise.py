"""From stored bytes to network input: the one place that knows mean and deviation of the colour channels."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(images: Tensor) -> Tensor:
    """ImageNet normalisation of uint8 images (B, H, W, 3): float32 (B, 3, H, W), channels_last, same device.

    Both modalities use the same constants, ``(value / 255 - MEAN) / STD``, as the AGW code line does.
    """
    batch, height, width, _ = images.shape
    # Whole rows of pixels as the last axis: element-wise kernels are several times slower over an axis of length 3.
    scale, shift = _row_constants(width, images.device)
    rows = images.reshape(batch, height, width * 3).float().mul_(scale).sub_(shift)
    return rows.view(batch, height, width, 3).permute(0, 3, 1, 2)


@lru_cache(maxsize=16)
def _row_constants(width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Scale and shift of one row of pixels; kept, because making them on a GPU would stall it at every batch."""
    mean, std = torch.tensor(MEAN), torch.tensor(STD)
    return (1 / (255 * std)).repeat(width).to(device), (mean / std).repeat(width).to(device)
