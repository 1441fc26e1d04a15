"""Rain, as the corruption benchmark for re-identification adds it to the types of ImageNet-C.

Defined by Zoky-2020/CIL-CrossModal ``corruption.py``: RandomRain of albumentations 0.5.2, then a lower brightness. The
last versions of that library draw rain in another way, and it is no longer kept, so the drops are drawn here.
"""

from __future__ import annotations

import numpy as np

DROPS = {1: (770, 10), 2: (600, 30), 3: (600, 30), 4: (500, 60), 5: (500, 60)}
"""By severity, pixels of the image per drop, and rows that a drop spans: drizzle, heavy (twice), torrential (twice)."""
COLOUR = (200, 200, 200)
STEEPEST = 10
"""Columns that a drop may span, to either side."""


def rain(image: np.ndarray, severity: int, generator: np.random.Generator) -> np.ndarray:
    """``image`` (H, W, 3) uint8 in the rain.

    All drops span the same number of columns, drawn between -10 and 10 and cut to a whole one, s. A drop is a line of
    one pixel's width. It begins at a row that leaves room for it below, and at a column from 0 to W - s, or from s to W
    where s is negative, all of these included. Then each pixel becomes the mean of a square around it whose sides are
    ``2 + severity`` pixels, with the image mirrored at its borders, and 5 (1 + severity) % of the full range is taken
    off.
    """
    import cv2

    height, width = image.shape[:2]
    area, length = DROPS[severity]
    slant = int(generator.uniform(-STEEPEST, STEEPEST))
    drops = height * width // area
    columns = generator.integers(min(slant, 0), max(width - max(slant, 0), 0) + 1, drops)
    # An image that is lower than a drop has all of them begin at its top.
    rows = generator.integers(0, max(height - length, 0) + 1, drops)
    rained = np.array(image)
    for column, row in zip(columns.tolist(), rows.tolist(), strict=True):
        cv2.line(rained, (column, row), (column + slant, row + length), COLOUR, 1)
    side = 2 + severity
    blurred = cv2.blur(rained, (side, side))
    return np.clip(blurred - 255.0 * 0.05 * (1 + severity), 0, 255).astype(np.uint8)
