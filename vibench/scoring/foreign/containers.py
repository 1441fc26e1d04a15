"""Files of every kind that features come in, told by their first bytes and read as arrays by name."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np

from vibench.errors import UsageError
from vibench.files.json_table import read_json
from vibench.files.kinds import HEAD_BYTES, file_kind
from vibench.files.npz import LARGEST_ARRAYS, read_npz
from vibench.files.reading import read_text, require_file
from vibench.scoring.foreign.hdf5 import read_hdf5
from vibench.scoring.foreign.matlab import read_matlab
from vibench.scoring.foreign.named import Budget, Named
from vibench.scoring.foreign.numpy_files import read_numpy_archive, read_numpy_array
from vibench.scoring.foreign.recipes import make_right, make_scores_right, unpickle, unpickle_table
from vibench.scoring.foreign.tables import read_csv, read_parquet
from vibench.scoring.foreign.torch_values import read_torch

KINDS = ".npz, .npy, .pt, .pth, .mat, .h5, .csv and .parquet"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_OLD_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""Begins a file of ``torch.save`` before PyTorch 1.6."""
_TABLES = (".csv", ".tsv", ".txt", ".dat")


def read_container(path: Path, what: str = "features") -> Named:
    """What a file holds; `UsageError`, naming it, where it is absent, damaged or of no kind that is read.

    ``what`` it is a file of is for the sentence.
    """
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name the file of {what} in it.")
    require_file(path)
    try:
        with path.open("rb") as handle:
            head = handle.read(HEAD_BYTES)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from None
    size = path.stat().st_size
    if size > LARGEST_ARRAYS:
        raise UsageError(
            f"{path}: has {size} bytes, more than the {LARGEST_ARRAYS} allowed; keep the test images alone."
        )
    suffix = path.suffix.lower()
    if head.startswith(b"\x93NUMPY"):
        return read_numpy_array(path)
    if head.startswith(b"PK\x03\x04"):
        return read_torch(path) if _is_torch(path) else read_numpy_archive(path)
    if head.startswith((_HDF5, b"MATLAB 7.3 ")) or head[512:].startswith(_HDF5):
        return read_hdf5(path)
    if head.startswith(b"MATLAB 5.0 ") or head[126:128] in (b"IM", b"MI"):
        return read_matlab(path)
    if head.startswith(b"PAR1"):
        return read_parquet(path)
    if head.startswith(_OLD_TORCH):
        return read_torch(path)
    if suffix in (".pkl", ".pickle") or (head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and head[1:2]):
        raise UsageError(
            f"{path}: is a Python pickle, which can do anything when it is read and is not. Where you trust it, "
            "convert it.",
            recipe=unpickle_table(path)
            if b"pandas" in head
            else unpickle(path, "pickle.load(open(FILE, 'rb'))", "import pickle"),
        )
    kind = file_kind(head)
    if suffix == ".npz" and kind is None:
        # Its sentence says what is wrong.
        return Named(read_npz(path))
    if suffix in _TABLES and (kind is None or kind.name.startswith("a text")):
        return read_csv(path)
    if suffix == ".json":
        raise UsageError(
            f"{path}: is JSON, no file of {what} ({KINDS}); write its numbers as one of these.",
            recipe=make_right() if what == "features" else make_scores_right(),
        )
    if kind is not None:
        raise UsageError(f"{path}: is {kind.name}, no file of {what} ({KINDS}); {kind.remedy}.")
    raise UsageError(f"{path}: is no file of {what} that is known ({KINDS}), or a damaged one; write it again.")


def read_names(path: Path) -> Named:
    """The names of images, and their labels where it has them, that a file beside features gives by row.

    One name a line (what stands behind a white space is a label), a table, the JSON of a list or of lists by name, or
    any file of `read_container`. Raises `UsageError` as that does.
    """
    if path.suffix.lower() not in (".txt", ".json", ".lst", ".list"):
        return read_container(path)
    if path.suffix.lower() == ".json":
        return _json_lists(path)
    try:
        lines = [line.strip() for line in read_text(path, "utf-8-sig").split("\n")]
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is no text of one name a line; write it again.") from None
    # A list of RegDB or LLCM: path, white space, label.
    words = [line.split() for line in lines if line]
    names = [line for line in lines if line]
    if words and all(len(row) == 2 and row[1].isdigit() for row in words):
        names = [row[0] for row in words]
    return Named({"names": _texts(path, names)})


def _json_lists(path: Path) -> Named:
    content = read_json(path)
    lists = content if isinstance(content, dict) else {"names": content}
    found = Named()
    for name, values in lists.items():
        if isinstance(values, list) and values and all(isinstance(value, str) for value in values):
            found.add(name, _texts(path, values))
        elif isinstance(values, list) and values and all(type(value) is int and abs(value) < 2**31 for value in values):
            found.add(name, np.array(values))
        else:
            found.unread[name] = f"no list of names or whole numbers ({json.dumps(values)[:40]})"
    return found


def _texts(path: Path, texts: list[str]) -> np.ndarray:
    try:
        Budget(path.stat().st_size).spend(4 * max(map(len, texts), default=0) * len(texts))
    except ValueError as error:
        raise UsageError(f"{path}: holds names of too different lengths ({error}).") from None
    return np.array(texts, dtype=np.str_)


def _is_torch(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist())
    except Exception:  # a damaged archive raises almost anything; its reader says what is wrong
        return path.suffix.lower() in (".pt", ".pth")
