"""Files of the safetensors format are read whole, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from vibench.files.safetensors import is_safetensors, read_safetensors


def written(path: Path, table: dict[str, Any], data: bytes) -> Path:
    head = json.dumps(table).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)
    return path


def entry(kind: str, shape: list[int], first: int, last: int) -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [first, last]}


def test_tensors_of_several_types(tmp_path: Path) -> None:
    weights, count, half = torch.arange(6.0).reshape(2, 3), torch.tensor(7), torch.ones(1, dtype=torch.bfloat16)
    data = half.view(torch.int16).numpy().tobytes() + weights.numpy().tobytes() + count.numpy().tobytes()
    table = {
        "__metadata__": {"format": "pt"},
        "a.count": entry("I64", [], 26, 34),
        "a.weight": entry("F32", [2, 3], 2, 26),
        "a.half": entry("BF16", [1], 0, 2),
        "a.none": entry("F32", [0, 4], 34, 34),
    }
    path = written(tmp_path / "m.safetensors", table, data)
    read = read_safetensors(path)
    assert is_safetensors(path) and set(read) == {"a.weight", "a.count", "a.half", "a.none"}
    assert torch.equal(read["a.weight"], weights) and torch.equal(read["a.count"], count)
    assert torch.equal(read["a.half"], half) and read["a.none"].shape == (0, 4)


@pytest.mark.parametrize(
    ("table", "size", "reason"),
    [
        ({"a": entry("F32", [2], 0, 8)}, 7, "cut short"),
        ({"a": entry("F32", [2], 0, 8)}, 9, "leaves bytes over"),
        ({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, 12, "do not begin where"),
        ({"a": entry("F32", [2**40, 2**40], 0, 8)}, 8, "not sound"),
        ({"a": entry("F32", [-2], 0, -8)}, 8, "not sound"),
        ({"a": entry("F4", [2], 0, 8)}, 8, "of a type that is not read: 'F4'"),
        ({"a": [1]}, 0, "not sound"),
        ({"a": {"dtype": "F32"}}, 0, "not sound"),
        ({"a": entry("F32", [0, 2**61, 2**61], 0, 0)}, 0, "has the shape"),
    ],
)
def test_a_table_that_its_bytes_do_not_bear_out(table: dict[str, Any], size: int, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=reason):
        read_safetensors(written(tmp_path / "m.safetensors", table, bytes(size)))


def test_what_is_no_table(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes((9).to_bytes(8, "little") + b'{"a": [[[')
    with pytest.raises(ValueError, match="no JSON"):
        read_safetensors(path)
    path.write_bytes((90).to_bytes(8, "little") + b'{"a": [[[')
    with pytest.raises(ValueError, match="cut short"):
        read_safetensors(path)
    path.write_bytes(b"{}")
    assert not is_safetensors(path) and not is_safetensors(tmp_path)
