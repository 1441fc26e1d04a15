"""Imports torchvision, also where its compiled operators do not load, and fetches its weights.

The wheel on PyPI is built against a CUDA torch. Beside a CPU torch its C++ library cannot be loaded, and the import
then fails because torchvision attaches shape functions to the operators ``nms`` and ``qnms``, which that library
would have declared. vibench needs neither operator, so a declaration without implementation is enough.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from vibench.errors import VibenchError

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# A declaration lives as long as its library object.
_declared: list[torch.library.Library] = []


def import_torchvision() -> ModuleType:
    """The module ``torchvision``; `VibenchError` where it is missing or does not fit the installed torch."""
    try:
        # Older versions compute with tensors as they are imported, which the meta device cannot.
        with torch.device("cpu"):
            return importlib.import_module("torchvision")
    except ImportError as error:
        raise VibenchError(f"torchvision cannot be imported ({error}); install it beside torch.") from error
    except RuntimeError as error:
        if "operator torchvision::" not in str(error) or _declared:
            raise VibenchError(
                f"torchvision does not fit torch {torch.__version__} ({error}); install the torchvision of that torch."
            ) from error
    _declare_operators()
    # What the failed import left behind has seen the operators missing.
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    return import_torchvision()


def downloaded_state(weights: Any, what: str, otherwise: str) -> dict[str, Tensor]:
    """The state dict of one of torchvision's ``weights``, downloaded once into torch's hub cache.

    `VibenchError` where that fails: ``what`` names them, ``otherwise`` how a file of theirs is given.
    """
    try:
        return dict(weights.get_state_dict(progress=False, check_hash=True))
    except (OSError, RuntimeError) as error:
        folder = Path(torch.hub.get_dir()) / "checkpoints"
        raise VibenchError(
            f"{what} cannot be downloaded from {weights.url} ({error}); fetch that file on another machine and put it "
            f"into {folder}, or {otherwise}."
        ) from error


def _declare_operators() -> None:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for schema in _SCHEMAS:
        library.define(schema)
    _declared.append(library)
