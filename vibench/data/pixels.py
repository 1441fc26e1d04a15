"""Images out of the cache, as they are, on their way to a device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def read_images(images: np.ndarray, rows: np.ndarray, pin: bool = False) -> Tensor:
    """``images[rows]`` (B, H, W, 3) uint8 in one copy; ``pin``: into pinned memory, which a GPU reads without a wait.

    Raises `IndexError` for a row that is none.
    """
    found = torch.empty((len(rows), *images.shape[1:]), dtype=torch.uint8, pin_memory=pin)
    if len(rows) and (rows.min() < 0 or rows.max() >= len(images)):
        raise IndexError(f"rows {int(rows.min())} to {int(rows.max())} of {len(images)} images")
    # With mode="raise" numpy would gather into a buffer of its own first.
    np.take(images, rows, axis=0, out=found.numpy(), mode="clip")
    return found
