"""MATLAB files: the same arrays as scipy reads, and refusals that cost nothing."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.io import loadmat, savemat

from tests.fuzz.nasties import _mat, _mat_array, _mat_element, _nested_cells
from vibench.datasets.matlab import read_variable
from vibench.errors import UsageError

NUMBERS = arrays.arrays(
    st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "?"]),
    arrays.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=4),
)


def same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype == object:
        return one.shape == other.shape and all(map(same, one.ravel(), other.ravel()))
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(NUMBERS, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_as_scipy_reads_them(tmp_path: Path, found: list[np.ndarray], cells: bool, packed: bool) -> None:
    value = found[0]
    if cells:
        value = np.empty((len(found), 1), dtype=object)
        for at, array in enumerate(found):
            value[at, 0] = array
    path = tmp_path / "a.mat"
    savemat(path, {"other": np.eye(2), "wanted": value}, do_compression=packed)
    read = read_variable(path, "wanted")
    assert same(read, loadmat(path)["wanted"])
    assert cells or read.dtype == (np.bool_ if value.dtype == np.bool_ else value.dtype)


def test_the_official_files(shared: Path) -> None:
    files = list(shared.rglob("*.mat"))
    assert files
    for path in files:
        for name, value in loadmat(path).items():
            if not name.startswith("__"):
                assert same(read_variable(path, name), value)


def test_big_endian(tmp_path: Path) -> None:
    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    head = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", 1, 2))
    array = element(14, head + element(1, b"id") + element(9, struct.pack(">dd", 3.0, 7.0)))
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + array)
    assert read_variable(tmp_path / "a.mat", "id").tolist() == [[3.0, 7.0]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_mat(_mat_element(15, zlib.compress(bytes(65 << 20)))), "unpacks to more than"),
        (_mat(_mat_array(1, (1, 1), b"id", _nested_cells(9))), "too deeply"),
        (_mat(_mat_array(1, (2**31 - 1, 2**31 - 1), b"id")), "has only"),
        (_mat(_mat_array(6, (2**30, 2**30), b"id", _mat_element(9, bytes(8)))), "has only"),
        (_mat(_mat_array(6, (-1, 4), b"id", _mat_element(9, bytes(8)))), "has the shape"),
        (_mat(struct.pack("<II", 14, 2**32 - 1)), "ends too early"),
        (_mat(_mat_array(2, (1, 1), b"id")), "something else than real numbers"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM\x89HDF\r\n\x1a\n", "no readable MATLAB 5 file"),
        (b"", "its header"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(UsageError, match=rf"a\.mat is no readable MATLAB 5 file \(.*{reason}|{reason}"):
        read_variable(tmp_path / "a.mat", "id")
