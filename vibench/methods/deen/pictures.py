"""Pictures of DEEN: the feature maps of an image and of its expansions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from vibench.methods.deen.method import DEEN
from vibench.methods.pictures import network_input, picture
from vibench.nn.capture import captured_outputs
from vibench.pictures.pair import Pair
from vibench.pictures.panels import Panel, PanelRow, panel_grid, value_range

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _expands_maps(method: DEEN) -> bool:
    """Not without branches, nor with branches behind the last stage, which have no map of theirs."""
    options = method.model_options
    return bool(options.dee_branches) and options.dee_position < method.backbone.shared.stages[-1]


@picture(DEEN, "expansions", where=_expands_maps)
@torch.no_grad()
def expansion_figure(method: DEEN, pairs: Sequence[Pair]) -> Figure:
    """The length of the last map's features at each position: of the image itself, and of each generated embedding.

    Where the columns of a row look alike, the branches say little that the image's own embedding does not.
    """
    rows = []
    for pair in pairs:
        for shown in pair.both:
            image = network_input(method, shown)
            with captured_outputs(method.backbone.map_module(shown.modality)) as outputs:
                method.pooled_features(**{shown.modality: image})
            heats = torch.linalg.vector_norm(outputs[0].float(), dim=1).cpu().numpy()
            panels = [Panel(shown.pixels, value_range(heat), heat=heat) for heat in heats]
            rows.append(PanelRow(shown.label, (Panel(shown.pixels, shown.caption), *panels)))
    columns = ["", "original", *(f"expansion {number}" for number in range(1, method.copies))]
    return panel_grid(rows, f"{method.title}: feature maps of the embeddings", columns)
