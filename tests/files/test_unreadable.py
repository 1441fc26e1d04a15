"""What is given in place of weights is named, with the remedy of its kind, and in no words of PyTorch's."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from vibench.files.torch_file import TorchFileError, read_torch_file

INTERNALS = ("weights_only", "Unpickl", "pickle.load", "Zip", "PytorchStream", "magic number", "add_safe_globals")


def saved(old: bool = False) -> bytes:
    content = io.BytesIO()
    state = {"net": {"a.weight": torch.zeros(5000)}, "epoch": 3}
    torch.save(state, content, _use_new_zipfile_serialization=not old)
    return content.getvalue()


def zipped(packing: int = zipfile.ZIP_STORED, **members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", packing) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/"), data)
    return content.getvalue()


def tarred(form: int, *names: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=form) as archive:
        for name in names:
            archive.addfile(tarfile.TarInfo(name))
    return content.getvalue()


def arrays(**named: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **named)
    return content.getvalue()


def repacked() -> bytes:
    with zipfile.ZipFile(io.BytesIO(saved())) as archive:
        members = {name.replace("/", "__"): archive.read(name) for name in archive.namelist()}
    return zipped(zipfile.ZIP_DEFLATED, **members)


HALF = len(saved()) // 2
KINDS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "is an empty file; copy it again"),
    "half a download": (lambda: saved()[:HALF], "is cut short, .* fetch it again"),
    "a download with its space reserved": (lambda: saved()[:HALF] + bytes(HALF), "is cut short, .* fetch it again"),
    "a download that never began": (lambda: bytes(HALF), "is empty but for zeros, .* fetch it again"),
    "half of an old file": (lambda: saved(old=True)[:9000], "is cut short or damaged, .* fetch it again"),
    "bytes lost": (lambda: saved()[:100] + bytes(100) + saved()[200:], "is a damaged file of PyTorch's; fetch it"),
    "a cloud drive's warning": (
        lambda: b"<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title>",
        "is a web page; download the file itself",
    ),
    "a pointer": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n", "run 'git lfs pull'"),
    "a refusal of a server": (lambda: b"404: Not Found\n", "is a text that begins with '404: Not Found'"),
    "a refusal in JSON": (lambda: b'{"error": {"code": 403}}', "is a JSON file; name the file of weights"),
    "a record": (
        lambda: json.dumps([{"schema_version": 1, "protocol": "sysu-all"}]).encode(),
        "is an evaluation record; name the checkpoint",
    ),
    "features": (
        lambda: arrays(features=np.zeros((2, 3)), paths=np.array(["a", "b"])),
        "is a features file; evaluate it with 'vibench eval --features'",
    ),
    "arrays": (lambda: arrays(keypoints=np.zeros(3)), "is a NumPy archive; name"),
    "an array": (lambda: b"\x93NUMPY\1\0", "is a NumPy array; name"),
    "a zipped download": (
        lambda: zipped(zipfile.ZIP_DEFLATED, **{"folder__best.pth": saved()}),
        "ZIP archive .* holds 'folder/best.pth'; unpack it and name that file",
    ),
    "another archive": (lambda: zipped(**{"a.txt": b""}), "is a ZIP archive that PyTorch did not write; name"),
    "an archive packed anew": (repacked, "was packed again: .* fetch the file as it was"),
    "a program": (
        lambda: zipped(**{"a__data.pkl": b"", "a__constants.pkl": b""}),
        r"is a TorchScript program; .*torch\.save\(net\.state_dict\(\)",
    ),
    "a packed file": (lambda: gzip.compress(saved()), "is packed by gzip; unpack it"),
    "a tar": (lambda: tarred(tarfile.GNU_FORMAT, "a/best.pth.tar"), "is a tar archive and holds 'a/best.pth.tar'; unp"),
    "PyTorch 0.1": (
        lambda: tarred(tarfile.USTAR_FORMAT, "sys_info", "pickle", "tensors", "storages"),
        "is a file of PyTorch 0.1, .*torch.save",
    ),
    "another pickle": (
        lambda: pickle.dumps({"a": np.zeros(3)}),
        "is a pickle that PyTorch did not write; .*save",
    ),
    "a picture": (lambda: b"\xff\xd8\xff\xe0JFIF", "is a JPEG image"),
    "Keras": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(99), "is an HDF5 file, as Keras writes them"),
    "noise": (lambda: bytes(range(255, 0, -1)), "is no file that PyTorch wrote, or a damaged one; fetch it again"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_told_with_its_remedy(kind: str, tmp_path: Path) -> None:
    make, told = KINDS[kind]
    (tmp_path / "model_best.pth.tar").write_bytes(make())
    with pytest.raises(TorchFileError, match=told) as refused:
        read_torch_file(tmp_path / "model_best.pth.tar")
    said = str(refused.value)
    assert not any(word in said for word in INTERNALS) and said.isprintable()


def test_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(TorchFileError, match="is a folder, and no file in it looks like one of weights"):
        read_torch_file(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.pt").write_bytes(b"")
    with pytest.raises(TorchFileError, match=r"is a folder; name a file in it, such as .*checkpoints/last\.pt"):
        read_torch_file(tmp_path)
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "data.pkl").write_bytes(b"")
    with pytest.raises(TorchFileError, match="is a folder, unpacked from a file of PyTorch's; fetch"):
        read_torch_file(tmp_path)


def test_a_network_as_a_whole_is_refused_with_the_line_that_saves_its_weights(tmp_path: Path) -> None:
    for content in (torch.nn.Linear(2, 2), {"net": torch.nn.Linear(2, 2), "epoch": 3}):
        torch.save(content, tmp_path / "a.pt")
        with pytest.raises(TorchFileError, match=r"Linear, which could .*; in the code that wrote .*state_dict\(\)"):
            read_torch_file(tmp_path / "a.pt")
