"""Files that are something else than what was asked for."""

from __future__ import annotations

import gzip
import io
import zipfile

import numpy as np
import pytest

from vibench.files.kinds import EMPTY, GZIP, HDF5, LFS_POINTER, MATLAB_7_3, WEB_PAGE, ZIP, FileKind, file_kind

HDF5_MARK = b"\x89HDF\r\n\x1a\n"


def archive() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as members:
        members.writestr("exp/train_id.mat", b"")
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", EMPTY),
        (b"<!DOCTYPE html>\n<html lang='en'>", WEB_PAGE),
        (b"\xef\xbb\xbf\r\n  <HTML>", WEB_PAGE),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 297740\n", LFS_POINTER),
        (b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512, b"\0") + HDF5_MARK, MATLAB_7_3),
        (HDF5_MARK + bytes(100), HDF5),
        (archive(), ZIP),
        (gzip.compress(b"a", mtime=0), GZIP),
    ],
    # Archives hold the time, and names of tests must be the same in every worker.
    ids=("empty", "page", "page-with-mark", "pointer", "matlab-7.3", "hdf5", "zip", "gzip"),
)
def test_each_kind_is_told(content: bytes, kind: FileKind) -> None:
    assert file_kind(content) == kind


def test_a_text_is_told_by_its_beginning() -> None:
    kind = file_kind(b"404: Not Found\n")
    assert kind is not None and kind.name == "a text that begins with '404: Not Found'"
    # The head ends within a letter.
    long = file_kind(("x" + "\u00e9" * 1000).encode())
    assert long is not None and long.name.startswith("a text that begins with 'x\u00e9") and len(long.name) < 100


@pytest.mark.parametrize(
    "content", [bytes(2000), b"\xff\xd8\xff\xe0JFIF", b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"]
)
def test_other_files_are_of_no_kind(content: bytes) -> None:
    assert file_kind(content) is None
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    assert file_kind(stream.getvalue()) is None
