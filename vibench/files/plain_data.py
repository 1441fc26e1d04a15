"""What may stand beside the weights in a file: NumPy's numbers and arrays, paths, and the arguments of a script.

PyTorch's safe reader refuses every class and function but those allowed. Those here are allowed by name only: in
their place stand classes that keep what they are given, so that no code of NumPy, argparse or pathlib meets the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vibench.files.torch_file import is_plain


class StandIn:
    """Keeps the arguments of a call and the state given afterwards, and does nothing with them."""

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Number(StandIn):
    """A NumPy number: (dtype, bytes)."""


class _Array(StandIn):
    """A NumPy array: state (version, shape, dtype, Fortran order, bytes)."""


def _named(kind: type[StandIn], full_name: str) -> type[StandIn]:
    """A class of its own that PyTorch finds under the name of the one it stands for."""
    module, _, name = full_name.rpartition(".")
    return type(name, (kind,), {"__module__": module, "__qualname__": name})


PLAIN_DATA = (
    _named(StandIn, "numpy.dtype"),
    _named(StandIn, "numpy.ndarray"),
    _named(StandIn, "argparse.Namespace"),
    _named(StandIn, "types.SimpleNamespace"),
    # NumPy 2 has renamed the module; files name that of the NumPy that wrote them.
    *(_named(_Number, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *(_named(_Array, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    *(
        _named(StandIn, f"{module}.{kind}")
        for module in ("pathlib", "pathlib._local")
        for kind in ("PosixPath", "WindowsPath")
    ),
)
"""What `vibench.files.torch_file.read_torch_file` is to allow."""


def numbers(value: Any) -> np.ndarray | None:
    """A Python number, a tensor, or what stands for a NumPy number or array, as an array; None for all else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return np.array([value]) if abs(value) < 2**63 else None
    if is_plain(value) and not value.is_complex():
        return value.detach().double().numpy()
    if isinstance(value, _Number) and len(value.arguments) == 2:
        return _from_bytes(*value.arguments)
    if isinstance(value, _Array) and isinstance(value.state, tuple) and len(value.state) == 5:
        return _from_bytes(value.state[2], value.state[4])
    return None


def _from_bytes(dtype: Any, data: Any) -> np.ndarray | None:
    """Little-endian numbers of a standard type, in the order in which they are stored."""
    name = dtype.arguments[0] if isinstance(dtype, StandIn) and dtype.arguments else None
    if name not in ("f4", "f8", "i4", "i8") or not isinstance(data, bytes):
        return None
    kind = np.dtype(f"<{name}")
    return None if len(data) % kind.itemsize else np.frombuffer(data, kind)
