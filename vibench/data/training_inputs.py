"""What some methods train on besides images and labels, one row per training image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

STRIDE = 4
"""Pixels of the network's input, in both directions, per cell of a heatmap."""


@dataclass(frozen=True)
class Attributes:
    """Attribute labels of N images."""

    bits: np.ndarray
    """(N, 8) uint8, 0 or 1."""
    known: np.ndarray
    """(N,) bool."""


@dataclass(frozen=True)
class Heatmaps:
    """Keypoint heatmaps of N images."""

    maps: np.ndarray
    """(N, C, H / 4, W / 4) uint8, 255 where a keypoint is; zeros where none is known."""
    known: np.ndarray
    """(N,) bool."""


@dataclass(frozen=True)
class TrainingInputs:
    """What a method's needs ask for; rows in the order of the training part of the sample index."""

    attributes: Attributes | None = None
    heatmaps: Heatmaps | None = None
