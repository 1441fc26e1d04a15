"""Pictures of DDAG: how its part attention weighs the parts of an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from vibench.methods.ddag.method import DDAG
from vibench.methods.pictures import network_input, picture
from vibench.pictures.pair import Pair
from vibench.pictures.panels import Panel, PanelRow, panel_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@picture(DDAG, "weights", where=lambda method: method.part_attention is not None)
@torch.no_grad()
def part_figure(method: DDAG, pairs: Sequence[Pair]) -> Figure:
    """What every part looks at, alpha of Eq. (2), a column per part, and what all of them make of it.

    The last column weighs the parts by w of Eq. (4): sum_i w_i alpha_ij is how much part j enters x*. Colours go from
    0 to 1; numbers are the weights of the stripes, from top to bottom.
    """
    attention = method.part_attention
    assert attention is not None
    weights = attention.part_weights().float()
    rows = []
    for pair in pairs:
        for shown in pair.both:
            alpha, _ = attention.attend(method.image_maps(network_input(method, shown), shown.modality))
            looks = torch.cat([alpha[0].float(), (weights @ alpha[0].float())[None]]).cpu().numpy()
            panels = [
                Panel(
                    shown.pixels,
                    "\n".join(f"{value:.2f}" for value in look),
                    heat=look[:, None],
                    heat_range=(0.0, 1.0),
                    smooth=False,
                )
                for look in looks
            ]
            rows.append(PanelRow(shown.label, (Panel(shown.pixels, shown.caption), *panels)))
    columns = [
        "",
        *(f"part {number}, w {weight:.2f}" for number, weight in enumerate(weights.tolist(), 1)),
        "all parts",
    ]
    return panel_grid(rows, f"{method.title}: attention among the parts", columns)
