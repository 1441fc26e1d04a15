"""Variables of MATLAB files (version 5): real numbers and cells of them, which is all that the data sets' files hold.

The format is MathWorks' "MAT-File Format". A general reader would take the sizes that a file declares at their word and
follow cells in cells as deep as they go; here every size is compared with the bytes that are there before anything is
allocated, and what is no number and no cell is refused. Nothing in a file is ever run.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from vibench.errors import UsageError
from vibench.files.reading import read_bytes

LARGEST_FILE = 64 << 20
"""Bytes, packed and unpacked; the largest file of a data set has four million."""

_HEADER_BYTES = 128
_DEEPEST = 4
"""Cells in one another; the official draws have two."""
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""Number types of data by their tag."""
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""Number types of arrays by their class, in which MATLAB shows what it may have stored in a smaller type."""
_CELL = 1
_COMPLEX, _LOGICAL = 8, 2

ByteOrder = Literal["<", ">"]


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
    try:
        found = _find(content, variable)
    except (ValueError, zlib.error) as error:
        raise UsageError(f"{path} is no readable MATLAB 5 file ({error}); copy it again") from None
    if found is None:
        raise UsageError(f"{path} holds no variable {variable!r}; copy the file again from the data set's archive")
    return found


class _Element(NamedTuple):
    type: int
    data: memoryview


def _find(content: bytes, variable: str) -> np.ndarray | None:
    """The variable's value, None where there is no such variable; `ValueError` for a damaged or other file."""
    marks: dict[bytes, ByteOrder] = {b"IM": "<", b"MI": ">"}
    order = marks.get(content[126:128])
    if order is None or len(content) < _HEADER_BYTES:
        raise ValueError("its header is none of that format")
    for element in _elements(memoryview(content)[_HEADER_BYTES:], order, padded=False):
        if element.type == _COMPRESSED:
            unpacked = memoryview(_unpacked(element.data))
            element = next(_elements(unpacked, order), _Element(0, unpacked))
        if element.type != _MATRIX:
            raise ValueError(f"an element of type {element.type} stands where an array belongs")
        parts = _elements(element.data, order)
        if _head(parts, order).name == variable:
            return _array(element.data, order, 0)
    return None


def _unpacked(data: memoryview) -> bytes:
    inflater = zlib.decompressobj()
    content = inflater.decompress(data, LARGEST_FILE)
    if inflater.unconsumed_tail:
        raise ValueError(f"it unpacks to more than {LARGEST_FILE} bytes")
    if not inflater.eof:
        raise ValueError("it ends too early")
    return content


def _elements(data: memoryview, order: ByteOrder, padded: bool = True) -> Iterator[_Element]:
    """The data elements one behind the other; those inside an array begin at multiples of eight bytes."""
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise ValueError("it ends too early")
        first, size = np.frombuffer(data[at : at + 8], dtype=f"{order}u4").tolist()
        start = at + 8
        if first >> 16:
            # The small form: type and size in one word, and the data in the other.
            first, size, start = first & 0xFFFF, first >> 16, at + 4
            if size > 4:
                raise ValueError("a small element has more than four bytes")
        if size > len(data) - start:
            raise ValueError("it ends too early")
        yield _Element(first, data[start : start + size])
        at = start + size
        if padded:
            at = -(-at // 8) * 8


class _Head(NamedTuple):
    class_: int
    flags: int
    shape: tuple[int, ...]
    name: str


def _head(parts: Iterator[_Element], order: ByteOrder) -> _Head:
    """What an array says of itself, in its first three elements."""
    flags, shape, name = next(parts, None), next(parts, None), next(parts, None)
    if flags is None or shape is None or name is None:
        raise ValueError("an array has no type, shape or name")
    if flags.type != 6 or len(flags.data) != 8 or shape.type != 5 or len(shape.data) % 4 or name.type not in (1, 2):
        raise ValueError("an array's type, shape or name is damaged")
    word = int(np.frombuffer(flags.data[:4], dtype=f"{order}u4")[0])
    sizes = tuple(np.frombuffer(shape.data, dtype=f"{order}i4").tolist())
    if len(sizes) < 2 or min(sizes) < 0:
        raise ValueError(f"an array has the shape {sizes[:9]}")
    return _Head(word & 0xFF, word >> 8 & 0xFF, sizes, bytes(name.data).decode("latin-1"))


def _array(data: memoryview, order: ByteOrder, depth: int) -> np.ndarray:
    """The array in the data of an element of type 14."""
    parts = _elements(data, order)
    head = _head(parts, order)
    # Python's numbers do not overflow.
    count = 1
    for size in head.shape:
        count *= size
    # A number takes a byte at least, an array in a cell eight.
    if count > len(data):
        raise ValueError(f"an array of the shape {head.shape[:9]} has only {len(data)} bytes")
    if head.class_ == _CELL:
        if depth >= _DEEPEST:
            raise ValueError("cells lie in one another too deeply")
        values = np.empty(count, dtype=object)
        for at in range(count):
            part = next(parts, None)
            if part is None or part.type != _MATRIX:
                raise ValueError(f"a cell of the shape {head.shape[:9]} has {at} arrays")
            # An empty element stands for an empty array.
            values[at] = _array(part.data, order, depth + 1) if len(part.data) else np.zeros((0, 0))
        return values.reshape(head.shape, order="F")
    kind = _CLASSES.get(head.class_)
    part = next(parts, None)
    if kind is None or part is None or part.type not in _STORED or head.flags & _COMPLEX:
        raise ValueError("it holds something else than real numbers and cells of them")
    stored = np.dtype(f"{order}{_STORED[part.type]}")
    if len(part.data) != count * stored.itemsize:
        raise ValueError(f"an array of the shape {head.shape[:9]} has {len(part.data)} bytes of {stored.name}")
    numbers = np.frombuffer(part.data, dtype=stored)
    wanted = np.dtype(np.bool_ if head.flags & _LOGICAL else kind)
    with np.errstate(invalid="ignore"):
        return numbers.astype(wanted).reshape(head.shape, order="F")
