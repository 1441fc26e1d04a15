"""Heatmaps follow their images: cropped and mirrored with them, and erased if the recipe says so.

All of it happens on the host, so that a batch's heatmaps are the same on every device.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from vibench.data.augmentation import AugmentationDraw
from vibench.data.training_inputs import STRIDE

_MIRRORED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
"""The joint that each of COCO's 17 becomes in a mirrored image: left and right change places."""


def crop_and_flip_heatmaps(heatmaps: Tensor, draw: AugmentationDraw) -> Tensor:
    """What `vibench.data.augmentation.crop_and_flip` does to the images, done to their heatmaps (B, C, h, w).

    A crop moves an image by whole pixels, and so its heatmap by quarters of a cell; values between cells are
    interpolated linearly, which keeps peaks where the joints are. Outside the image the heatmap is zero. What stays
    on the grid of cells is copied unchanged. Of 17 channels, one for each of COCO's joints, those of the left and the
    right side change places where the image is mirrored.
    """
    moved = _shift(heatmaps, draw.top - draw.pad, dim=2)
    moved = _shift(moved, draw.left - draw.pad, dim=3)
    mirrored = moved.flip(3)
    if mirrored.shape[1] == len(_MIRRORED):
        mirrored = mirrored[:, _MIRRORED]
    return torch.where(torch.from_numpy(draw.flip)[:, None, None, None], mirrored, moved)


def erase_heatmaps(heatmaps: Tensor, rectangles: np.ndarray) -> Tensor:
    """Set the cells of ``heatmaps`` (B, C, h, w) to zero whose centres lie in ``rectangles`` (B, 4), in place.

    A rectangle is given as `AugmentationDraw.erased` gives it, in pixels of the image.
    """
    top, left, high, wide = torch.from_numpy(rectangles)[:, :, None].unbind(1)
    row, column = (STRIDE * torch.arange(size) + STRIDE // 2 for size in heatmaps.shape[2:])
    inside_rows = (row >= top) & (row < top + high)
    inside_columns = (column >= left) & (column < left + wide)
    return heatmaps.masked_fill_(inside_rows[:, None, :, None] & inside_columns[:, None, None, :], 0.0)


def _shift(maps: Tensor, pixels: np.ndarray, dim: int) -> Tensor:
    """Map b read ``pixels[b]`` pixels further along ``dim`` (2 or 3) of ``maps`` (B, C, h, w); zeros from outside."""
    if not pixels.any():
        return maps
    reach = int(-(-np.abs(pixels).max() // STRIDE)) + 1
    padded = functional.pad(maps, (0, 0, reach, reach) if dim == 2 else (reach, reach, 0, 0))
    size = maps.shape[dim]
    offsets = torch.from_numpy(pixels)
    first = reach + offsets.div(STRIDE, rounding_mode="floor")[:, None] + torch.arange(size)
    share = (offsets.remainder(STRIDE) / STRIDE).to(maps.dtype).view(-1, 1, 1, 1)
    shape = [len(maps), 1, 1, 1]
    shape[dim] = size
    expanded = list(maps.shape)
    here, there = (padded.gather(dim, (first + step).view(shape).expand(expanded)) for step in (0, 1))
    return torch.lerp(here, there, share)
