"""Pictures of MPANet: where its patterns are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from vibench.methods.mpanet.method import MPANet
from vibench.methods.pictures import network_input, picture
from vibench.pictures.pair import Pair
from vibench.pictures.panels import Panel, PanelRow, panel_grid, value_range

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@picture(MPANet, "patterns", where=lambda method: method.masks is not None)
@torch.no_grad()
def pattern_figure(method: MPANet, pairs: Sequence[Pair]) -> Figure:
    """The mask of every pattern, a column per pattern.

    Those of an image share their colours, from 0 to the largest value, because what a mask lets through counts by its
    size; captions give the range of each.
    """
    assert method.masks is not None
    rows = []
    for pair in pairs:
        for shown in pair.both:
            masks = method.masks(method.image_maps(network_input(method, shown), shown.modality))[0]
            heats = masks.float().cpu().numpy()
            colours = (0.0, float(heats.max()))
            panels = [Panel(shown.pixels, value_range(heat), heat=heat, heat_range=colours) for heat in heats]
            rows.append(PanelRow(shown.label, (Panel(shown.pixels, shown.caption), *panels)))
    columns = ["", *(f"pattern {number}" for number in range(1, method.model_options.patterns + 1))]
    return panel_grid(rows, f"{method.title}: masks of the patterns", columns)
