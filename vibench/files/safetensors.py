"""Files of the safetensors format: a length, a table in JSON, and the bytes of all tensors one behind the other."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeGuard

import torch
from torch import Tensor

_LENGTH_BYTES = 8
_LARGEST_TABLE = 100_000_000
"""Bytes; the format's own limit."""
_MOST_TENSORS = 100_000
_MOST_DIMENSIONS = 16
_METADATA = "__metadata__"
_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def is_safetensors(path: Path) -> bool:
    """Whether ``path`` is a regular file that begins as one of the format does."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        head = handle.read(_LENGTH_BYTES + 1)
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    return head[_LENGTH_BYTES:] == b"{" and 2 <= length <= _LARGEST_TABLE


def read_safetensors(path: Path) -> dict[str, Tensor]:
    """All tensors by their names.

    `ValueError` where the file is cut short, or its table does not describe every byte behind it exactly once.
    """
    size = path.stat().st_size
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(_LENGTH_BYTES), "little")
        if length > min(_LARGEST_TABLE, size - _LENGTH_BYTES):
            raise ValueError("it is cut short")
        try:
            table = json.loads(handle.read(length))
        except (ValueError, RecursionError):
            raise ValueError("its table is no JSON") from None
        if not isinstance(table, dict) or len(table) > _MOST_TENSORS:
            raise ValueError("its table lists no tensors")
        table.pop(_METADATA, None)
        data_bytes = size - _LENGTH_BYTES - length
        placed = sorted((_placed(name, entry) for name, entry in table.items()), key=lambda one: one[1:3])
        end = 0
        for name, first, last, _, _ in placed:
            if first != end:
                raise ValueError(f"the bytes of its tensor {name!r} do not begin where those before it end")
            end = last
        if end != data_bytes:
            raise ValueError("it is cut short" if end > data_bytes else "its table leaves bytes over")
        data = bytearray(handle.read(data_bytes))
    return {name: _tensor(data, first, kind, shape) for name, first, _, kind, shape in placed}


def _placed(name: str, entry: Any) -> tuple[str, int, int, torch.dtype, tuple[int, ...]]:
    """Name, first byte, byte behind the last, type and shape of an entry; `ValueError` where it is not sound."""
    fault = ValueError(f"the entry of its tensor {name[:100]!r} is not sound")
    if not isinstance(entry, dict):
        raise fault
    kind, shape, place = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ValueError(f"its tensor {name[:100]!r} has numbers of a type that is not read: {str(kind)[:20]!r}")
    if not (_whole(shape) and len(shape) <= _MOST_DIMENSIONS and _whole(place) and len(place) == 2):
        raise fault
    if place[1] - place[0] != math.prod(shape) * _TYPES[kind].itemsize:
        raise fault
    return name, place[0], place[1], _TYPES[kind], tuple(shape)


def _whole(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(
        isinstance(number, int) and not isinstance(number, bool) and 0 <= number < 2**62 for number in value
    )


def _tensor(data: bytearray, first: int, kind: torch.dtype, shape: tuple[int, ...]) -> Tensor:
    count = math.prod(shape)
    try:
        # A copy, because the bytes of one need not lie as its type asks for.
        return (
            torch.frombuffer(data, dtype=kind, count=count, offset=first).clone().reshape(shape)
            if count
            else (torch.zeros(shape, dtype=kind))
        )
    except RuntimeError:
        raise ValueError(f"a tensor has the shape {shape}") from None
