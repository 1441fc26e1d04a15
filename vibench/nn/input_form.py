"""The form in which an image enters the network: colour, grey, or grey padded with zeros.

Methods receive RGB images normalised with the ImageNet mean and deviation per channel. Grey forms undo that first,
take the luma of RGB in [0, 1], and normalise it with the mean and deviation of a grey ImageNet image, so that they do
not depend on how the loader normalises colour channels apart from one another.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from vibench.modality import VISIBLE

InputForm = Literal["rgb", "grey", "zero-padding"]

CHANNELS: dict[str, int] = {"rgb": 3, "grey": 1, "zero-padding": 2}
"""Input channels of the first convolution."""

RGB_MEAN = (0.485, 0.456, 0.406)
RGB_STD = (0.229, 0.224, 0.225)
GREY_MEAN = 0.449
GREY_STD = 0.226
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as PIL and torchvision convert to grey


def to_grey(images: Tensor) -> Tensor:
    """Normalised RGB (B, 3, H, W) -> normalised grey (B, 1, H, W)."""
    mean, std, luma = _constants(images.dtype, images.device)
    grey = ((images * std + mean) * luma).sum(dim=1, keepdim=True)
    return (grey - GREY_MEAN) / GREY_STD


def to_input_form(images: Tensor, modality: str, form: InputForm) -> Tensor:
    """Normalised RGB (B, 3, H, W) -> network input (B, ``CHANNELS[form]``, H, W).

    Zero-padding (Wu et al., ICCV 2017): grey image x becomes [x, 0] if visible and [0, x] if infrared. The zeros are
    exact, put in after the normalisation, so each modality meets only its own slice of the first convolution.
    """
    if form == "rgb":
        return images
    grey = to_grey(images)
    if form == "grey":
        return grey
    zeros = torch.zeros_like(grey)
    return torch.cat([grey, zeros] if modality == VISIBLE else [zeros, grey], dim=1)


@lru_cache(maxsize=16)
def _constants(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    """`RGB_MEAN`, `RGB_STD` and `_LUMA` (1, 3, 1, 1); kept, because making them on a GPU would stall it every time."""
    # Ordinary tensors even if they are first asked for while embedding: a later gradient may pass through them.
    with torch.inference_mode(False):
        values = (RGB_MEAN, RGB_STD, _LUMA)
        return tuple(torch.tensor(each, dtype=dtype, device=device).view(1, 3, 1, 1) for each in values)
