"""MATLAB files: the same arrays as SciPy reads, and refusals that cost nothing."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.io import loadmat, savemat

from tests.fuzz.nasties import _mat, _mat_array, _mat_element, _nested_cells, _packed
from vibench.datasets.matlab import read_variable
from vibench.errors import UsageError

NUMBERS = arrays.arrays(
    st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "?"]),
    arrays.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=4),
)
ONE = _mat_element(9, bytes(8))


def same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype == object:
        return one.shape == other.shape and all(map(same, one.ravel(), other.ravel()))
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


@settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(NUMBERS, min_size=1, max_size=4), st.booleans(), st.booleans())
def test_as_scipy_reads_them(tmp_path: Path, found: list[np.ndarray], cells: bool, packed: bool) -> None:
    value = found[0]
    if cells:
        value = np.empty((len(found), 1), dtype=object)
        for at, array in enumerate(found):
            value[at, 0] = array
    path = tmp_path / "a.mat"
    savemat(path, {"other": {"a": "text"}, "wanted": value}, do_compression=packed)
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
        (_mat(_packed(bytes(17 << 20))), "unpacks to more than"),
        (_mat(_packed(_mat_array(6, (1, 1), b"id", ONE))[:-5]), "cut short"),
        (_mat(_mat_array(1, (1, 1), b"id", _nested_cells(4))), "too deeply"),
        (_mat(_packed(_mat_array(1, (1, 1), b"id", _nested_cells(50_000)))), "too deeply"),
        (_mat(_mat_array(1, (2**31 - 1, 2**31 - 1), b"id")), "an array of the shape"),
        (_mat(_mat_array(1, (1, 1), b"id", _mat_array(1, (1, 2**30), b"", _mat_element(14, b"")))), "of the shape"),
        (_mat(_mat_array(1, (1, 2), b"id", _mat_array(6, (1, 1), b"", ONE))), "has 1 parts"),
        (_mat(_mat_array(6, (2**30, 2**30), b"id", ONE)), "an array of the shape"),
        (_mat(_mat_array(6, (-1, 4), b"id", ONE)), "an array of the shape"),
        # SciPy's reader would end the process.
        (_mat(_mat_array(6, (1, 1), b"id", _mat_element(8, bytes(8)))), "an element of type 8"),
        (_mat(_mat_array(1, (1, 1), b"id", _mat_array(6, (1, 1), b"", _mat_element(0xFF00, bytes(8))))), "type 65280"),
        (_mat(_mat_array(6, (1, 1), b"id"), _mat_array(6, (1, 1), b"x", ONE)), "has 0 parts"),
        (_mat(_mat_array(0x806, (1, 1), b"id", ONE), _mat_array(6, (1, 1), b"x", ONE)), "something else than real"),
        (_mat(struct.pack("<II", 14, 2**32 - 1)), "cut short"),
        (_mat(_mat_array(2, (1, 1), b"id")), "something else than real numbers"),
        (bytes(200), "its header"),
    ],
)
def test_what_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(UsageError, match=rf"a\.mat is no readable MATLAB 5 file \(.*{reason}"):
        read_variable(tmp_path / "a.mat", "id")


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384) + b"\x89HDF\r\n\x1a\n"
    )
    with pytest.raises(UsageError, match=r"a\.mat is a MATLAB 7\.3 file \(HDF5\), no MATLAB 5 file; save .* '-v7'"):
        read_variable(tmp_path / "a.mat", "id")
    (tmp_path / "a.mat").write_bytes(b"")
    with pytest.raises(UsageError, match=r"a\.mat is an empty file, no MATLAB 5 file; copy it again"):
        read_variable(tmp_path / "a.mat", "id")
