"""Where two images are found to be alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vibench.pictures.panels import Panel, PanelRow, panel_grid, value_range

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class SaliencyPair:
    """Two images and a map of each."""

    label: str
    images: tuple[np.ndarray, np.ndarray]
    """(H, W, 3) uint8 each."""
    captions: tuple[str, str]
    maps: tuple[np.ndarray, np.ndarray]
    """(h, w) each, 0 where nothing speaks for the pair."""


def saliency_pairs(pairs: Sequence[SaliencyPair], title: str = "") -> Figure:
    """A row per pair: one image and its map, the other image and its map; every map has its own range of colours."""
    rows = []
    for pair in pairs:
        panels = []
        for image, caption, heat in zip(pair.images, pair.captions, pair.maps, strict=True):
            panels += [Panel(image, caption), Panel(image, value_range(heat), heat=heat)]
        rows.append(PanelRow(pair.label, tuple(panels)))
    return panel_grid(rows, title, ("query", "its map", "true match", "its map"))
