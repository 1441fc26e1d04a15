"""Pictures of Pose: the heatmaps that it predicts, and the mask that gates its re-ID features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from vibench.methods.pictures import network_input, picture
from vibench.methods.pose.method import Pose
from vibench.pictures.pair import Pair, Shown
from vibench.pictures.panels import Panel, PanelRow, panel_grid, value_range

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@picture(Pose, "heatmaps", where=lambda method: method.branch is not None)
@torch.no_grad()
def heatmap_figure(method: Pose, pairs: Sequence[Pair]) -> Figure:
    """The predicted heatmap beside its target, and the mean over the channels of the mask sigmoid(F_P), Eq. (9).

    Of several joints the largest value counts. Heatmaps share the colours from 0 to 1, the mask has its own range. A
    method trained without L_pose predicts none, and an image whose keypoints are unknown has no target.
    """
    rows = []
    for pair in pairs:
        for shown in pair.both:
            maps = method.branch_maps(**{shown.modality: network_input(method, shown)})
            assert maps.keypoints is not None
            mask = torch.sigmoid(maps.keypoints.float()).mean(dim=1)[0].cpu().numpy()
            panels = [Panel(shown.pixels, shown.caption)]
            if method.heatmaps is not None:
                predicted = method.heatmaps(maps.refined)[0].float().cpu().numpy()
                panels += [_heatmap(shown, predicted), _heatmap(shown, shown.heatmaps)]
            rows.append(PanelRow(shown.label, (*panels, Panel(shown.pixels, value_range(mask), heat=mask))))
    columns = ["", *(["predicted", "target"] if method.heatmaps is not None else []), "mean mask"]
    return panel_grid(rows, f"{method.title}: keypoint heatmaps", columns)


def _heatmap(shown: Shown, maps: np.ndarray | None) -> Panel:
    if maps is None:
        return Panel(shown.pixels, "not known", faded=True)
    heat = maps.max(axis=0)
    return Panel(shown.pixels, value_range(heat), heat=heat, heat_range=(0.0, 1.0))
