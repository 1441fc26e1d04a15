"""What a file of any kind comes to: arrays by name. Every reader of this room returns that, and keeps to its bounds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vibench.files.npz import LARGEST_ARRAYS, MOST_PACKED

SMALL = 64 << 20
"""Bytes that a file may unpack to whatever its size."""
PLAIN = "biufU"
"""Kinds of NumPy types that an array may have here."""


@dataclass
class Named:
    """The content of a file."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    """Of a kind in `PLAIN`; a name inside a group or dictionary is ``outer/inner``."""
    unread: dict[str, str] = field(default_factory=dict)
    """What is there besides, by name, and what it is: ``objects of Python, which are never unpickled``."""

    def add(self, name: str, array: np.ndarray) -> None:
        """Keep an array, bytes as texts, or note why it is none."""
        if array.dtype.kind == "S":
            try:
                array = np.char.decode(array, "utf-8")
            except UnicodeDecodeError:
                self.unread[name] = "bytes that are no UTF-8"
                return
        if array.dtype.kind in PLAIN:
            self.arrays[name] = array
        else:
            self.unread[name] = f"values of the type {array.dtype}"


def most_bytes(size: int) -> int:
    """Bytes of all arrays that a file of ``size`` bytes may hold."""
    return min(LARGEST_ARRAYS, max(SMALL, MOST_PACKED * size))


class Budget:
    """Counts what comes out of a file against what may; `ValueError` where it is more."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._left = most_bytes(size)

    def spend(self, count: int) -> None:
        """Take ``count`` bytes."""
        self._left -= count
        if self._left < 0:
            raise ValueError(f"it has {self._size} bytes but declares more than {most_bytes(self._size)}")
