"""Variables of MATLAB files (version 5): real numbers and cells of them, which is all that the data sets' files hold.

Features of other people hold texts as well, which `read_variables` reads besides.

SciPy reads them, and believes whatever a file says of itself: one wrong bit in the type of some numbers ends the
process, as cells do that lie deep in one another, and two hundred bytes can ask for gigabytes. Hence the structure of
the array that is wanted (MathWorks' "MAT-File Format") is checked before.
"""

from __future__ import annotations

import math
import struct
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path

import numpy as np

from vibench.errors import UsageError
from vibench.files.kinds import file_kind
from vibench.files.reading import read_bytes

LARGEST_FILE = 16 << 20
"""Bytes, packed and unpacked; the largest file of a data set has 0.6 million."""
_DEEPEST = 4
"""Cells in one another; the official draws have two."""
_HEADER_BYTES = 128
_ARRAY, _PACKED = 14, 15
_VALUES = {1: (_ARRAY,), **dict.fromkeys(range(6, 16), (1, 2, 3, 4, 5, 6, 7, 9, 12, 13))}
"""Types of the elements that hold an array's values, by its class: 1 is a cell, and the others are numbers."""
_COMPLEX = 0x800
_TEXT = 4
_LETTERS = (1, 2, 4, 16)
"""Types of the elements that hold the letters of a text: bytes, UTF-16, UTF-8."""


def read_variable(path: Path, variable: str) -> np.ndarray:
    """The array ``variable`` of a ``.mat`` file: numbers, or objects that are such arrays where it is a cell.

    `UsageError` when the file or the variable cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise UsageError(f"{path} is missing; copy it from the data set authors' archive or repository")
    try:
        content = read_bytes(path, LARGEST_FILE)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); copy it again") from None
    if kind := file_kind(content):
        raise UsageError(f"{path} is {kind.name}, no MATLAB 5 file; {kind.remedy}")
    try:
        found = _find(content, variable)
    except Exception as error:  # SciPy raises almost anything on damaged bytes
        raise UsageError(f"{path} is no readable MATLAB 5 file ({error}); copy it again") from None
    if found is None:
        raise UsageError(f"{path} holds no variable {variable!r}; copy the file again from the data set's archive")
    return found


def read_variables(path: Path, largest: int, unpacked: int) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """All variables of a ``.mat`` file of at most ``largest`` bytes, texts among them, and what is left unread and why.

    All of them together may unpack to ``unpacked`` bytes. `UsageError` when the file cannot be read.
    """
    found: dict[str, np.ndarray] = {}
    unread: dict[str, str] = {}
    try:
        content = read_bytes(path, largest)
        for name, data, order in _arrays(content, unpacked):
            try:
                _check_array(data, order, texts=True)
            except _OtherKind as error:
                unread[name] = str(error)
            else:
                found[name] = _value(content, data, order, name)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); copy it again") from None
    except Exception as error:  # SciPy raises almost anything on damaged bytes
        raise UsageError(f"{path} is no readable MATLAB 5 file ({error}); copy it again") from None
    return found, unread


class _OtherKind(ValueError):
    """A sound array of a kind that is not read."""


def _find(content: bytes, variable: str) -> np.ndarray | None:
    """The variable's value, None where there is no such variable."""
    for name, data, order in _arrays(content, LARGEST_FILE):
        if name == variable:
            _check_array(data, order)
            return _value(content, data, order, name)
    return None


def _arrays(content: bytes, most: int) -> Iterator[tuple[str, memoryview, str]]:
    """Name, bytes and byte order of every variable; all of them together unpack to at most ``most`` bytes."""
    order = {b"IM": "<", b"MI": ">"}.get(content[126:_HEADER_BYTES])
    if order is None:
        raise ValueError("its header is none of that format")
    for kind, data in _elements(memoryview(content)[_HEADER_BYTES:], order, padded=False):
        if kind == _PACKED:
            kind, data = next(_elements(_unpacked(data, most), order), (0, data))
            most -= len(data)
        if kind != _ARRAY:
            raise ValueError(f"an element of type {kind} stands where an array belongs")
        _, _, (_, name) = islice(_elements(data, order), 3)
        yield bytes(name).decode("latin-1"), data, order


def _value(content: bytes, data: memoryview, order: str, name: str) -> np.ndarray:
    """The value of a checked array."""
    from scipy.io import loadmat

    alone = b"MATLAB 5.0".ljust(124) + content[124:_HEADER_BYTES] + struct.pack(f"{order}II", _ARRAY, len(data))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return loadmat(BytesIO(alone + data), mat_dtype=True)[name]  # type: ignore[arg-type]


def _unpacked(data: memoryview, most: int) -> memoryview:
    inflater = zlib.decompressobj()
    content = inflater.decompress(data, max(1, most))
    if not inflater.eof:
        raise ValueError(f"it is cut short or unpacks to more than {most} bytes")
    return memoryview(content)


def _elements(data: memoryview, order: str, padded: bool = True) -> Iterator[tuple[int, memoryview]]:
    """Type and content of one element behind the other; those inside an array begin at multiples of eight bytes."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from(f"{order}II", data, at)
        start = at + 8
        if kind >> 16:
            # The small form: type and size in one word, and the content, up to four bytes, in the other.
            kind, size, start = kind & 0xFFFF, min(kind >> 16, 4), at + 4
        at = start + size
        if at > len(data):
            raise ValueError("it is cut short")
        yield kind, data[start:at]
        at = -(-at // 8) * 8 if padded else at


def _check_array(data: memoryview, order: str, depth: int = 0, texts: bool = False) -> None:
    """An error unless an array and all those in it are numbers or cells (or ``texts``), as many as they declare."""
    form, form_size, flags, _, shape_form, shape_size = struct.unpack_from(f"{order}6I", data)
    if (form, form_size, shape_form) != (6, 8, 5):
        raise ValueError("the type or shape of an array is damaged")
    shape = struct.unpack_from(f"{order}{shape_size // 4}i", data, 24)
    allowed = _LETTERS if texts and flags & 0xFF == _TEXT else _VALUES.get(flags & 0xFF)
    if allowed is None or flags & _COMPLEX:
        raise _OtherKind("it holds something else than real numbers and cells of them")
    # A number takes a byte at least, an array in a cell eight.
    if min(shape) < 0 or math.prod(shape) > len(data):
        raise ValueError(f"an array of the shape {shape[:9]} has {len(data)} bytes")
    if depth > _DEEPEST:
        raise ValueError("cells lie in one another too deeply")
    parts = 0
    for kind, part in islice(_elements(data, order), 3, None):
        if kind not in allowed:
            raise ValueError(f"an element of type {kind} stands among the values of an array")
        # Without content, it stands for an empty array.
        if kind == _ARRAY and part:
            _check_array(part, order, depth + 1, texts)
        parts += 1
    if parts != (math.prod(shape) if _ARRAY in allowed else 1):
        raise ValueError(f"an array of the shape {shape[:9]} has {parts} parts")
