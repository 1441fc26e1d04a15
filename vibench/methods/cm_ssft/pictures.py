"""Pictures of cm-SSFT: what its decoder draws from the shared and the specific feature map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from vibench.methods.cm_ssft.method import CmSSFT
from vibench.methods.pictures import network_input, picture
from vibench.modality import VISIBLE
from vibench.nn.input_form import GREY_MEAN, GREY_STD, RGB_MEAN, RGB_STD, to_input_form
from vibench.pictures.pair import Pair
from vibench.pictures.panels import Panel, PanelRow, panel_grid

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@picture(CmSSFT, "reconstructions", where=lambda method: method.decoder is not None)
@torch.no_grad()
def reconstruction_figure(method: CmSSFT, pairs: Sequence[Pair]) -> Figure:
    """The network's input and its reconstructions from the shared map, the specific map and both.

    As in Fig. 3 of Lu et al. (CVPR 2020), the map that is left out is zero. Captions give the root of the mean squared
    error per pixel, in levels of 255.
    """
    assert method.decoder is not None and method.specific is not None
    rows = []
    for pair in pairs:
        for shown in pair.both:
            form = method.recipe.model.input
            entered = to_input_form(network_input(method, shown), shown.modality, form)
            low = method.backbone.specific(**{shown.modality: entered})
            shared = method.backbone.shared(low, method.backbone.inserted)
            specific = method.specific[shown.modality](low, method.backbone.inserted)
            nothing = torch.zeros_like(shared)
            target = _pixels(entered, shown.modality)
            panels = [Panel(target, shown.caption)]
            for kept in ((nothing, shared), (specific, nothing), (specific, shared)):
                drawn = _pixels(method.decoder[shown.modality](torch.cat(kept, dim=1)), shown.modality)
                error = np.sqrt(np.mean((drawn.astype(np.float64) - target) ** 2))
                panels.append(Panel(drawn, f"error {error:.0f}"))
            rows.append(PanelRow(shown.label, tuple(panels)))
    columns = ("input", "from shared", "from specific", "from both")
    return panel_grid(rows, f"{method.title}: reconstructions", columns)


def _pixels(images: Tensor, modality: str) -> np.ndarray:
    """The one image of a batch (1, 1 to 3, H, W) in the network's input form, as uint8 (H, W, 3)."""
    image = images[0].float().cpu()
    if len(image) == 2:
        image = image[:1] if modality == VISIBLE else image[1:]
    mean, std = (RGB_MEAN, RGB_STD) if len(image) == 3 else ((GREY_MEAN,), (GREY_STD,))
    values = image * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    levels = (255 * values).round().clamp(0, 255).to(torch.uint8)
    return levels.expand(3, -1, -1).permute(1, 2, 0).numpy()
