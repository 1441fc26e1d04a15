"""Files made by hand to hurt: bombs, lies about sizes, depth, code in pickles, and what is no file at all.

Every nasty is a function that writes to a path. Whoever unpickles one of them makes the folder `TRAP`.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.io import savemat

TRAP = "code-of-a-file-was-run"
"""A folder in the working folder."""

Nasty = Callable[[Path, bytes], object]
"""Writes to a path; told the bytes of a valid file."""


class Code:
    """Runs something where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (TRAP,)


class Content:
    """A nasty that is the same whatever the reader; its bytes are made once."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self.content = lru_cache(make)

    def __call__(self, path: Path, valid: bytes) -> None:
        path.write_bytes(self.content())


def _change(change: Callable[[bytes], bytes]) -> Nasty:
    return lambda path, valid: path.write_bytes(change(valid))


def _sparse(path: Path, valid: bytes) -> None:
    with path.open("wb") as handle:
        handle.write(valid)
        handle.truncate(1 << 36)


def _npz(**arrays: Any) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def _header(descr: str, shape: str) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}".encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def _zip(members: dict[str, bytes], packed: bool = True) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def _npz_of_names(*headers: bytes) -> bytes:
    """The same arrays under all names that readers ask for."""
    names = (
        *("features", "paths", "scores", "query_paths", "gallery_paths", "heatmaps", "keypoints", "known"),
        *("ap", "pid", "trial0_inp"),
    )
    return _zip({f"{name}.npy": headers[at % len(headers)] for at, name in enumerate(names)})


def _declaring(content: bytes, size: int) -> bytes:
    """A zip archive whose directory says that every member unpacks to ``size`` bytes."""
    changed = bytearray(content)
    at = changed.find(b"PK\x01\x02")
    while at >= 0:
        changed[at + 24 : at + 28] = struct.pack("<I", size)
        at = changed.find(b"PK\x01\x02", at + 4)
    return bytes(changed)


def _mat(*elements: bytes) -> bytes:
    return b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + b"".join(elements)


def _mat_element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def _mat_array(class_: int, shape: tuple[int, ...], name: bytes, *parts: bytes) -> bytes:
    head = _mat_element(6, struct.pack("<II", class_, 0)) + _mat_element(5, struct.pack(f"<{len(shape)}i", *shape))
    return _mat_element(14, head + _mat_element(1, name) + b"".join(parts))


def _mat_arrays(class_: int, shape: tuple[int, ...], *parts: bytes) -> list[bytes]:
    """The same array under all names that readers ask for."""
    return [_mat_array(class_, shape, name, *parts) for name in (b"id", b"cam3_att", b"rand_perm_cam", b"scores")]


def _packed(element: bytes) -> bytes:
    data = zlib.compress(element)
    return struct.pack("<II", 15, len(data)) + data


def _nested_cells(depth: int) -> bytes:
    parts = [_mat_array(6, (1, 1), b"", _mat_element(9, bytes(8)))]
    head = _mat_array(1, (1, 1), b"")[8:]
    inside = len(parts[0])
    for _ in range(depth):
        parts.append(struct.pack("<II", 14, len(head) + inside) + head)
        inside += 8 + len(head)
    return b"".join(reversed(parts))


def _saved(value: Any, **options: Any) -> bytes:
    content = io.BytesIO()
    torch.save(value, content, **options)
    return content.getvalue()


def _laughs() -> Any:
    value: Any = [0]
    for _ in range(14):
        value = [value] * 10
    return value


def _deep(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def _torch_zip(pickled: bytes, packed: bool = False, **members: bytes) -> bytes:
    records = {"data.pkl": pickled, "version": b"3\n", "byteorder": b"little", **members}
    return _zip({f"archive/{name}": data for name, data in records.items()}, packed)


def _safetensors(table: str, data: bytes = bytes(8)) -> bytes:
    return len(table).to_bytes(8, "little") + table.encode() + data


def _deep_pickle() -> bytes:
    return b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b"."


def _changed_entry(valid: bytes, key: str, value: Any) -> bytes:
    content = torch.load(io.BytesIO(valid), weights_only=False)  # a file of the test's own
    if isinstance(content, dict):
        content[key] = value
    return _saved(content)


def _png(width: int, height: int, data: bytes = b"", chunks: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + chunks + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _image(kind: str, mode: str = "RGB", size: tuple[int, int] = (20, 30)) -> bytes:
    content = io.BytesIO()
    Image.new(mode, size).save(content, kind)
    return content.getvalue()


def _jpeg(width: int, height: int) -> bytes:
    content = bytearray(_image("JPEG"))
    at = content.find(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(content)


def _bmp(width: int, height: int) -> bytes:
    content = bytearray(_image("BMP"))
    content[18:26] = struct.pack("<ii", width, height)
    return bytes(content)


ANY: dict[str, Nasty] = {
    "empty": Content(lambda: b""),
    "zeros": Content(lambda: bytes(1 << 20)),
    "a pipe": lambda path, valid: os.mkfifo(path),
    "a folder": lambda path, valid: path.mkdir(),
    "a link to itself": lambda path, valid: path.symlink_to(path.name),
    "a link to nothing": lambda path, valid: path.symlink_to("nothing"),
    "a device without end": lambda path, valid: path.symlink_to("/dev/zero"),
    "64 GiB": _sparse,
    "a pickle": Content(lambda: pickle.dumps(Code())),
    "a program": Content(lambda: b"#!/bin/sh\nmkdir " + TRAP.encode() + b"\n"),
}
"""Of every format; a command's option cannot be such."""

OF_FORM: dict[str, dict[str, Nasty]] = {
    "toml": {
        "deep lists": Content(lambda: b"name = " + b"[" * 100_000 + b"]" * 100_000),
        "deep tables": Content(lambda: b"name = " + b"{a = " * 20_000 + b"1" + b"}" * 20_000),
        "a long dotted key": Content(lambda: b".".join([b"a"] * 100_000) + b" = 1"),
        "deep headers": Content(lambda: b"[" + b".".join([b"a"] * 20_000) + b"]\nb = 1"),
        "a long name": Content(lambda: b"a" * 1_000_000 + b" = 1"),
        "many digits": Content(lambda: b"version = " + b"9" * 100_000),
        "many hexadecimal digits": Content(lambda: b"version = 0x" + b"f" * 100_000),
        "many tables": Content(lambda: b"".join(b"[t%d]\n" % number for number in range(50_000))),
    },
    "json": {
        "deep lists": Content(lambda: b"[" * 1_000_000),
        "deep objects": Content(lambda: b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        "deep in a known place": _change(
            lambda valid: valid.rstrip()[:-1] + b', "id": ' + b"[" * 900 + b"]" * 900 + b"}"
        ),
        "many digits": Content(lambda: b'{"schema_version": ' + b"9" * 100_000 + b"}"),
        "NaN": _change(lambda valid: valid.replace(b": 0", b": NaN")),
        "half a letter": _change(lambda valid: valid.replace(b'": "', b'": "\\ud800')),
        "a long text": _change(lambda valid: valid.replace(b'": "', b'": "' + b"a" * 1_000_000, 1)),
    },
    "lines": {
        "one long line": Content(lambda: b"1," * 5_000_000),
        "many lines": Content(lambda: b"Visible/1/a.bmp 0\n" * 200_000),
        "a long number": Content(lambda: b"9" * 1_000_000),
        "out of the root": Content(lambda: b"Visible/../../../etc/passwd 0\n"),
        "an absolute path": Content(lambda: b"/etc/passwd 0\n"),
        "a drive": Content(lambda: b"C:\\Windows\\win.ini 0\n"),
        "a share": Content(lambda: b"\\\\host\\share 0\n"),
        "a zero byte": Content(lambda: b"Visible/1/a\0.bmp 0\n"),
    },
    "csv": {
        "a large cell": _change(lambda valid: valid + b'"' + b"a" * 2_000_000 + b'"'),
        "many columns": Content(lambda: b"pid," * 200_000),
        "no end of a quote": _change(lambda valid: valid + b'"' + b"a,\n" * 500_000),
        "many rows": _change(lambda valid: valid + valid.splitlines(keepends=True)[-1] * 50_000),
    },
    "npz": {
        "a bomb": Content(lambda: _npz(features=np.zeros((300, 1 << 20), np.uint8), paths=np.array(["a"]))),
        "declares 4 GiB": _change(lambda valid: _declaring(valid, 2**32 - 2)),
        "declares nothing": _change(lambda valid: _declaring(valid, 0)),
        "a shape of 10^12": Content(lambda: _npz_of_names(_header("'<f4'", "(1000000, 1000000)"))),
        "a shape that overflows": Content(lambda: _npz_of_names(_header("'<f4'", "(4294967296, 4294967296)"))),
        "a negative shape": Content(lambda: _npz_of_names(_header("'<f4'", "(-1, 4)") + bytes(64))),
        "texts of 2 GiB": Content(lambda: _npz_of_names(_header("'<U536870911'", "(1,)"))),
        "no bytes per entry": Content(lambda: _npz_of_names(_header("'<U0'", "(1000000000,)"))),
        "a deep header": Content(lambda: _npz_of_names(_header("'<f4'", "(" * 4000 + ")" * 4000))),
        "a type that is code": Content(
            lambda: _npz_of_names(_header("__import__('os').mkdir('" + TRAP + "')", "(1,)"))
        ),
        "objects": Content(
            lambda: _npz(features=np.array([Code()]), paths=np.array([Code()]), keypoints=np.array([Code()]))
        ),
        "many members": Content(lambda: _zip({f"{number}.npy": b"" for number in range(20_000)}, packed=False)),
        "a foreign archive": Content(lambda: _zip({"../../out.txt": b"a"})),
    },
    "npy": {
        "objects": Content(lambda: _header("'|O'", "(1,)") + pickle.dumps([Code()])),
        "a shape of 10^12": Content(lambda: _header("'|u1'", "(1000000, 1000000)")),
        "a deep header": Content(lambda: _header("'|u1'", "(" * 4000 + ")" * 4000)),
        "an archive": Content(lambda: _npz(features=np.zeros(3))),
    },
    "mat": {
        "a web page": Content(lambda: b"\n<!DOCTYPE html>\n<html><title>exp/train_id.mat</title></html>"),
        "a pointer of Git LFS": Content(lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"),
        "a bomb": Content(lambda: _mat(_packed(bytes(80 << 20)))),
        "deep cells": Content(lambda: _mat(*_mat_arrays(1, (1, 1), _nested_cells(3000)))),
        "packed deep cells": Content(
            lambda: _mat(*(_packed(array) for array in _mat_arrays(1, (1, 1), _nested_cells(20_000))))
        ),
        "a cell of 10^9": Content(lambda: _mat(*_mat_arrays(1, (1, 2**30), _mat_element(14, b"")))),
        "a cell of 10^9 in a cell": Content(
            lambda: _mat(*_mat_arrays(1, (1, 1), _mat_array(1, (1, 2**30), b"", _mat_element(14, b""))))
        ),
        "a cell of 10^18": Content(lambda: _mat(*_mat_arrays(1, (2**31 - 1, 2**31 - 1)))),
        "a text of 10^9": Content(lambda: _mat(*_mat_arrays(4, (1, 2**30), _mat_element(4, b"")))),
        "numbers of no type": Content(lambda: _mat(*_mat_arrays(6, (1, 1), _mat_element(8, bytes(8))))),
        "numbers of no type in a cell": Content(
            lambda: _mat(*_mat_arrays(1, (1, 1), _mat_array(6, (1, 1), b"", _mat_element(0xFF00, bytes(8)))))
        ),
        "half of complex numbers": Content(lambda: _mat(*_mat_arrays(0x806, (1, 1), _mat_element(9, bytes(8))))),
        "numbers that are not there": Content(lambda: _mat(*_mat_arrays(6, (2**30, 2**30), _mat_element(9, bytes(8))))),
        "an element of 4 GiB": Content(lambda: _mat(struct.pack("<II", 14, 2**32 - 1))),
        "a negative shape": Content(lambda: _mat(*_mat_arrays(6, (-1, 4), _mat_element(9, bytes(8))))),
        "many dimensions": Content(lambda: _mat(*_mat_arrays(6, (1,) * 5000, _mat_element(9, bytes(8))))),
        "version 7.3": Content(lambda: b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM\x89HDF\r\n\x1a\n"),
        "a structure": Content(lambda: _matlab({"id": {"a": 1}, "cam3_att": {"a": 1}, "rand_perm_cam": {"a": 1}})),
        "texts": Content(lambda: _matlab({"id": "1,2", "cam3_att": "1,2", "rand_perm_cam": "1,2"})),
    },
    "torch": {
        "code": Content(lambda: _saved({"net": Code(), "model": Code()})),
        "code of old": Content(lambda: _saved(Code(), _use_new_zipfile_serialization=False)),
        "a packed archive": Content(lambda: _torch_zip(b"\x80\x02}.", True, **{"data/0": bytes(64 << 20)})),
        "deep lists": Content(lambda: _torch_zip(_deep_pickle())),
        "deep lists in an entry": _change(lambda valid: _changed_entry(valid, "recipe", {"model": _deep(300)})),
        "10^14 entries": _change(lambda valid: _changed_entry(valid, "recipe", {"model": _laughs()})),
        "10^15 numbers": _change(
            lambda valid: _changed_entry(valid, "model", {"a": torch.zeros(1).expand(10**9, 10**6)})
        ),
        "10^12 classes": _change(
            lambda valid: _changed_entry(_changed_entry(valid, "train_pids", []), "num_classes", 10**12)
        ),
        "a class of nobody": Content(lambda: _torch_zip(b"\x80\x02cnobody\nNothing\n.")),
    },
    "safetensors": {
        "a table of 4 EiB": Content(lambda: (2**62).to_bytes(8, "little") + b"{}"),
        "a table of the largest size": Content(lambda: (10**8).to_bytes(8, "little") + b"{}"),
        "deep lists": Content(lambda: _safetensors('{"a": ' + "[" * 50_000 + "]" * 50_000 + "}")),
        "10^18 numbers": Content(
            lambda: _safetensors('{"a": {"dtype": "U8", "shape": [1000000000000000000], "data_offsets": [0, 8]}}')
        ),
        "no numbers in a large shape": Content(
            lambda: _safetensors(
                '{"a": {"dtype": "U8", "shape": [0, 4000000000000000000, 4000000000000000000], "data_offsets": [0, 0]}}'
            )
        ),
        "a number of many digits": Content(
            lambda: _safetensors('{"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, ' + "9" * 5000 + "]}}")
        ),
    },
    "image": {
        "a PNG of 60000 x 60000": Content(lambda: _png(60_000, 60_000)),
        "a PNG bomb": Content(lambda: _png(20_000, 20_000, zlib.compress(bytes(20_000 * 60_001 // 16)))),
        "a text bomb": Content(
            lambda: _png(8, 8, zlib.compress(bytes(200)), _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(64 << 20))))
        ),
        "a profile bomb": Content(
            lambda: _png(8, 8, zlib.compress(bytes(200)), _chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(64 << 20))))
        ),
        "a JPEG of 65500 x 65500": Content(lambda: _jpeg(65_500, 65_500)),
        "a JPEG of no size": Content(lambda: _jpeg(0, 0)),
        "a BMP of 10^9 x 10^9": Content(lambda: _bmp(10**9, 10**9)),
        "a negative BMP": Content(lambda: _bmp(-5, -(2**31))),
        "PostScript": Content(
            lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(" + TRAP.encode() + b") run\n"
        ),
        "a TIFF": Content(lambda: _image("TIFF")),
        "a GIF": Content(lambda: _image("GIF")),
        "CMYK": Content(lambda: _image("JPEG", "CMYK")),
        "one pixel": Content(lambda: _image("PNG", "RGBA", (1, 1))),
        "SVG": Content(lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
    },
    "text": {},
    "binary": {
        "HDF5 and nothing else": Content(lambda: b"\x89HDF\r\n\x1a\n"),
        "HDF5 of zeros": Content(lambda: b"\x89HDF\r\n\x1a\n" + bytes(1 << 16)),
        "Parquet and nothing else": Content(lambda: b"PAR1"),
        "Parquet of zeros": Content(lambda: b"PAR1" + bytes(1 << 16) + b"PAR1"),
        "Parquet of a long footer": Content(lambda: b"PAR1" + bytes(64) + b"\xff\xff\xff\x7fPAR1"),
        "cut short": _change(lambda valid: valid[: len(valid) // 2]),
        "doubled": _change(lambda valid: valid + valid),
    },
}


def _matlab(variables: dict[str, Any]) -> bytes:
    content = io.BytesIO()
    savemat(content, variables)
    return content.getvalue()


def nasties(form: str) -> dict[str, Nasty]:
    """All nasties that a file of a format can be."""
    return OF_FORM[form] if form == "text" else {**ANY, **OF_FORM[form]}
