"""``.pt`` and ``.pth``: tensors, NumPy arrays and plain containers of them, by PyTorch's own safe reader."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vibench.errors import UsageError
from vibench.files.torch_file import TorchFileError, is_plain, read_torch_file
from vibench.scoring.foreign.named import Budget, Named
from vibench.scoring.foreign.recipes import unpickle

_DEEPEST = 6
"""Containers in one another."""
_COLUMNS = 12
"""Values of one image or batch, at most, where a file is a list of tuples."""
_NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


class _StandIn:
    """In the place of a class of NumPy: keeps what it is given, and does nothing with it."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _stand_in(full_name: str) -> type[_StandIn]:
    module, _, name = full_name.rpartition(".")
    return type(name, (_StandIn,), {"__module__": module, "__qualname__": name})


_DTYPE = _stand_in("numpy.dtype")
# NumPy 2 has renamed the module; files name that of the NumPy that wrote them.
_ARRAYS = tuple(_stand_in(f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core"))
_SCALARS = tuple(_stand_in(f"numpy.{core}.multiarray.scalar") for core in ("core", "_core"))
_ALLOWED = (_DTYPE, _stand_in("numpy.ndarray"), *_ARRAYS, *_SCALARS)


def read_torch(path: Path) -> Named:
    """What a file of ``torch.save`` holds; `UsageError` where it is damaged or asks for code."""
    try:
        content = read_torch_file(path, _ALLOWED)
    except TorchFileError as error:
        if error.code:
            raise UsageError(
                f"{path}: asks for the code of {error.code} to be loaded, which could do anything; only tensors, NumPy "
                "arrays and plain containers of them are read. Where you trust it, convert it.",
                recipe=unpickle(path, "torch.load(FILE, map_location='cpu', weights_only=False)", "import pickle"),
            ) from None
        raise UsageError(f"{path}: {error}.") from None
    size = path.stat().st_size
    walk = _Walk(Budget(size), values=max(size, 1 << 16))
    try:
        walk.collect("", content, 0)
    except (ValueError, RuntimeError, RecursionError) as error:
        raise UsageError(f"{path}: cannot be read ({str(error)[:200]}); save it again.") from None
    return walk.found


class _Walk:
    """Through nested containers; the same value in many places counts in each, so that no small file comes to much."""

    def __init__(self, budget: Budget, values: int) -> None:
        self.found = Named()
        self._budget = budget
        self._values = values

    def collect(self, name: str, value: Any, depth: int) -> None:
        """Add what ``value`` holds under ``name`` and, in dictionaries and lists of different things, below it."""
        self._count(1)
        array = self._array(value)
        if array is not None:
            self.found.add(name or "0", array)
        elif depth > _DEEPEST:
            self.found.unread[name] = "containers too deep in one another"
        elif isinstance(value, Mapping):
            if _of_images(value):
                self.collect(_below(name, "paths"), list(value), depth + 1)
                value = {key: [entry[key] for entry in value.values()] for key in next(iter(value.values()))}
                self._count(sum(map(len, value.values())))
            for key, entry in value.items():
                self.collect(_below(name, key), entry, depth + 1)
        elif isinstance(value, list | tuple):
            for key, entry in self._columns(value):
                self.collect(_below(name, key), entry, depth + 1)
        elif value is not None:
            self.found.unread[name or "0"] = f"a {type(value).__name__}"

    def _count(self, values: int) -> None:
        self._values -= values
        if self._values < 0:
            raise ValueError("it holds more values than its size allows")

    def _array(self, value: Any) -> np.ndarray | None:
        """An array, a number, a text, or a list of such that is one array; None for all else."""
        if isinstance(value, bool | int | float | str | bytes):
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                return None
            self._budget.spend(4 * len(value) if isinstance(value, str | bytes) else 8)
            return np.array(value)
        if isinstance(value, torch.Tensor):
            return self._tensor(value)
        if isinstance(value, _StandIn):
            return self._numpy(value)
        if isinstance(value, list | tuple) and value:
            return self._list(value)
        return None

    def _list(self, values: list[Any] | tuple[Any, ...]) -> np.ndarray | None:
        self._count(len(values))
        if all(isinstance(value, str) for value in values):
            self._budget.spend(4 * max(map(len, values)) * len(values))
            return np.array(values, dtype=np.str_)
        if isinstance(values[0], Mapping) or any(isinstance(value, str) for value in values):
            return None
        arrays: list[np.ndarray] = []
        for value in values:
            array = self._array(value)
            if array is None or (arrays and array.dtype.kind != arrays[0].dtype.kind):
                return None
            arrays.append(array)
        return self._joined(arrays)

    def _joined(self, arrays: list[np.ndarray]) -> np.ndarray | None:
        """Rows or batches as one array; None where they are different things."""
        first = arrays[0]
        if len({array.ndim for array in arrays}) > 1:
            return None
        self._budget.spend(sum(array.nbytes for array in arrays))
        if first.ndim == 0:
            return np.array(arrays)
        if len({array.shape[1:] for array in arrays}) > 1:
            return None
        same = len({len(array) for array in arrays}) == 1
        if first.ndim == 1 and first.dtype.kind == "f" and same:
            # Vectors, one per image; labels of batches are whole numbers or texts.
            return np.stack(arrays)
        return np.concatenate(arrays)

    def _tensor(self, value: torch.Tensor) -> np.ndarray | None:
        if not is_plain(value):
            return None
        value = value.detach()
        if value.dtype == torch.bfloat16 or (value.dtype.is_floating_point and value.element_size() == 1):
            value = value.float()
        self._budget.spend(value.numel() * value.element_size())
        # As an array of its own: what a tensor shares with another is nobody's business here.
        return value.clone().contiguous().resolve_conj().resolve_neg().numpy()

    def _numpy(self, value: _StandIn) -> np.ndarray | None:
        if isinstance(value, _SCALARS) and len(value.arguments) == 2:
            return self._from_bytes(value.arguments[0], value.arguments[1], ())
        state = value.state
        if not isinstance(value, _ARRAYS) or not isinstance(state, tuple) or len(state) != 5:
            return None
        _, shape, dtype, fortran, data = state
        if not isinstance(shape, tuple) or not all(type(size) is int and size >= 0 for size in shape):
            return None
        if isinstance(data, list):
            return self._list(data) if data and all(isinstance(text, str) for text in data) else None
        return self._from_bytes(dtype, data, shape[::-1] if fortran else shape, bool(fortran))

    def _from_bytes(self, dtype: Any, data: Any, shape: tuple[int, ...], turned: bool = False) -> np.ndarray | None:
        name = dtype.arguments[0] if isinstance(dtype, _DTYPE) and dtype.arguments else None
        order = dtype.state[1] if isinstance(dtype, _DTYPE) and isinstance(dtype.state, tuple) else "<"
        if order not in ("<", ">", "|", "=") or not isinstance(name, str) or not isinstance(data, bytes):
            return None
        text = name[:1] in "US" and name[1:].isascii() and name[1:].isdigit() and 0 < len(name) < 7
        if name not in _NUMBERS and not (text and int(name[1:]) > 0):
            return None
        kind = np.dtype(f"{order}{name}")
        self._budget.spend(len(data))
        if len(data) != kind.itemsize * int(np.prod([float(size) for size in shape])):
            return None
        array = np.frombuffer(data, kind).reshape(shape)
        return (array.T if turned else array).astype(kind.newbyteorder("="))

    def _columns(self, values: list[Any] | tuple[Any, ...]) -> Iterable[tuple[Any, Any]]:
        """Entries by name: of a list of equal dictionaries or tuples its columns, else the entries by number."""
        self._count(len(values))
        if len(values) > 1 and all(isinstance(value, Mapping) and value.keys() == values[0].keys() for value in values):
            return [(key, [value[key] for value in values]) for key in values[0]]
        rows = [value for value in values if isinstance(value, list | tuple)]
        if len(values) > 1 and len(rows) == len(values) and len({len(row) for row in rows}) == 1:
            if all(isinstance(text, str) for row in rows for text in row):
                return [("0", [text for row in rows for text in row])]
            if 0 < len(rows[0]) <= _COLUMNS:
                return [(number, list(column)) for number, column in enumerate(zip(*rows, strict=True))]
        if rows and len(rows) == len(values) and all(isinstance(text, str) for row in rows for text in row):
            return [("0", [text for row in rows for text in row])]
        return list(enumerate(values))


def _of_images(value: Mapping[Any, Any]) -> bool:
    """Whether a dictionary has one of equal keys for each path of an image."""
    entries = list(value.values())
    return (
        len(entries) > 1
        and all(isinstance(key, str) and ("/" in key or "\\" in key or "." in key) for key in value)
        and all(isinstance(entry, Mapping) and entry.keys() == entries[0].keys() for entry in entries)
    )


def _below(name: str, key: Any) -> str:
    key = key if isinstance(key, str) else str(key) if isinstance(key, int) else type(key).__name__
    return f"{name}/{key}" if name else key
