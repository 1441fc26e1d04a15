"""NumPy files and archives, read only after what they declare has been compared with what they are.

An archive of a few kilobytes can declare, and unpack to, any number of bytes. Whatever an array is said to hold must
therefore be in the file, packed at most `MOST_PACKED` times, and `LARGEST_ARRAYS` bounds it all.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np

from vibench.errors import UsageError
from vibench.files.reading import require_file, status_of_regular

LARGEST_ARRAYS = 16 << 30
"""Bytes of all arrays of a file: features of all images of the largest data set, with all their parts, have three."""
MOST_PACKED = 100
"""Times that arrays of more than `SMALL_ARRAYS` bytes may be smaller in the file; zeros alone come to a thousand."""
LARGEST_PICKLE = 64 << 20
"""Bytes of an array of objects: the names of a million images."""
SMALL_ARRAYS = 256 << 20
"""Bytes that a file may unpack to whatever its size."""
_PIECE = 4 << 20
"""Bytes that are read at a time."""
_LONGEST_HEADER = 10_000
"""Bytes; what NumPy takes at most."""


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an ``.npz`` file by their names.

    `UsageError` where it is absent, damaged, would run code, or declares more than it may hold.
    """
    arrays, objects = read_plain_arrays(path)
    if objects:
        raise UsageError(
            f"{path}: is no readable .npz file of plain arrays ({objects[0] + '.npy'!r} is an array of Python objects, "
            "which is never unpickled; save texts with numpy.array(names, dtype=str)); write it again."
        )
    return arrays


def read_plain_arrays(path: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The arrays of an ``.npz`` file by their names, and the names of its arrays of Python objects, left unread.

    `UsageError` where it is absent, damaged, or declares more than it may hold.
    """
    require_file(path)
    try:
        return _arrays_of_archive(path)
    except Exception as error:  # a damaged archive raises almost anything inside zipfile, zlib and NumPy
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"{path}: is no readable .npz file of plain arrays ({reason}); write it again.") from None


def open_npy(path: Path) -> np.memmap:
    """The array of an ``.npy`` file in C order, mapped read-only; `ValueError` or `OSError` for any other file.

    The file must have as many bytes as its header declares.
    """
    size = status_of_regular(path).st_size
    with path.open("rb") as handle:
        if handle.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            raise ValueError("it is no .npy file")
        handle.seek(0)
        shape, dtype, fortran = _declared(handle)
        start = handle.tell()
    if dtype.hasobject or fortran or size != start + _bytes_of(shape, dtype):
        raise ValueError("its header and its size disagree")
    return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape)


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


def read_npy(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file; `ValueError` or `OSError` for any other file and for an array of objects.

    The file must have as many bytes as its header declares.
    """
    with path.open("rb") as handle:
        shape, dtype, _ = _declared(handle)
        start = handle.tell()
        if dtype.hasobject:
            raise ValueError("it is an array of Python objects, which is never unpickled")
        size = _bytes_of(shape, dtype)
        if path.stat().st_size != start + size or size > LARGEST_ARRAYS or (dtype.itemsize == 0 and 0 not in shape):
            raise ValueError(f"it declares {size} bytes and has {path.stat().st_size - start}")
        handle.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array: np.ndarray = np.load(handle, allow_pickle=False)
        return array


def pickled_objects(path: Path, name: str | None = None) -> tuple[tuple[int, ...], bytes]:
    """Shape and pickle of an array of objects: the one of an ``.npy`` file, or ``name`` of a checked ``.npz``."""
    if name is None:
        with path.open("rb") as handle:
            shape, _, _ = _declared(handle)
            return shape, handle.read(LARGEST_PICKLE)
    with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as member:
        shape, _, _ = _declared(member)
        return shape, member.read(LARGEST_PICKLE)


def _arrays_of_archive(path: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """As `read_plain_arrays`, in one pass.

    `ValueError` unless every array has as many bytes as it declares, and all together no more than allowed.
    """
    arrays: dict[str, np.ndarray] = {}
    objects = []
    if not zipfile.is_zipfile(path):
        with path.open("rb") as handle:
            single = handle.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX
        raise ValueError(
            "it is a single .npy array; save all arrays together with numpy.savez"
            if single
            else "it is truncated or of another kind"
        )
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        size, unpacked = path.stat().st_size, sum(member.file_size for member in members)
        if unpacked > LARGEST_ARRAYS or unpacked > max(SMALL_ARRAYS, MOST_PACKED * size):
            raise ValueError(f"it has {size} bytes but declares {unpacked}")
        if len({member.filename for member in members}) < len(members):
            raise ValueError("it has two arrays of one name")
        for member in members:
            if not member.filename.endswith(".npy"):
                raise ValueError(f"its member {member.filename!r} is no array")
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as handle:
                shape, dtype, fortran = _declared(handle)
                size, held = _bytes_of(shape, dtype), member.file_size - handle.tell()
                if dtype.hasobject:
                    objects.append(name)
                    continue
                if size != held or (dtype.itemsize == 0 and 0 not in shape):
                    raise ValueError(f"{member.filename!r} declares {size} bytes and has {held}")
                arrays[name] = np.empty(shape, dtype, order="F" if fortran else "C")
                if size:
                    _fill(arrays[name], handle)
    return arrays, tuple(objects)


def _fill(array: np.ndarray, handle: IO[bytes]) -> None:
    """Read the data of a contiguous array in pieces, so that it is not held twice."""
    flat = array.reshape(-1, order="A").view(np.uint8)
    for start in range(0, flat.size, _PIECE):
        end = min(start + _PIECE, flat.size)
        piece = handle.read(end - start)
        if len(piece) < end - start:
            raise ValueError("an array ends before its declared size")
        flat[start:end] = np.frombuffer(piece, np.uint8)


def _declared(handle: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Shape, type and Fortran order of the ``.npy`` file that begins at the handle's place, which moves to its data."""
    version = np.lib.format.read_magic(handle)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it is of the .npy version {version[0]}.{version[1]}")
    length = handle.read(2 if version == (1, 0) else 4)
    return _header(version, length + handle.read(min(int.from_bytes(length, "little"), _LONGEST_HEADER)))


@lru_cache(maxsize=256)
def _header(version: tuple[int, int], text: bytes) -> tuple[tuple[int, ...], np.dtype, bool]:
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():
        # Headers that Python 2 wrote, and types of old NumPys.
        warnings.simplefilter("ignore")
        shape, fortran, dtype = read(io.BytesIO(text))
    if any(isinstance(size, bool) or size < 0 for size in shape):
        raise ValueError(f"an array has the shape {shape}")
    return shape, dtype, fortran


def _bytes_of(shape: tuple[int, ...], dtype: np.dtype) -> int:
    # Python's whole numbers do not overflow as NumPy's do.
    return math.prod(shape) * dtype.itemsize
