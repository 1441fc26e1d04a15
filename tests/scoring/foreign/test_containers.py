"""Files of every kind come to the same arrays, within bounds, and nothing in them is unpickled."""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import savemat

from tests.scoring.foreign.dumps import REGDB, V2T, regdb
from vibench.errors import UsageError
from vibench.scoring.foreign import numpy_files
from vibench.scoring.foreign.hdf5 import read_hdf5
from vibench.scoring.foreign.read import Read, read_any_features

DUMP = regdb()
N = len(DUMP.names)


class Stated:
    """An object whose state is a pair."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Stated, (), (1, 2)


class Code:
    """Runs something where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("code-of-a-file-was-run",)


def read(path: Path, **options: Any) -> Read:
    return read_any_features(path, REGDB, V2T, **options)


def same(path: Path, **options: Any) -> Read:
    """Read, and compare with what was dumped, image by image."""
    found = read(path, **options)
    features = found.features
    assert features.paths is not None and features.features.dtype.kind == "f"
    of_name = dict(zip(features.paths, features.features, strict=True))
    assert set(of_name) == set(DUMP.names.tolist())
    got = np.stack([of_name[name] for name in DUMP.names.tolist()])
    np.testing.assert_allclose(got, DUMP.values, rtol=1e-2)
    return found


def saved(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def parameter() -> torch.Tensor:
    return torch.tensor(DUMP.values, requires_grad=True)


NAMES = DUMP.names.tolist()
TENSOR = torch.from_numpy(DUMP.values)
TORCH: dict[str, Callable[[], Any]] = {
    "usual names": lambda: {"feat": TENSOR, "img_paths": NAMES, "epoch": 3},
    "wanting a gradient": lambda: {"embeddings": parameter(), "names": NAMES},
    "half": lambda: {"features": TENSOR.half(), "paths": NAMES},
    "bfloat16": lambda: {"features": TENSOR.bfloat16(), "paths": tuple(NAMES)},
    "four dimensions": lambda: {"features": TENSOR[:, :, None, None].double(), "paths": NAMES},
    "a vector per path": lambda: dict(zip(NAMES, TENSOR, strict=True)),
    "a row per path": lambda: {f"/data/RegDB/{name}": row[None] for name, row in zip(NAMES, TENSOR, strict=True)},
    "a vector per path, inside": lambda: {"feats": dict(zip(NAMES, TENSOR, strict=True)), "epoch": 7},
    "batches": lambda: {"feat": list(TENSOR.split(5)), "paths": [NAMES[:5], NAMES[5:10], NAMES[10:]]},
    "a list of vectors": lambda: {"feat": list(TENSOR), "paths": NAMES},
    "numbers of NumPy": lambda: {"feat": [[*row] for row in DUMP.values.astype(np.float64)], "paths": NAMES},
    "lists of numbers": lambda: {"feat": DUMP.values.tolist(), "paths": NAMES},
    "a tuple": lambda: (TENSOR, NAMES),
    "tuples of images": lambda: list(zip(NAMES, TENSOR, strict=True)),
    "dictionaries of images": lambda: [{"path": n, "feature": f} for n, f in zip(NAMES, TENSOR, strict=True)],
    "a dictionary per path": lambda: {n: {"feat": f, "pid": 3} for n, f in zip(NAMES, TENSOR, strict=True)},
    "NumPy arrays": lambda: {"feat": DUMP.values, "paths": DUMP.names},
    "NumPy arrays of other order": lambda: {"feat": np.asfortranarray(DUMP.values.astype(">f8")), "paths": NAMES},
    "NumPy objects": lambda: {"feat": DUMP.values, "paths": DUMP.names.astype(object)},
    "by side": lambda: {
        side: {"feats": TENSOR[rows.tolist()], "paths": DUMP.names[rows].tolist()}
        for side, rows in (("query", DUMP.visible), ("gallery", ~DUMP.visible))
    },
}


@pytest.mark.parametrize("what", TORCH)
def test_torch(tmp_path: Path, what: str) -> None:
    same(saved(tmp_path / "f.pt", TORCH[what]()))


def test_torch_of_old(tmp_path: Path) -> None:
    torch.save({"feat": TENSOR, "paths": NAMES}, tmp_path / "f.pth", _use_new_zipfile_serialization=False)
    same(tmp_path / "f.pth")


@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f4"])
def test_npz(tmp_path: Path, kind: str, fortran: bool) -> None:
    values = DUMP.values.astype(kind)
    same(npz(tmp_path / "f.npz", feat=np.asfortranarray(values) if fortran else values, img_paths=DUMP.names))


def test_names_that_are_bytes_or_objects(tmp_path: Path) -> None:
    same(npz(tmp_path / "a.npz", features=DUMP.values, paths=DUMP.names.astype("S")))
    same(npz(tmp_path / "b.npz", features=DUMP.values, paths=DUMP.names.astype(object)))
    twice = np.array([*NAMES[:6], *NAMES[6:]], dtype=object)
    same(npz(tmp_path / "c.npz", features=DUMP.values, names=twice))
    in_bytes = np.array([name.encode() for name in NAMES], dtype=object)
    same(npz(tmp_path / "d.npz", features=DUMP.values, names=in_bytes))


def test_objects_that_are_no_texts_are_not_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    odd = np.array([Code(), Code()], dtype=object)
    found = same(npz(tmp_path / "f.npz", features=DUMP.values, paths=DUMP.names, more=odd))
    assert any("more (objects of Python, which are never unpickled)" in note for note in found.notes)
    with pytest.raises(UsageError, match="never unpickled") as refused:
        read(npz(tmp_path / "g.npz", everything=odd))
    assert len(refused.value.recipe) == 3
    for objects in (odd, np.array([Stated()], dtype=object)):
        np.save(tmp_path / "h.npy", objects)
        with pytest.raises(UsageError, match=r"h\.npy: is an array of objects of Python"):
            read(tmp_path / "h.npy")
    (tmp_path / "i.pkl").write_bytes(pickle.dumps(Code()))
    (tmp_path / "j.pt").write_bytes(pickle.dumps(Code()))
    saved(tmp_path / "k.pt", {"features": Code()})
    for name, reason in (("i.pkl", "a Python pickle"), ("j.pt", "a Python pickle"), ("k.pt", "asks for the code of")):
        with pytest.raises(UsageError, match=rf"{name}: .*{reason}") as refused:
            read(tmp_path / name)
        assert len(refused.value.recipe) == 3
    assert not (tmp_path / "code-of-a-file-was-run").exists()


def test_the_lines_that_convert_a_pickle_make_a_file_that_is_read(tmp_path: Path) -> None:
    rows = [{"path": name, "feat": row} for name, row in zip(NAMES, DUMP.values, strict=True)]
    side = {True: DUMP.side(True), False: DUMP.side(False)}
    contents: dict[str, Any] = {
        "a.pkl": {"feat": [np.asarray(row) for row in DUMP.values], "paths": NAMES, "epoch": 3},
        "b.pkl": [DUMP.values, NAMES],
        "c.pickle": (TENSOR, NAMES, None),
        "d.pkl": {
            of: {"feat": side[visible].values, "paths": side[visible].names.tolist()}
            for of, visible in (("query", True), ("gallery", False))
        },
        "e.pkl": rows,
        "f.pkl": dict(zip(NAMES, DUMP.values, strict=True)),
        "g.pt": {"feat": TENSOR, "paths": [Path(one) for one in NAMES]},
        "h.pt": argparse.Namespace(feat=TENSOR, paths=NAMES),
        "i.pt": collections.defaultdict(list, feat=list(TENSOR), paths=NAMES),
        "j.npy": np.array({"feat": DUMP.values, "paths": NAMES}, dtype=object),
        "k.npy": np.array(rows, dtype=object),
        "l.npz": {"feat": DUMP.values, "paths": NAMES},
        "m.pkl": pd.DataFrame(DUMP.values).assign(path=NAMES),
    }
    for name, content in contents.items():
        path = tmp_path / name
        if path.suffix == ".pt":
            saved(path, content)
        elif path.suffix in (".npy", ".npz"):
            (np.save if path.suffix == ".npy" else np.savez)(path, content)
        else:
            path.write_bytes(pickle.dumps(content))
        with pytest.raises(UsageError, match="Where you trust it, convert it") as refused:
            read(path)
        assert len(refused.value.recipe) <= 3
        exec("\n".join(refused.value.recipe), {})
        (plain,) = tmp_path.glob(f"{path.stem}-plain.*")
        same(plain)


def test_a_large_npy_stays_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_files, "MAPPED_BYTES", 8)
    np.save(tmp_path / "f.npy", DUMP.values)
    (tmp_path / "f_names.txt").write_text("\n".join(NAMES))
    values = same(tmp_path / "f.npy").features.features
    assert isinstance(values, np.memmap) or isinstance(values.base, np.memmap)


def test_npy_with_a_file_of_names(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", DUMP.values)
    with pytest.raises(
        UsageError, match=r"nothing here names its images\. It holds 0 \(12 x 5 float32\); name .*--names"
    ):
        read(tmp_path / "f.npy")
    files = {
        "a.txt": "\n".join(NAMES) + "\n",
        "b.txt": "\r\n".join(f"{name} {at}" for at, name in enumerate(NAMES)),
        "c.json": json.dumps(NAMES),
        "d.json": json.dumps({"paths": NAMES, "pids": DUMP.pids.tolist()}),
        "e.csv": "path,pid\n" + "".join(f"{name},{pid}\n" for name, pid in zip(NAMES, DUMP.pids, strict=True)),
        "g.csv": "".join(f"{name}\n" for name in NAMES),
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, newline="")
        same(tmp_path / "f.npy", names=[tmp_path / name])
    np.save(tmp_path / "h.npy", DUMP.names)
    same(tmp_path / "f.npy", names=[tmp_path / "h.npy"])
    (tmp_path / "f_names.txt").write_text(files["a.txt"])
    found = same(tmp_path / "f.npy")
    assert "named by f_names.txt" in found.notes[0] and len(found.digests) == 2
    (tmp_path / "short.txt").write_text("\n".join(NAMES[:-1]))
    with pytest.raises(UsageError, match=r"names file: names \(11 texts\) do not name its images"):
        read(tmp_path / "f.npy", names=[tmp_path / "short.txt"])


def test_matlab(tmp_path: Path) -> None:
    cell = np.array(NAMES, dtype=object)
    for name, arrays in {
        "a.mat": {"feat": DUMP.values.astype(float), "names": cell},
        "b.mat": {"feat": DUMP.values.T, "names": cell[:, None], "epoch": 3.0, "res": {"a": 1}},
        "c.mat": {"features": DUMP.values, "paths": np.array(NAMES)},
    }.items():
        for packed in (False, True):
            savemat(tmp_path / name, arrays, do_compression=packed)
            found = same(tmp_path / name)
        if name == "b.mat":
            assert any("was transposed" in note for note in found.notes)
            assert any("epoch (1 float64), res (" in note for note in found.notes)
    # The first 116 bytes are prose, and whoever writes the file may choose them.
    content = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(b"Features of a friend".ljust(116) + content[116:])
    same(tmp_path / "a.mat")


def test_texts_of_windows_and_of_savetxt(tmp_path: Path) -> None:
    frame = pd.DataFrame(DUMP.values).assign(path=NAMES)
    for name, sep, encoding in (("a.csv", ",", "utf-16"), ("b.txt", "\t", "utf-8"), ("c.txt", "\t", "utf-16")):
        frame.to_csv(tmp_path / name, index=False, sep=sep, encoding=encoding)
        same(tmp_path / name)
    np.savetxt(tmp_path / "d.dat", DUMP.values)
    (tmp_path / "names.txt").write_text("\r\n".join(NAMES), encoding="utf-16")
    same(tmp_path / "d.dat", names=[tmp_path / "names.txt"])


def test_csv(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(DUMP.values, columns=[f"f{at}" for at in range(5)])
    with_names = frame.assign(path=NAMES, pid=DUMP.pids)
    with_names.to_csv(tmp_path / "a.csv", index=False)
    with_names.to_csv(tmp_path / "b.csv")
    with_names[["path", *frame]].to_csv(tmp_path / "c.csv", index=False, header=False)
    pd.DataFrame(DUMP.values, index=NAMES).to_csv(tmp_path / "d.csv")
    pd.DataFrame({"name": NAMES, "embedding": DUMP.values.tolist()}).to_csv(tmp_path / "e.csv", index=False)
    with_names.to_csv(tmp_path / "f.csv", index=False, sep=";", encoding="utf-8-sig", lineterminator="\r\n")
    with_names[[*frame, "path"]].to_csv(tmp_path / "g.tsv", index=False, sep="\t", header=False)
    frame.assign(path=NAMES).to_csv(tmp_path / "i.csv", index=False, sep=" ")
    for file in sorted(tmp_path.iterdir()):
        same(file)
    unnamed = pd.concat([pd.DataFrame({"path": NAMES, "pid": DUMP.pids}), frame], axis=1)
    unnamed.to_csv(tmp_path / "j.csv", index=False, header=False)
    with pytest.raises(UsageError, match=r"column 1 of 6 numbered columns hold whole numbers"):
        read(tmp_path / "j.csv")
    shortened = [np.array2string(np.arange(2000.0)) for _ in NAMES]
    pd.DataFrame({"name": NAMES, "feat": shortened}).to_csv(tmp_path / "h.csv", index=False)
    with pytest.raises(UsageError, match=r"were cut \('\.\.\.'\)"):
        read(tmp_path / "h.csv")


def test_parquet(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="needs pyarrow")
    import pandas as pd

    frame = pd.DataFrame(DUMP.values, columns=[f"f{at}" for at in range(5)]).assign(path=NAMES)
    frame.to_parquet(tmp_path / "a.parquet")
    pd.DataFrame({"name": NAMES, "embedding": list(DUMP.values)}).to_parquet(tmp_path / "b.parquet")
    pd.DataFrame({"name": pd.Categorical(NAMES), "feat": list(DUMP.values)}).to_parquet(tmp_path / "c.parquet")
    for name in "abc":
        same(tmp_path / f"{name}.parquet")
    pd.DataFrame({"feat": np.zeros(20_000_000)}).to_parquet(tmp_path / "bomb.parquet")
    with pytest.raises(UsageError, match="declares more than"):
        read(tmp_path / "bomb.parquet")


def test_hdf5(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["features"], file["paths"], file["epoch"] = DUMP.values, NAMES, 3
        file["elsewhere"] = h5py.ExternalLink("/etc/passwd", "/")
    found = same(tmp_path / "a.h5")
    assert any("elsewhere (a link)" in note for note in found.notes)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        for name, values in zip(NAMES, DUMP.values, strict=True):
            file[name] = values
    same(tmp_path / "b.h5")
    with h5py.File(tmp_path / "c.hdf5", "w") as file:
        for side, rows in (("query", DUMP.visible), ("gallery", ~DUMP.visible)):
            file[f"{side}/feat"], file[f"{side}/names"] = DUMP.values[rows], DUMP.names[rows].astype("S")
    same(tmp_path / "c.hdf5")
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("features", (10**6, 10**6), "f4", chunks=(100, 100))
    with pytest.raises(UsageError, match="declares more than"):
        read(tmp_path / "bomb.h5")


def test_matlab_7_3(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    with h5py.File(tmp_path / "a.mat", "w", userblock_size=512) as file:
        file["feat"] = DUMP.values.T
        file["feat"].attrs["MATLAB_class"] = np.bytes_("single")
        references = file.create_dataset("names", (1, N), dtype=h5py.ref_dtype)
        references.attrs["MATLAB_class"] = np.bytes_("cell")
        for at, name in enumerate(NAMES):
            text = file.create_dataset(f"#refs#/{at}", data=np.array([[ord(letter)] for letter in name], np.uint16))
            text.attrs["MATLAB_class"] = np.bytes_("char")
            references[0, at] = text.ref
    content = bytearray((tmp_path / "a.mat").read_bytes())
    content[:24] = b"MATLAB 7.3 MAT-file, Pla"
    (tmp_path / "a.mat").write_bytes(content)
    same(tmp_path / "a.mat")
    # Its dimensions are turned round on the disk, which a square matrix of scores would not tell.
    np.testing.assert_array_equal(read_hdf5(tmp_path / "a.mat").arrays["feat"], DUMP.values)


def test_what_needs_a_package_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (tmp_path / "b.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512) + b"\x89HDF\r\n\x1a\n")
    (tmp_path / "c.parquet").write_bytes(b"PAR1")
    for name in ("a.h5", "b.mat", "c.parquet"):
        with pytest.raises(UsageError, match=rf"{name}: .*pip install 'vibench\[formats\]'"):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.npz", b"<!DOCTYPE html><html>", "is a web page, no file of features"),
        ("a.pt", b"<!DOCTYPE html><html>", "is a web page, no file of features .* download the file itself"),
        ("a.pt", b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS.*git lfs pull"),
        ("a.mat", b"", "is an empty file"),
        ("a.csv", b"", "is an empty file"),
        ("a.csv", b"<html></html>", "is a web page"),
        ("a.xyz", bytes(range(256)), "is no file of features that is known"),
        ("a.h5", b"\x1f\x8b\x08", "packed by gzip"),
        ("a.json", b'{"feat": [[0.5]]}', "is JSON, no file of features .* write its numbers as one of these"),
    ],
)
def test_what_is_none(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"{name}: .*{reason}"):
        read(tmp_path / name)


def test_a_small_file_cannot_come_to_much(tmp_path: Path) -> None:
    laughs: Any = ["a"]
    for _ in range(6):
        laughs = [laughs] * 30
    shared = torch.zeros(1 << 18)
    for value, reason in (
        (laughs, "more values than its size allows|no array here"),
        ({"feat": [shared] * 1000}, "declares more than"),
        ({"feat": torch.zeros(1).expand(10**9, 10**6)}, "no array here is known as features"),
        ({"feat": torch.zeros(3, 2, device="meta"), "paths": ["a", "b", "c"]}, "no array here is known as features"),
    ):
        with pytest.raises(UsageError, match=reason):
            read(saved(tmp_path / "f.pt", value))
    stream = io.BytesIO()
    savemat(stream, {"feat": np.zeros((3000, 5000))}, do_compression=True)
    (tmp_path / "f.mat").write_bytes(stream.getvalue())
    with pytest.raises(UsageError, match="unpacks to more than"):
        read(tmp_path / "f.mat")


def test_words_in_brackets_are_no_list_of_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame({"path": NAMES, "embedding": DUMP.values.tolist(), "style": ["[bold]"] * len(NAMES)})
    frame.to_csv(tmp_path / "f.csv", index=False)
    same(tmp_path / "f.csv")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html></html>", "is a web page, no file of features .*; download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a pointer of Git LFS, .*; run 'git lfs pull'"),
        (b"\x00\x01\x02" * 9, "is no readable .npz file of plain arrays"),
    ],
)
def test_what_only_its_name_calls_an_archive(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        read(tmp_path / "f.npz")
