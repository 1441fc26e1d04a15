"""Archives are compared with what they declare before they are unpacked."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.nasties import TRAP, Code, _declaring, _header, _npz, _npz_of_names
from vibench.errors import UsageError
from vibench.files import npz
from vibench.files.npz import open_npy, read_npz, read_plain_arrays


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_npz_of_names(_header("'<f4'", "(1000000, 1000000)")), "declares 4000000000000 bytes and has 0"),
        (_npz_of_names(_header("'<f4'", "(4294967296, 4294967296)")), "declares 73786976294838206464 bytes"),
        (_npz_of_names(_header("'<f4'", "(-1, 4)")), "has the shape"),
        (_npz_of_names(_header("'<U0'", "(1000000000,)")), "declares 0 bytes"),
        (_declaring(_npz(a=np.zeros(3)), 2**32 - 2), "declares 4294967294"),
        (_npz(a=np.array([Code()])), "never unpickled"),
    ],
    # The archives themselves hold the second in which they were made, and workers must agree on names.
    ids=["large", "overflowing", "negative", "no-bytes", "declares-4-gib", "objects"],
)
def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, reason: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UsageError, match=rf"a\.npz: is no readable \.npz file of plain arrays \(.*{reason}"):
        read_npz(tmp_path / "a.npz")
    assert not Path(TRAP).exists()


def test_what_is_packed_too_well_is_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", a=np.zeros(1 << 20, np.uint8))
    assert not read_npz(tmp_path / "a.npz")["a"].any()
    monkeypatch.setattr(npz, "SMALL_ARRAYS", 1 << 19)
    with pytest.raises(UsageError, match="declares 1048704"):
        read_npz(tmp_path / "a.npz")


def test_a_mapped_array_is_as_long_as_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(6, dtype=np.uint8).reshape(2, 3))
    assert open_npy(path).tolist() == [[0, 1, 2], [3, 4, 5]]
    whole = path.read_bytes()
    for damaged in (whole + b"\0", whole[:-1], whole.replace(b"False", b"True "), b"PK\x03\x04" + whole, b""):
        path.write_bytes(damaged)
        with pytest.raises(ValueError):
            open_npy(path)


def test_arrays_are_those_that_numpy_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {
        "fortran": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
        "big_endian": np.arange(5, dtype=">i2"),
        "texts": np.array(["night", "day"]),
        "scalar": np.array(7),
        "empty": np.zeros((0, 3), np.float32),
        "nameless": np.array([], dtype=str),
        "pairs": np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
        "flags": np.array([True, False]),
    }
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    # In several pieces, and the last one short.
    monkeypatch.setattr(npz, "_PIECE", 7)
    found = read_npz(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as expected:
        assert list(found) == expected.files
        for name, array in found.items():
            np.testing.assert_array_equal(array, expected[name])
            assert (array.dtype, array.flags.f_contiguous) == (expected[name].dtype, expected[name].flags.f_contiguous)
            assert array.flags.writeable


def test_an_array_that_ends_early_is_refused(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f8", "fortran_order": False, "shape": (1000,)})
    declared = len(content.getvalue()) + 8000
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        # Its check sum is right, and it has ten numbers where it says a thousand.
        archive.writestr("a.npy", content.getvalue() + np.arange(10.0).tobytes())
    whole = (tmp_path / "a.npz").read_bytes()
    at = whole.index(b"PK\x01\x02") + 24
    (tmp_path / "a.npz").write_bytes(whole[:at] + declared.to_bytes(4, "little") + whole[at + 4 :])
    with pytest.raises(UsageError, match=r"is no readable \.npz file of plain arrays"):
        read_npz(tmp_path / "a.npz")


def test_a_pipe_is_there_and_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    for name, said in (("pipe.npz", "is no regular file"), ("absent.npz", "there is no such file")):
        with pytest.raises(UsageError, match=rf"{name}: {said}"):
            read_plain_arrays(tmp_path / name)
