"""``.h5`` and MATLAB 7.3, which is HDF5 as well; needs h5py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vibench.errors import UsageError
from vibench.scoring.foreign.named import Budget, Named

_DEEPEST = 6
_MOST = 1_000_000
"""Groups and data sets of a file; some dump one data set per image."""
_INSTALL = "pip install 'vibench[formats]'"


def read_hdf5(path: Path) -> Named:
    """The data sets of a file, by their path in it; `UsageError` where it is damaged or h5py is missing.

    MATLAB's arrays are turned back to MATLAB's order; its texts and cells of texts become texts. What lies in another
    file is not followed.
    """
    try:
        import h5py
    except ImportError:
        raise UsageError(
            f"{path}: is an HDF5 file (a .mat of MATLAB 7.3 is one), which h5py reads: {_INSTALL}, or save it in "
            "MATLAB with the option '-v7'."
        ) from None
    walk = _Walk(h5py, Budget(path.stat().st_size))
    try:
        with h5py.File(path, "r") as file:
            walk.group("", file, 0)
    except Exception as error:  # h5py raises almost anything on damaged bytes
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UsageError(f"{path}: is no readable HDF5 file ({first[:200]}); write it again.") from None
    return walk.found


class _Walk:
    def __init__(self, h5py: Any, budget: Budget) -> None:
        self.found = Named()
        self._h5py = h5py
        self._budget = budget
        self._left = _MOST

    def group(self, name: str, group: Any, depth: int) -> None:
        """Add all data sets of a group."""
        for key in group:
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"it has more than {_MOST} entries")
            below = f"{name}/{key}" if name else str(key)
            if not isinstance(group.get(key, getlink=True), self._h5py.HardLink):
                self.found.unread[below] = "a link"
                continue
            if key.startswith("#"):
                # Where MATLAB keeps what its cells refer to.
                continue
            item = group[key]
            if isinstance(item, self._h5py.Group):
                if depth < _DEEPEST:
                    self.group(below, item, depth + 1)
                else:
                    self.found.unread[below] = "groups too deep in one another"
            elif isinstance(item, self._h5py.Dataset):
                self._dataset(below, item, group.file)

    def _dataset(self, name: str, item: Any, file: Any) -> None:
        if item.is_virtual or item.external or item.shape is None:
            self.found.unread[name] = "data of another file, or none"
            return
        self._budget.spend(max(1, item.dtype.itemsize) * int(np.prod([float(size) for size in item.shape])))
        kind = item.attrs.get("MATLAB_class")
        if self._h5py.check_ref_dtype(item.dtype) is not None:
            self._texts_of_references(name, item, file)
        elif self._h5py.check_string_dtype(item.dtype) is not None:
            values = item.asstr(errors="replace")[()]
            self._add_texts(name, np.asarray(values, dtype=object))
        elif kind == b"char":
            self.found.add(name, np.array(_matlab_text(item)))
        elif item.dtype.hasobject:
            self.found.unread[name] = f"values of the type {item.dtype}"
        else:
            values = np.asarray(item[()])
            self.found.add(name, values if kind is None else values.T)

    def _texts_of_references(self, name: str, item: Any, file: Any) -> None:
        """A cell of MATLAB, where it holds nothing but texts."""
        texts = []
        for reference in np.ravel(item[()]):
            target = file[reference] if reference else None
            if not isinstance(target, self._h5py.Dataset) or target.attrs.get("MATLAB_class") != b"char":
                self.found.unread[name] = "a cell of something else than texts"
                return
            self._budget.spend(target.dtype.itemsize * int(np.prod([float(size) for size in target.shape])))
            texts.append(_matlab_text(target))
        self._add_texts(name, np.array(texts, dtype=object))

    def _add_texts(self, name: str, values: np.ndarray) -> None:
        texts = [str(value) for value in values.ravel()]
        self._budget.spend(4 * max(map(len, texts), default=0) * len(texts))
        self.found.add(name, np.array(texts, dtype=np.str_).reshape(values.shape))


def _matlab_text(item: Any) -> str:
    """A row of letters, stored as UTF-16; HDF5 has MATLAB's columns first."""
    codes = np.asarray(item[()]).T.ravel()
    return "" if codes.dtype.kind != "u" or codes.ndim != 1 else "".join(map(chr, codes.astype(np.uint16).tolist()))
