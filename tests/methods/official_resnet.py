"""The authors' two-stream ResNet-50, written out operation by operation over weights under their names."""

from __future__ import annotations

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor

BLOCKS = {"layer1": 3, "layer2": 4, "layer3": 6, "layer4": 3}
STRIDES = {"layer1": 1, "layer2": 2, "layer3": 2, "layer4": 1}


def two_stream_maps(weights: Mapping[str, Tensor], images: Tensor, modality: str, specific_stages: int) -> Tensor:
    """Feature maps (B, 2048, H/16, W/16) in test mode, the last stride being 1."""
    own = "visible_module.visible" if modality == "visible" else "thermal_module.thermal"
    places = [own if stage < specific_stages else "base_resnet.base" for stage in range(5)]
    x = F.conv2d(images, weights[f"{places[0]}.conv1.weight"], stride=2, padding=3)
    x = F.max_pool2d(norm(weights, f"{places[0]}.bn1", x).relu(), 3, stride=2, padding=1)
    for place, (layer, blocks) in zip(places[1:], BLOCKS.items(), strict=True):
        for block in range(blocks):
            x = bottleneck(weights, f"{place}.{layer}.{block}", x, STRIDES[layer] if block == 0 else 1)
    return x


def bottleneck(weights: Mapping[str, Tensor], name: str, x: Tensor, stride: int) -> Tensor:
    out = norm(weights, f"{name}.bn1", F.conv2d(x, weights[f"{name}.conv1.weight"])).relu()
    out = F.conv2d(out, weights[f"{name}.conv2.weight"], stride=stride, padding=1)
    out = norm(weights, f"{name}.bn2", out).relu()
    out = norm(weights, f"{name}.bn3", F.conv2d(out, weights[f"{name}.conv3.weight"]))
    if f"{name}.downsample.0.weight" in weights:
        x = F.conv2d(x, weights[f"{name}.downsample.0.weight"], stride=stride)
        x = norm(weights, f"{name}.downsample.1", x)
    return (out + x).relu()


def norm(weights: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Batch norm in test mode of (B, C) or (B, C, H, W)."""
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean, variance, scale, bias = (
        weights[f"{name}.{part}"].reshape(shape) for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (variance + 1e-5).sqrt() * scale + bias
