"""Official checkpoints as the authors' codes write them, from the manifests of their names and shapes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor


def load_fill(shared: Path) -> ModuleType:
    """The module of deterministic weights and images."""
    spec = importlib.util.spec_from_file_location("golden_fill", shared / "golden" / "fill.py")
    assert spec is not None and spec.loader is not None
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    return fill


def read_manifest(shared: Path, method: str) -> dict[str, Any]:
    """Names, shapes and outer structure of a method's official checkpoint."""
    manifest: dict[str, Any] = json.loads((shared / "checkpoints" / f"{method}.json").read_text())
    return manifest


def outer(state: dict[str, Tensor], epoch: int = 60) -> dict[str, Any]:
    """What the AGW code line saves."""
    return {
        "net": state,
        "cmc": np.array([0.475, 0.8439, 0.9214]),
        "mAP": np.float64(0.4765),
        "mINP": np.float64(0.353),
        "epoch": epoch,
    }


def write_official(shared: Path, method: str, folder: Path) -> Path:
    """The filled official checkpoint of ``method`` under the authors' file name and in their outer structure."""
    manifest = read_manifest(shared, method)
    state = load_fill(shared).fill_state_dict(manifest["keys"])
    path = folder / manifest["checkpoint"]["file_name"]
    torch.save(state if manifest["checkpoint"]["state_dict_at"] is None else outer(state), path)
    return path
