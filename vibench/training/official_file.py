"""Reading the checkpoint files that the authors' codes write, without running anything that is in them.

Their training scripts save with ``torch.save`` either a state dict (MPANet) or a dictionary
``{"net": state dict, "cmc": NumPy array, "mAP": NumPy float, "mINP": NumPy float, "epoch": int}`` (all others). PyTorch
reads them with ``weights_only=True``, which refuses every class and function but those allowed. Allowed beside
PyTorch's own are NumPy's numbers and arrays and ``argparse.Namespace``, and even these only by name: in their place
stand classes that keep what they are given, so that no code of NumPy or argparse meets the file either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vibench.errors import UsageError
from vibench.files.torch_file import TorchFileError, is_plain, read_torch_file
from vibench.training.checkpoint import is_checkpoint

STATE_ENTRIES = ("net", "state_dict")
"""Entries of the outer dictionary that may hold the state dict."""

METRICS = ("mAP", "mINP")
"""Numbers that the authors' test printed for the saved epoch, as fractions."""

_PARALLEL_PREFIX = "module."
"""What `torch.nn.DataParallel` puts before every name."""


@dataclass(frozen=True)
class OfficialFile:
    """What an official checkpoint file holds."""

    path: Path
    state: dict[str, Tensor]
    """The state dict, on the CPU, without the prefix of `torch.nn.DataParallel`."""
    epoch: int | None = None
    """Number of the epoch after which it was saved, from 0; None where the file does not say."""
    trial: int | None = None
    """The train/test split, from 1, that the file or its name states; None where neither does."""
    seed: int | None = None
    """The seed that the name states."""
    metrics: dict[str, float] | None = None
    """What the authors' own test printed for it, as fractions: ``r1`` and `METRICS`, as far as they are there."""


def read_official_file(path: Path) -> OfficialFile:
    """Read an official checkpoint file onto the CPU.

    Raises `UsageError` where the file is absent or damaged, needs code to be loaded, or holds no state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"{path}: there is no such checkpoint file.")
    content = _load(path)
    entries, state = _parts(content, path)
    epoch, trial = (_whole_number(entries.get(name)) for name in ("epoch", "trial"))
    return OfficialFile(
        path=path,
        state=_without_parallel_prefix(state),
        epoch=epoch if epoch is not None and epoch >= 0 else None,
        trial=trial if trial is not None else _number_in_name(path, "trial"),
        seed=_number_in_name(path, "seed"),
        metrics=_metrics(entries),
    )


class _StandIn:
    """Keeps the arguments of a call and the state given afterwards, and does nothing with them."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Number(_StandIn):
    """A NumPy number: (dtype, bytes)."""


class _Array(_StandIn):
    """A NumPy array: state (version, shape, dtype, Fortran order, bytes)."""


def _named(kind: type[_StandIn], full_name: str) -> type[_StandIn]:
    """A class of its own that PyTorch finds under the name of the one it stands for."""
    module, _, name = full_name.rpartition(".")
    return type(name, (kind,), {"__module__": module, "__qualname__": name})


_ALLOWED = [
    _named(_StandIn, "numpy.dtype"),
    _named(_StandIn, "numpy.ndarray"),
    _named(_StandIn, "argparse.Namespace"),
    # NumPy 2 has renamed the module; files name that of the NumPy that wrote them.
    *(_named(_Number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *(_named(_Array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
]


def _load(path: Path) -> Any:
    try:
        return read_torch_file(path, _ALLOWED)
    except TorchFileError as error:
        if error.code:
            raise UsageError(
                f"{path}: needs the code of {error.code} to be loaded, which could do anything; only tensors and NumPy "
                'numbers are read, so save it anew where you trust it, as torch.save({"net": net.state_dict()}, FILE).'
            ) from None
        raise UsageError(
            f"{path}: is no file that PyTorch wrote, or a damaged one ({error}); fetch it again."
        ) from None


def _parts(content: Any, path: Path) -> tuple[Mapping[Any, Any], dict[str, Tensor]]:
    """The outer dictionary, empty where there is none, and the state dict."""
    if not isinstance(content, Mapping):
        raise UsageError(f"{path}: holds a {type(content).__name__}, not a state dict or a dictionary with one.")
    if is_checkpoint(content):
        raise UsageError(f"{path}: is a vibench checkpoint already; evaluate it with 'vibench eval --checkpoint'.")
    wrapped = next((content[name] for name in STATE_ENTRIES if isinstance(content.get(name), Mapping)), None)
    state = content if wrapped is None else wrapped
    odd = [repr(name) for name, value in state.items() if not (isinstance(name, str) and is_plain(value))]
    if odd or not state:
        raise UsageError(
            f"{path}: holds no state dict, neither by itself nor as its entry 'net': "
            f"{odd[0] if odd else 'nothing'} where only named tensors belong."
        )
    return {} if wrapped is None else content, dict(state)


def _without_parallel_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    if all(name.startswith(_PARALLEL_PREFIX) for name in state):
        return {name.removeprefix(_PARALLEL_PREFIX): tensor.detach() for name, tensor in state.items()}
    return {name: tensor.detach() for name, tensor in state.items()}


def _number_in_name(path: Path, what: str) -> int | None:
    """The number behind ``what`` in a file's name, as in ``regdb_agw_p4_n8_lr_0.1_seed_0_trial_3_best.t``."""
    found = re.search(rf"{what}[_-]?(\d+)", path.name, re.IGNORECASE)
    return int(found[1]) if found else None


def _metrics(entries: Mapping[Any, Any]) -> dict[str, float] | None:
    curve = _values(entries.get("cmc"))
    found = {} if curve is None or curve.size == 0 else {"r1": float(curve.flat[0])}
    for name in METRICS:
        value = _values(entries.get(name))
        if value is not None and value.size == 1:
            found[name] = float(value.flat[0])
    return {name: value for name, value in found.items() if 0 <= value <= 1} or None


def _whole_number(value: Any) -> int | None:
    numbers = _values(value)
    if numbers is None or numbers.size != 1 or not float(numbers.flat[0]).is_integer():
        return None
    return int(numbers.flat[0])


def _values(value: Any) -> np.ndarray | None:
    """A Python number, a tensor, or what stands for a NumPy number or array, as an array; None for all else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return np.array([value]) if abs(value) < 2**63 else None
    if is_plain(value):
        return value.detach().double().numpy()
    if isinstance(value, _Number) and len(value.arguments) == 2:
        return _from_bytes(*value.arguments)
    if isinstance(value, _Array) and isinstance(value.state, tuple) and len(value.state) == 5:
        return _from_bytes(value.state[2], value.state[4])
    return None


def _from_bytes(dtype: Any, data: Any) -> np.ndarray | None:
    """Little-endian numbers of a standard type, in the order in which they are stored."""
    name = dtype.arguments[0] if isinstance(dtype, _StandIn) and dtype.arguments else None
    if name not in ("f4", "f8", "i4", "i8") or not isinstance(data, bytes):
        return None
    kind = np.dtype(f"<{name}")
    return None if len(data) % kind.itemsize else np.frombuffer(data, kind)
