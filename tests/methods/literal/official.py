"""Networks of official codes as plain functions of a state dict under the authors' names, for test time only.

Slow and obvious on purpose: nothing here is shared with the package.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as functional
from torch import Tensor

Weights = dict[str, Tensor]
BLOCKS = {1: 3, 2: 4, 3: 6, 4: 3}


def load_fill(shared: Path) -> ModuleType:
    """The module that fills state dicts."""
    spec = importlib.util.spec_from_file_location("golden_fill", shared / "golden" / "fill.py")
    assert spec is not None and spec.loader is not None
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    return fill


def official_weights(shared: Path, method: str, unused: tuple[str, ...]) -> Weights:
    """The filled state dict of a manifest, under the authors' names, without those that begin with ``unused``."""
    shapes = json.loads((shared / "checkpoints" / f"{method}.json").read_text())["keys"]
    return load_fill(shared).fill_state_dict({k: shape for k, shape in shapes.items() if not k.startswith(unused)})


def renamed(weights: Weights, keys: tuple[tuple[str, str], ...]) -> Weights:
    """``weights`` under our names."""
    out = {}
    for name, value in weights.items():
        theirs, ours = next(pair for pair in keys if name.startswith(pair[0]))
        out[ours + name.removeprefix(theirs)] = value
    return out


def norm(x: Tensor, weights: Weights, name: str) -> Tensor:
    """Batch norm with running statistics."""
    shape = (1, -1) + (1,) * (x.ndim - 2)
    mean, var, scale, bias = (
        weights[f"{name}.{key}"].view(shape) for key in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * scale + bias


def stem(x: Tensor, weights: Weights, name: str) -> Tensor:
    """7x7 convolution, norm, ReLU, max-pool."""
    x = functional.conv2d(x, weights[f"{name}.conv1.weight"], stride=2, padding=3)
    return functional.max_pool2d(norm(x, weights, f"{name}.bn1").relu(), 3, stride=2, padding=1)


def bottleneck(x: Tensor, weights: Weights, name: str, stride: int) -> Tensor:
    """A residual block of ResNet-50."""
    out = norm(functional.conv2d(x, weights[f"{name}.conv1.weight"]), weights, f"{name}.bn1").relu()
    out = functional.conv2d(out, weights[f"{name}.conv2.weight"], stride=stride, padding=1)
    out = norm(out, weights, f"{name}.bn2").relu()
    out = norm(functional.conv2d(out, weights[f"{name}.conv3.weight"]), weights, f"{name}.bn3")
    if f"{name}.downsample.0.weight" in weights:
        x = functional.conv2d(x, weights[f"{name}.downsample.0.weight"], stride=stride)
        x = norm(x, weights, f"{name}.downsample.1")
    return (out + x).relu()


def stride_of(layer: int, block: int) -> int:
    """Stride 2 at the start of layer2 and layer3; the last stage keeps its resolution."""
    return 2 if layer in (2, 3) and block == 0 else 1
