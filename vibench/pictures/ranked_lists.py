"""Queries with the first images of their ranked lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vibench.pictures.figure import GREY, SAME, VERMILION
from vibench.pictures.panels import Frame, Panel, PanelRow, panel_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRUE, FALSE = "✓", "✗"
FRAMES = {"true": Frame(SAME), "false": Frame(VERMILION, dashed=True), "skipped": Frame(GREY)}


@dataclass(frozen=True)
class RankedImage:
    """One gallery image of a ranked list."""

    image: np.ndarray
    """(H, W, 3) uint8."""
    camera: int
    distance: float
    rank: int
    """Among the images that are not skipped, from 1; 0 for a skipped one."""
    match: bool
    """Shows the query's identity."""

    @property
    def kind(self) -> str:
        """``true`` | ``false`` | ``skipped``."""
        if self.rank == 0:
            return "skipped"
        return "true" if self.match else "false"


@dataclass(frozen=True)
class RankedQuery:
    """A query and the first images of its ranked list."""

    image: np.ndarray
    """(H, W, 3) uint8."""
    label: str
    """What names the query; one or more lines."""
    camera: int
    ranked: tuple[RankedImage, ...]


def ranked_lists(queries: Sequence[RankedQuery], title: str = "") -> Figure:
    """A row per query: the query, then its gallery images from the nearest on.

    True matches stand in a solid blue frame with a check mark, false ones in a dashed vermilion frame with a cross;
    images that the protocol skips for this query are grey and have no rank, and a check mark if they show its
    identity. Captions give rank, camera and distance.
    """
    rows = [
        PanelRow(query.label, (Panel(query.image, f"query\ncam {query.camera}"), *map(_panel, query.ranked)))
        for query in queries
    ]
    return panel_grid(rows, title)


def _panel(one: RankedImage) -> Panel:
    mark = TRUE if one.match else FALSE
    place = f"{mark} {one.rank}" if one.rank else f"skipped {mark if one.match else ''}".strip()
    caption = f"{place}\ncam {one.camera}\n{one.distance:#.3g}"
    return Panel(one.image, caption, frame=FRAMES[one.kind], faded=one.rank == 0)
