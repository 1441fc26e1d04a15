"""Pictures of PAENet: the attributes that its head predicts from an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from vibench.datasets.attribute_names import ATTRIBUTES
from vibench.methods.paenet.method import PAENet
from vibench.methods.pictures import network_input, picture
from vibench.pictures.figure import OF_MODALITY, new_figure
from vibench.pictures.pair import Pair, Shown
from vibench.pictures.panels import Panel, draw_panel

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@picture(PAENet, "attributes", where=lambda method: method.attribute_head is not None)
@torch.no_grad()
def attribute_figure(method: PAENet, pairs: Sequence[Pair]) -> Figure:
    """A row per pair: query, match, and the probability of each attribute in both."""
    figure = new_figure(6.4, 1.9 * len(pairs) + 0.4)
    table = figure.subplots(len(pairs), 3, width_ratios=(1, 1, 3.4), squeeze=False)
    places = torch.arange(len(ATTRIBUTES)).numpy()
    for (query_axes, match_axes, bars), pair in zip(table, pairs, strict=True):
        for axes, shown, shift in ((query_axes, pair.query, -0.2), (match_axes, pair.match, 0.2)):
            draw_panel(axes, Panel(shown.pixels, shown.caption))
            values = _probabilities(method, shown)
            bars.barh(places + shift, values, 0.38, color=OF_MODALITY[shown.modality], label=shown.modality)
        bars.axvline(0.5, color="black", linewidth=0.6, linestyle=":")
        bars.set(xlim=(0, 1))
        bars.set_yticks(places, ATTRIBUTES, fontsize=7)
        bars.tick_params(axis="x", labelsize=7)
        bars.invert_yaxis()
        bars.set_title(pair.query.label.replace("/\n", "/").replace("\n", ", "), fontsize=8, loc="left")
    table[0, 2].legend(fontsize=7)
    figure.suptitle(f"{method.title}: predicted attributes", fontsize=10, x=0.01, ha="left")
    return figure


def _probabilities(method: PAENet, shown: Shown) -> list[float]:
    maps = method.host.image_maps(network_input(method, shown), shown.modality)
    head = method.attribute_head
    assert head is not None
    found: list[float] = head(method.feature_neck(method.pool(maps))).float().sigmoid()[0].tolist()
    return found
