"""Pictures of CAL: the regions that it mines, and what its parts attend to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vibench.methods.cal.attention import Encoded
from vibench.methods.cal.method import CAL
from vibench.methods.pictures import as_maps, network_input, picture
from vibench.modality import INFRARED
from vibench.pictures.pair import Pair, Shown
from vibench.pictures.panels import Panel, PanelRow, panel_grid, value_range

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _attends(method: CAL) -> bool:
    return bool(method.recipe.model.tca)


def _mines(method: CAL) -> bool:
    return _attends(method) and method.recipe.model.drm in ("modality", "shared")


@picture(CAL, "regions", where=_mines)
@torch.no_grad()
def region_figure(method: CAL, pairs: Sequence[Pair]) -> Figure:
    """The selected scores of every part over the image, S of Eq. (3), a column per part.

    Infrared parts stand in the order in which they are compared with the visible ones.
    """
    rows = []
    for pair in pairs:
        for shown in pair.both:
            maps = method.image_maps(network_input(method, shown), shown.modality)
            scores = method.mine(maps, shown.modality).scores
            assert scores is not None
            heats = as_maps(scores[0][_order(method, shown.modality)], maps.shape[2:])
            rows.append(_row(shown, shown.caption, heats))
    return panel_grid(rows, f"{method.title}: scores of the mined regions", _columns(method, "region"))


@picture(CAL, "attention", where=_attends)
@torch.no_grad()
def attention_figure(method: CAL, pairs: Sequence[Pair]) -> Figure:
    """The attention masks of every part, Eq. (8), three rows per pair.

    The query's parts on the query, the match's parts on the match (self-refined features, which are ranked), and the
    query's parts on the match (cross-refined, in training alone).
    """
    rows = []
    for pair in pairs:
        (query, query_size), (match, match_size) = (_encode(method, shown) for shown in pair.both)
        orders = [_order(method, shown.modality) for shown in pair.both]
        _, own_query = method.attention(query)
        _, own_match = method.attention(match)
        _, cross = method.attention(Encoded(match.tokens, match.keys, query.queries, query.gates))
        rows += [
            _row(pair.query, pair.query.caption, as_maps(own_query[0][orders[0]], query_size)),
            _row(pair.match, pair.match.caption, as_maps(own_match[0][orders[1]], match_size)),
            _row(pair.match, "read by the\nquery's parts", as_maps(cross[0][orders[0]], match_size)),
        ]
    return panel_grid(rows, f"{method.title}: attention of the parts", _columns(method, "part"))


def _encode(method: CAL, shown: Shown) -> tuple[Encoded, torch.Size]:
    maps = method.image_maps(network_input(method, shown), shown.modality)
    vectors = method.mine(maps, shown.modality).vectors
    return method.attention.encode(maps, vectors, method.recipe.model.drm != "vectors"), maps.shape[2:]


def _order(method: CAL, modality: str) -> Tensor:
    """The parts of one modality in the order in which `CAL.embed` lays them side by side."""
    options = method.recipe.model
    if modality == INFRARED and method.matches is not None and options.test_reorder != "none":
        return method.matches.order
    return torch.arange(options.parts)


def _row(shown: Shown, caption: str, heats: Sequence[np.ndarray]) -> PanelRow:
    panels = (Panel(shown.pixels, value_range(heat), heat=heat) for heat in heats)
    return PanelRow(shown.label, (Panel(shown.pixels, caption), *panels))


def _columns(method: CAL, word: str) -> list[str]:
    return ["", *(f"{word} {number}" for number in range(1, method.recipe.model.parts + 1))]
