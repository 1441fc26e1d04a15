"""Occlusion: a part of the image behind a rectangle of one colour, or behind somebody else."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

SHARES = (0.15, 0.30, 0.45)
"""Of the image's area that is covered, by severity."""
FLATTEST, STEEPEST = 0.5, 3.0
"""Height of a rectangle over its width, in units of the image's own."""
PERSON = (0.5, 0.9)
"""Width and height of the middle of another image that is pasted, as shares of it: a crop is a person's."""


def occlude(image: np.ndarray, severity: int, generator: np.random.Generator, other: np.ndarray) -> np.ndarray:
    """``image`` (H, W, 3) uint8, of which `SHARES` are covered, rounded to whole rows and columns.

    An even chance decides between a rectangle of one random colour, anywhere, and the middle of ``other`` (H, W, 3), an
    image of somebody else, shrunk or stretched to a rectangle that stands on the lower border. The ratio of height to
    width is drawn from `FLATTEST` to `STEEPEST` on a logarithmic scale, as far as the share fits into the image.
    """
    height, width = image.shape[:2]
    share = SHARES[severity - 1]
    person = bool(generator.integers(2))
    ratio = math.exp(generator.uniform(math.log(FLATTEST), math.log(STEEPEST)))
    ratio = min(max(ratio, share), 1.0 / share)
    rows = max(1, round(height * math.sqrt(share * ratio)))
    columns = max(1, round(width * math.sqrt(share / ratio)))
    left = int(generator.integers(width - columns + 1))
    top = height - rows if person else int(generator.integers(height - rows + 1))
    covered = np.array(image)
    place = covered[top : top + rows, left : left + columns]
    if person:
        place[:] = _middle(other, rows, columns)
    else:
        place[:] = generator.integers(0, 256, 3, dtype=np.uint8)
    return covered


def _middle(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """The middle of an image, resized."""
    height, width = image.shape[:2]
    high, wide = max(1, round(PERSON[1] * height)), max(1, round(PERSON[0] * width))
    top, left = (height - high) // 2, (width - wide) // 2
    middle = Image.fromarray(np.ascontiguousarray(image[top : top + high, left : left + wide]))
    return np.asarray(middle.resize((columns, rows), Image.Resampling.BILINEAR))
