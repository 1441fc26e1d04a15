"""Infrared images made brighter or darker, richer or poorer in contrast, or blurred; drawn for every image.

Done on whole numbers before normalisation, as Pillow and torchvision do it on images: hulu88/PMT.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from vibench.data.greyscale import luma
from vibench.data.sections import AugmentationRecipe

KERNEL = 21
"""Rows and columns of the blur."""


def draw_distortion(recipe: AugmentationRecipe, count: int, random: np.random.Generator) -> np.ndarray | None:
    """What happens to ``count`` infrared images, (4, count) float32 in the rows that `distort` takes; None: nothing."""
    jitter, blur = recipe.infrared_jitter, recipe.infrared_blur
    if jitter is None and blur is None:
        return None
    jitters = np.full(count, blur is None) if jitter is None or blur is None else random.random(count) < 0.5
    brightness, contrast = random.uniform(*(jitter or (1.0, 1.0)), size=(2, count))
    contrast_first = random.random(count) < 0.5
    sigma = random.uniform(*(blur or (0.0, 0.0)), size=count)
    factors = np.where(jitters, (brightness, contrast), 1.0)
    return np.stack([*factors, contrast_first, np.where(jitters, 0.0, sigma)]).astype(np.float32)


def distort_infrared(images: Tensor, drawn: Tensor) -> None:
    """`distort` the last images of a batch (B, H, W, 3), as many as ``drawn`` has columns, in place."""
    infrared = images[-drawn.shape[1] :]
    infrared.copy_(distort(infrared, drawn))


def distort(images: Tensor, drawn: Tensor) -> Tensor:
    """Distort ``images`` (B, H, W, 3) uint8, on the device where they and ``drawn`` are; B copies of the same type.

    Rows of ``drawn`` (4, B) float32: the factor of the brightness, that of the contrast, whether contrast comes
    first, and the standard deviation of the blur; 1, 1 and 0 change nothing.
    """
    brightness, contrast, contrast_first, sigma = drawn[:, :, None, None, None].unbind(0)
    values = images.float()
    first = torch.where(contrast_first > 0, _contrast(values, contrast), _blend(0.0, values, brightness))
    both = torch.where(contrast_first > 0, _blend(0.0, first, brightness), _contrast(first, contrast))
    return torch.where(sigma > 0, _blur(values, drawn[3]), both).to(torch.uint8)


def _contrast(values: Tensor, factor: Tensor) -> Tensor:
    """Away from, or towards, the mean luma of the whole image, to the bit as `PIL.ImageEnhance.Contrast`."""
    grey = luma(values)
    count = grey[0].numel()
    mean = (2 * grey.sum(dim=(1, 2)) + count).div(2 * count, rounding_mode="floor")
    return _blend(mean[:, None, None, None].float(), values, factor)


def _blend(low: Tensor | float, values: Tensor, factor: Tensor) -> Tensor:
    """As `PIL.Image.blend`, which cuts off what is behind the point."""
    return (low + factor * (values - low)).clamp(0, 255).floor()


def _blur(values: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of (B, H, W, 3), one standard deviation (B,) each, edges mirrored, rounded to whole numbers."""
    away = torch.arange(KERNEL, device=values.device, dtype=values.dtype) - KERNEL // 2
    kernel = (-0.5 * (away / sigma.clamp(min=0.01)[:, None]).square()).exp()
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(3, dim=0)[:, None]
    # Every channel of every image is a channel of one image, with a kernel of its own.
    planes = values.permute(0, 3, 1, 2).flatten(0, 1)[None]
    planes = functional.pad(planes, (KERNEL // 2,) * 4, mode="reflect")
    planes = functional.conv2d(planes, kernel[..., None], groups=len(kernel))
    planes = functional.conv2d(planes, kernel[:, :, None], groups=len(kernel))
    return planes[0].unflatten(0, (-1, 3)).permute(0, 2, 3, 1).round()
