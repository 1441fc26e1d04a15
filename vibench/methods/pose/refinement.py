"""The refinement module of the keypoint branch.

D. Osokin, "Global Context for Convolutional Pose Machines", arXiv:1906.04104: a U-shaped block for global context, then
three refine blocks. The official code of Pose does not hold the module; its widths are those of Osokin's.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.errors import UsageError
from vibench.files.weights import read_state_dict
from vibench.methods.pose.layers import convolution

REFINE_BLOCKS = 3
_ESTIMATOR_PREFIX = "refinement_stages.0.trunk."


class UBlock(nn.Module):
    """Two encoder levels that halve the resolution, and two decoder levels back up with skip connections.

    For c input channels both encoder levels and the lower decoder level have 2c, the output has c.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        wide = 2 * channels
        self.encoder1 = _pair(channels, wide, wide, stride=2)
        self.encoder2 = _pair(wide, wide, wide, stride=2)
        self.decoder2 = _pair(wide + wide, wide, wide)
        self.decoder1 = _pair(channels + wide, wide, channels)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, c, H, W) -> (B, c, H, W)."""
        first = self.encoder1(maps)
        second = self.encoder2(first)
        upper = self.decoder2(torch.cat([first, _resized(second, first)], dim=1))
        return self.decoder1(torch.cat([maps, _resized(upper, maps)], dim=1))


class RefineBlock(nn.Module):
    """1x1 convolution with ReLU, and around two 3x3 convolutions, the second dilated by 2, a residual connection."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.initial = nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.ReLU(inplace=True))
        self.trunk = nn.Sequential(
            convolution(outputs, outputs, bias=True), convolution(outputs, outputs, dilation=2, bias=True)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H, W)."""
        initial = self.initial(maps)
        return initial + self.trunk(initial)


def refinement_trunk(inputs: int, outputs: int) -> nn.Sequential:
    """The U-block and the three refine blocks: (B, inputs, H, W) -> (B, outputs, H, W)."""
    blocks = [RefineBlock(inputs if place == 0 else outputs, outputs) for place in range(REFINE_BLOCKS)]
    return nn.Sequential(UBlock(inputs), *blocks)


def load_refinement(trunk: nn.Module, path: Path) -> None:
    """Start ``trunk`` from the refinement stage of a single-person pose estimator of Osokin's, in place.

    ``path`` is a state dict, or a dictionary with one as ``state_dict``, with the names of
    Daniil-Osokin/gccpm-look-into-person-cvpr19.pytorch. Raises `UsageError` where it cannot be read or does not fit:
    the estimator's 17 heatmaps ask for as many here.
    """
    state = read_state_dict(path, "[model] refinement_weights =", "name the checkpoint of a pose estimator")
    found = {name.removeprefix("module."): value for name, value in state.items()}
    stage = {
        name.removeprefix(_ESTIMATOR_PREFIX): value
        for name, value in found.items()
        if name.startswith(_ESTIMATOR_PREFIX)
    }
    wanted = {name: value.shape for name, value in trunk.state_dict().items()}
    odd = [name for name, shape in wanted.items() if getattr(stage.get(name), "shape", None) != shape]
    if odd or len(stage) > len(wanted):
        raise UsageError(
            f"[model] refinement_weights = {path}: its refinement stage does not fit (first: "
            f"{odd[0] if odd else 'it has further layers'}); it takes backbone = resnet50 and heatmap_channels = 17."
        )
    trunk.load_state_dict(stage)


def heatmap_head(channels: int, heatmaps: int) -> nn.Sequential:
    """From refined features to heatmaps: 1x1 convolution with ReLU, 1x1 convolution."""
    return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.ReLU(inplace=True), nn.Conv2d(channels, heatmaps, 1))


def _pair(inputs: int, middle: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(convolution(inputs, middle, stride=stride, bias=True), convolution(middle, outputs, bias=True))


def _resized(maps: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(maps, size=like.shape[2:], mode="bilinear", align_corners=False)
