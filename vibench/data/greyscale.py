"""Colour images turned grey before normalisation, drawn independently for every image."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_LUMA = (19595, 38470, 7471)
"""ITU-R BT.601 in 1/65536, the whole numbers that Pillow converts to grey with."""
_HALF = 1 << 15


def turn_grey(images: np.ndarray, chosen: np.ndarray) -> None:
    """Give the ``chosen`` (B,) bool of uint8 ``images`` (B, H, W, 3) their luma in all three channels, in place.

    What Pillow's conversion to grey and back gives, to the bit. Images that are grey already stay as they are.
    """
    for place in np.flatnonzero(chosen):
        red, green, blue = np.moveaxis(images[place], 2, 0).astype(np.int32)
        grey = (red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2] + _HALF) >> 16
        images[place] = grey.astype(np.uint8)[..., None]


def turn_grey_there(images: Tensor, chosen: Tensor) -> Tensor:
    """As `turn_grey`, on the device where ``images`` (B, H, W, 3) uint8 and ``chosen`` (B,), 0 or 1, are."""
    return torch.where(chosen[:, None, None, None] > 0, luma(images).to(torch.uint8)[..., None], images)


def luma(images: Tensor) -> Tensor:
    """Whole numbers (B, H, W), int32, of images (B, H, W, 3) of whole numbers."""
    red, green, blue = images.int().unbind(3)
    return (red * _LUMA[0] + green * _LUMA[1] + blue * _LUMA[2] + _HALF) >> 16
