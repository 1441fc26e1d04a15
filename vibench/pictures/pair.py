"""What a method's own pictures are drawn of: queries with one of their true matches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Shown:
    """A test image."""

    pixels: np.ndarray
    """(H, W, 3) uint8 RGB, of the size that the network takes."""
    modality: str
    label: str
    """Who it shows, and its name."""
    caption: str
    """What it is in its pair, and its camera."""
    heatmaps: np.ndarray | None = None
    """(C, H / 4, W / 4) from 0 to 1: where its keypoints are, for a method that predicts them; None where unknown."""


@dataclass(frozen=True)
class Pair:
    """A query and the true match that it ranks first."""

    query: Shown
    match: Shown

    @property
    def both(self) -> tuple[Shown, Shown]:
        """The two images."""
        return self.query, self.match


PictureFunction = Callable[[Sequence[Pair]], "Figure"]
"""Draws one picture of at least one pair."""
