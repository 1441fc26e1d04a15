"""Reading the checkpoint files that the authors' codes write, without running anything that is in them.

Their training scripts save with ``torch.save`` either a state dict (MPANet) or a dictionary
``{"net": state dict, "cmc": NumPy array, "mAP": NumPy float, "mINP": NumPy float, "epoch": int}`` (all others). Other
scripts name the state dict otherwise, or nest it; `vibench.files.weights` finds it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from vibench.errors import UsageError
from vibench.files.plain_data import numbers
from vibench.files.torch_file import TorchFileError
from vibench.files.weights import find_weights, read_content
from vibench.training.checkpoint import is_checkpoint

METRICS = ("mAP", "mINP")
"""Numbers that the authors' test printed for the saved epoch, as fractions."""


@dataclass(frozen=True)
class OfficialFile:
    """What an official checkpoint file holds."""

    path: Path
    state: dict[str, Tensor]
    """The state dict, on the CPU, without the prefix of `torch.nn.DataParallel`."""
    key: str = ""
    """Where in the file the state dict lies, such as ``net``; empty where it is the file itself."""
    epoch: int | None = None
    """Number of the epoch after which it was saved, from 0; None where the file does not say."""
    trial: int | None = None
    """The train/test split, from 1, that the file or its name states; None where neither does."""
    seed: int | None = None
    """The seed that the name states."""
    metrics: dict[str, float] | None = None
    """What the authors' own test printed for it, as fractions: ``r1`` and `METRICS`, as far as they are there."""


def read_official_file(path: Path, key: str = "") -> OfficialFile:
    """Read an official checkpoint file onto the CPU.

    ``key`` names the state dict where the file holds several.

    Raises `UsageError` where the file is absent or damaged, needs code to be loaded, or holds no state dict.
    """
    path = Path(path)
    if not path.exists():
        raise UsageError(f"{path}: there is no such checkpoint file.")
    try:
        content = read_content(path)
        if is_checkpoint(content):
            raise UsageError(f"{path}: is a vibench checkpoint already; evaluate it with 'vibench eval --checkpoint'.")
        weights = find_weights(content, key, asks=True)
    except TorchFileError as error:
        raise UsageError(f"{path}: {error}.") from None
    epoch, trial = (_whole_number(weights.entries.get(name)) for name in ("epoch", "trial"))
    return OfficialFile(
        path=path,
        state=weights.state,
        key=weights.key,
        epoch=epoch if epoch is not None and epoch >= 0 else None,
        trial=trial if trial is not None else _number_in_name(path, "trial"),
        seed=_number_in_name(path, "seed"),
        metrics=_metrics(weights.entries),
    )


def _number_in_name(path: Path, what: str) -> int | None:
    """The number behind ``what`` in a file's name, as in ``regdb_agw_p4_n8_lr_0.1_seed_0_trial_3_best.t``."""
    found = re.search(rf"{what}[_-]?(\d+)", path.name, re.IGNORECASE)
    return int(found[1]) if found else None


def _metrics(entries: Mapping[Any, Any]) -> dict[str, float] | None:
    curve = numbers(entries.get("cmc"))
    found = {} if curve is None or curve.size == 0 else {"r1": float(curve.flat[0])}
    for name in METRICS:
        value = numbers(entries.get(name))
        if value is not None and value.size == 1:
            found[name] = float(value.flat[0])
    return {name: value for name, value in found.items() if 0 <= value <= 1} or None


def _whole_number(value: Any) -> int | None:
    found = numbers(value)
    if found is None or found.size != 1 or not float(found.flat[0]).is_integer():
        return None
    return int(found.flat[0])
