"""What a file is that was given as weights and that PyTorch cannot read, and what helps, in words of our own.

PyTorch's messages speak of its internals, and some advise to load without the protection. None of them is passed on.
"""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from vibench.files.kinds import FileKind, file_kind

PLAIN_SAVE = "torch.save(net.state_dict(), 'weights.pth')"
"""The line that saves weights as plain tensors, where the network ``net`` is at hand."""

_HEAD_BYTES = 4096
_LARGEST_TEXT = 16 << 20
"""Bytes of a JSON file that is looked into."""
_SUFFIXES = (".pt", ".pth", ".t", ".t7", ".tar", ".pkl", ".bin", ".ckpt", ".safetensors")
"""Endings of the names of files with weights."""
_MOST_ENTRIES = 2000
"""Entries of a folder or an archive that are looked at."""

_AGAIN = "fetch it again"
_PICKLE_MAGIC = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The number with which PyTorch before 1.6 began its files, as pickled."""
_OLD_TAR = {"storages", "tensors", "pickle"}
"""Members of what PyTorch 0.1 wrote."""
_SAVED_IN_ITS_CODE = f"in the code that wrote it, save its weights alone: {PLAIN_SAVE}"
DAMAGED = FileKind("a damaged file of PyTorch's", _AGAIN)
_CUT_SHORT = FileKind("cut short, as by a download that stopped half way", _AGAIN)
_CUT_SHORT_OR_DAMAGED = FileKind("cut short or damaged, as by a download that stopped half way", _AGAIN)
_ZEROS = FileKind("empty but for zeros, as a download that never got its data", _AGAIN)
_UNKNOWN = FileKind("no file that PyTorch wrote, or a damaged one", f"{_AGAIN}, or name the file of weights")
_BEGINNINGS = (
    (b"\x93NUMPY", FileKind("a NumPy array", "name the file of weights")),
    (b"MATLAB 5.0", FileKind("a MATLAB file", "name the file of weights")),
    (b"MATLAB 7.3", FileKind("a MATLAB file", "name the file of weights")),
    (b"\xff\xd8\xff", FileKind("a JPEG image", "name the file of weights")),
    (b"\x89PNG", FileKind("a PNG image", "name the file of weights")),
    (b"%PDF", FileKind("a PDF document", "name the file of weights")),
    (
        b"\x89HDF\r\n\x1a\n",
        FileKind("an HDF5 file, as Keras writes them", f"save its weights in PyTorch: {PLAIN_SAVE}"),
    ),
    (b"BZh", FileKind("packed by bzip2", "unpack it")),
    (b"\xfd7zXZ\0", FileKind("packed by xz", "unpack it")),
    (b"7z\xbc\xaf\x27\x1c", FileKind("a 7-Zip archive", "unpack it and name the file of weights in it")),
    (b"Rar!\x1a\x07", FileKind("a RAR archive", "unpack it and name the file of weights in it")),
)


def unreadable_kind(path: Path) -> FileKind:
    """What the file or folder ``path`` is, given that PyTorch does not read it; for ``PATH: is {name}; {remedy}``.

    Raises `OSError` where it cannot be opened.
    """
    if path.is_dir():
        return _folder(path)
    with path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            return kind
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if head.startswith(b"\x80"):
        if _PICKLE_MAGIC in head[:20]:
            return _CUT_SHORT_OR_DAMAGED
        return FileKind("a pickle that PyTorch did not write", _SAVED_IN_ITS_CODE)
    if head and not head.strip(b"\0"):
        return _ZEROS
    if head[257:262] == b"ustar" or _is_old_tar(head):
        return _tar(path)
    if head.lstrip()[:1] in (b"{", b"["):
        return _json(path) or file_kind(head) or _UNKNOWN
    return file_kind(head) or _UNKNOWN


def _folder(path: Path) -> FileKind:
    entries = sorted(islice(path.rglob("*"), _MOST_ENTRIES))
    if any(entry.name == "data.pkl" for entry in entries):
        return FileKind("a folder, unpacked from a file of PyTorch's", "fetch the file again and leave it whole")
    files = [entry.relative_to(path) for entry in entries if entry.suffix in _SUFFIXES]
    if files:
        return FileKind("a folder", f"name a file in it, such as {path / files[0]}")
    return FileKind("a folder, and no file in it looks like one of weights", "name the file of weights")


def _archive(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()[:_MOST_ENTRIES]
    except Exception:  # zipfile raises almost anything on damaged bytes
        return _CUT_SHORT
    if names and all(name.endswith(".npy") for name in names):
        if "features.npy" in names:
            return FileKind("a features file", "evaluate it with 'vibench eval --features'")
        return FileKind("a NumPy archive", "name the file of weights")
    if any(Path(name).name == "constants.pkl" for name in names):
        return FileKind("a TorchScript program", _SAVED_IN_ITS_CODE)
    if any(Path(name).name == "data.pkl" for name in names):
        return DAMAGED
    return _container("a ZIP archive that PyTorch did not write", names)


def _tar(path: Path) -> FileKind:
    try:
        with tarfile.open(path) as archive:
            names = [member.name for member in islice(archive, _MOST_ENTRIES)]
    except Exception:
        return FileKind("a damaged tar archive", _AGAIN)
    if {name.removeprefix("./") for name in names} >= _OLD_TAR:
        return FileKind("a file of PyTorch 0.1, which is read no more", _SAVED_IN_ITS_CODE)
    return _container("a tar archive", names)


def _is_old_tar(head: bytes) -> bool:
    """Whether a header of tar's first form begins a file: it has no mark, but a checksum of its bytes."""
    try:
        checksum = int(head[148:156].strip(b"\0 "), 8)
    except ValueError:
        return False
    return checksum == sum(head[:148]) + 8 * ord(" ") + sum(head[156:512])


def _container(what: str, names: Iterable[str]) -> FileKind:
    """Of files, one of which may be the one that is meant."""
    weights = sorted(name for name in names if name.endswith(_SUFFIXES))
    if weights:
        return FileKind(f"{what} and holds {weights[0]!r}", "unpack it and name that file")
    return FileKind(what, "name the file of weights")


def _json(path: Path) -> FileKind | None:
    """Records and profiles are JSON; None for what is none."""
    try:
        with path.open("rb") as handle:
            content = json.loads(handle.read(_LARGEST_TEXT))
    except (ValueError, RecursionError):
        return None
    first = content[0] if isinstance(content, list) and content else content
    if isinstance(first, dict) and {"schema_version", "protocol"} <= set(first):
        return FileKind("an evaluation record", "name the checkpoint that it was measured on")
    return FileKind("a JSON file", "name the file of weights")
