"""Rows of images, each perhaps under a heat map, in a frame, or faded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vibench.pictures.figure import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANEL_HEIGHT = 1.75
"""Of an image, in inches."""
_CAPTION_LINE = 0.16
_LABEL_WIDTH = 1.25
_HEAT_COLOURS = "inferno"
_HEAT_OPACITY = 0.6


@dataclass(frozen=True)
class Frame:
    """The border of an image."""

    colour: str
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """One image with what is drawn over and around it."""

    image: np.ndarray
    """(H, W, 3) uint8."""
    caption: str = ""
    """Below the image; one or more lines."""
    heat: np.ndarray | None = None
    """(h, w) drawn over the image in greys, stretched to its size."""
    heat_range: tuple[float, float] | None = None
    """The values of the darkest and the brightest colour; None: the least and the largest of ``heat``."""
    smooth: bool = True
    """Interpolate between the cells of ``heat``."""
    frame: Frame | None = None
    faded: bool = False


@dataclass(frozen=True)
class PanelRow:
    """Panels side by side."""

    label: str
    """On the left; one or more lines."""
    panels: tuple[Panel, ...]


def panel_grid(rows: Sequence[PanelRow], title: str = "", columns: Sequence[str] = ()) -> Figure:
    """One axes per panel, row by row; a shorter row leaves its last places empty. ``columns`` head the panels."""
    if not rows:
        raise ValueError("a grid of panels needs a row")
    count = max(len(row.panels) for row in rows)
    aspect = max(panel.image.shape[1] / panel.image.shape[0] for row in rows for panel in row.panels)
    lines = [max((panel.caption.count("\n") + 1 for panel in row.panels if panel.caption), default=0) for row in rows]
    heights = [PANEL_HEIGHT + _CAPTION_LINE * count_of_lines for count_of_lines in lines]
    top = 0.35 * (title.count("\n") + 1) + (0.2 if columns else 0.0)
    column_width = max(PANEL_HEIGHT * aspect + 0.12, 0.8)
    figure = new_figure(_LABEL_WIDTH + count * column_width, sum(heights) + top)
    grid = figure.add_gridspec(
        len(rows), count + 1, height_ratios=heights, width_ratios=[_LABEL_WIDTH, *[column_width] * count]
    )
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    for number, row in enumerate(rows):
        label = figure.add_subplot(grid[number, 0], label="row label")
        label.set_axis_off()
        label.text(0.0, 0.5, row.label, fontsize=7.5, va="center", transform=label.transAxes)
        for column, panel in enumerate(row.panels):
            axes = figure.add_subplot(grid[number, column + 1], label="panel")
            draw_panel(axes, panel)
            if number == 0 and column < len(columns):
                axes.set_title(columns[column], fontsize=8)
    return figure


def draw_panel(axes: Any, panel: Panel) -> None:
    """Draw a panel into matplotlib axes of its own."""
    height, width = panel.image.shape[:2]
    image = panel.image
    if panel.heat is not None or panel.faded:
        # A heat map's colours, or a faded image, should compete with no colour of the image.
        image = np.asarray(Image.fromarray(panel.image).convert("L").convert("RGB"))
    axes.imshow(image, alpha=0.35 if panel.faded else None, aspect="equal")
    if panel.heat is not None:
        low, high = panel.heat_range or (float(panel.heat.min()), float(panel.heat.max()))
        axes.imshow(
            panel.heat,
            cmap=_HEAT_COLOURS,
            vmin=low,
            vmax=high if high > low else low + 1.0,
            alpha=_HEAT_OPACITY,
            extent=(-0.5, width - 0.5, height - 0.5, -0.5),
            interpolation="bilinear" if panel.smooth else "nearest",
            aspect="equal",
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(panel.caption, fontsize=7, labelpad=2)
    for spine in axes.spines.values():
        spine.set_visible(panel.frame is not None)
        if panel.frame is not None:
            spine.set(color=panel.frame.colour, linewidth=2.5, linestyle="--" if panel.frame.dashed else "-")


def value_range(heat: np.ndarray) -> str:
    """The least and the largest value of a map, for its caption, on two lines."""
    return f"{heat.min():.3g}\nto {heat.max():.3g}"
