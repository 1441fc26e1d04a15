"""NumPy archives with one row per image, told apart by the array ``paths``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vibench.errors import UsageError


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file by their names; `UsageError` where it is absent, damaged or would run code."""
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file.")
    try:
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it is a single array")
        with archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged archive raises almost anything inside zipfile, zlib and NumPy
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{path}: is no readable .npz file of plain arrays ({reason}).") from None


def rows_of_paths(path: Path, stored: np.ndarray, count: int, names: Sequence[str]) -> np.ndarray:
    """Rows (int64) of the images ``names`` in the file ``path``, whose array ``paths`` is ``stored``.

    ``count`` is the number of rows of its other arrays. Raises `UsageError` for an image that is missing or doubled.
    """
    if stored.ndim != 1 or stored.dtype.kind != "U":
        raise UsageError(f"{path}: its array 'paths' must be a list of texts, not {stored.dtype} {stored.shape}.")
    if len(stored) != count:
        raise UsageError(f"{path}: names {len(stored)} images in 'paths' but has {count} rows.")
    row_of = {name: row for row, name in enumerate(stored.tolist())}
    if len(row_of) != len(stored):
        raise UsageError(f"{path}: names an image in 'paths' more than once; every image must have one row.")
    missing = [name for name in names if name not in row_of]
    if missing:
        raise UsageError(
            f"{path}: lacks {len(missing)} of {len(names)} images, the first is {missing[0]!r}; all of the data "
            "set's must be in it, named relative to its folder."
        )
    return np.fromiter((row_of[name] for name in names), dtype=np.int64, count=len(names))
