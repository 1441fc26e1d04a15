"""Mutations that keep to a format: the file stays one of its kind, with other values, types, keys and shapes in it."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image

from tests.fuzz.byte_mutations import mutate_bytes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Mutation = Callable[[bytes, Random], bytes]

TEXTS = (
    "",
    " ",
    "\x00",
    "a\nb",
    "\u202e",
    "\x1b[31m",
    "a" * 5000,
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\a\\b",
    "..\\a",
    "cam1/../cam2/0001/0001.jpg",
    "Visible/99999999999999999999/a.bmp",
    "Visible/1/a\x00.bmp",
    "vis/0001/c99999999999999999999_a.jpg",
    "NaN",
    "9" * 5000,
    "1e999",
    "٣",
    "²",
    "[bold]",
    "=1+1",
    "%s",
    "{0}",
    "\udc80",
)
NUMBERS: tuple[Any, ...] = (
    0, -1, 1, 2, 255, 2**31, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400, 1 << 20000,
    0.0, -0.0, 0.5, 1e-320, 1e30, 1e308, -1e308, math.nan, math.inf, -math.inf,
)  # fmt: skip


def odd_value(random: Random, depth: int = 0) -> Any:
    """Any value that JSON, TOML or a pickle of plain containers can hold."""
    kind = random.randrange(8 if depth < 3 else 5)
    if kind == 0:
        return random.choice((True, False, None))
    if kind in (1, 2):
        return random.choice(NUMBERS)
    if kind in (3, 4):
        return random.choice(TEXTS)
    if kind == 5:
        return [odd_value(random, depth + 1) for _ in range(random.randrange(4))]
    if kind == 6:
        return {random.choice(TEXTS)[:9]: odd_value(random, depth + 1) for _ in range(random.randrange(3))}
    return _nested(random.choice((3, 60, 300)), random.random() < 0.5)


def _nested(depth: int, tables: bool) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = {"a": value} if tables else [value]
    return value


def like(value: Any, random: Random) -> Any:
    """Another value of the same type, where there is one."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return random.choice((*NUMBERS, value + 1, -value, value * 2))
    if isinstance(value, str):
        return random.choice((*TEXTS, value + " ", value[:-1], value.upper(), value * 2))
    return odd_value(random)


def mutate_value(value: Any, random: Random, odd: Callable[[Random], Any] = odd_value) -> Any:
    """A copy of nested lists and dictionaries with one to three places changed, removed, doubled or added."""
    for _ in range(random.randint(1, 3)):
        value = _mutated(value, random, odd)
    return value


def _mutated(value: Any, random: Random, odd: Callable[[Random], Any]) -> Any:
    inner = value if isinstance(value, dict | list | tuple) else ()
    if len(inner) and random.random() < 0.85:
        changed: Any = dict(value) if isinstance(value, dict) else list(value)
        key = random.choice(list(changed)) if isinstance(value, dict) else random.randrange(len(changed))
        choice = random.randrange(8)
        if choice == 0:
            del changed[key]
        elif choice == 1 and isinstance(changed, list):
            changed.append(changed[key])
        elif choice == 1:
            changed[random.choice(TEXTS)[:20] or "x"] = changed[key]
        elif choice == 2 and isinstance(changed, dict):
            changed[str(key)[:-1] or "y"] = changed.pop(key)
        else:
            changed[key] = _mutated(changed[key], random, odd)
        return changed
    return like(value, random) if random.random() < 0.6 else odd(random)


def mutate_json(content: bytes, random: Random) -> bytes:
    """Another JSON text; lone surrogates are escaped, as JSON allows."""
    return _json_text(mutate_value(json.loads(content), random)).encode("utf-8", "surrogatepass")


def _json_text(value: Any) -> str:
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(value, default=str)
    finally:
        sys.set_int_max_str_digits(limit)


def mutate_toml(content: bytes, random: Random) -> bytes:
    """Another TOML text."""
    table = mutate_value(tomllib.loads(content.decode()), random)
    if not isinstance(table, dict):
        table = {"name": table}
    return "".join(f"{_toml_key(key)} = {_toml(value)}\n" for key, value in table.items()).encode("utf-8", "replace")


def _toml_key(key: Any) -> str:
    return json.dumps(str(key).encode("utf-8", "replace").decode())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml_key(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        # Hexadecimal numbers are not held to the number of digits that Python converts.
        return str(value) if abs(value) < 2**80 else hex(abs(value))
    if isinstance(value, float):
        return repr(value)
    if value is None:
        return "1979-05-27T07:32:00Z"
    return _toml_key(value)


def mutate_lines(content: bytes, random: Random) -> bytes:
    """Another text: words and lines changed, removed, doubled, joined."""
    lines = content.decode().split("\n")
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(lines))
        words = lines[at].replace(",", " , ").split(" ")
        word = random.randrange(len(words))
        choice = random.randrange(6)
        if choice == 0:
            lines[at] = ""
        elif choice == 1:
            lines.insert(at, random.choice(lines))
        elif choice == 2:
            lines[at] += random.choice(lines)
        else:
            words[word] = random.choice((*TEXTS, words[word] * 2, str(random.choice(NUMBERS[:10]))))
            lines[at] = " ".join(words).replace(" , ", ",")
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def mutate_csv(content: bytes, random: Random) -> bytes:
    """Another table."""
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    # Files of thousands of rows would make every case slow and no case stranger.
    for _ in range(random.randint(1, 3)):
        at = random.choice((0, random.randrange(len(rows)), len(rows) - 1))
        choice = random.randrange(7)
        if choice == 0 and len(rows) > 1:
            del rows[at]
        elif choice == 1:
            rows.insert(at, list(random.choice(rows)))
        elif choice == 2 and rows[at]:
            column = random.randrange(len(rows[at]))
            rows = [row[:column] + row[column + 1 :] for row in rows]
        elif choice == 3:
            rows[at] = [*rows[at], random.choice(TEXTS)]
        elif rows[at]:
            rows[at][random.randrange(len(rows[at]))] = random.choice((*TEXTS, str(random.choice(NUMBERS[:10]))))
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def mutate_text(content: bytes, random: Random) -> bytes:
    """Another single line."""
    text = content.decode()
    name, equals, value = text.partition("=")
    choice = random.randrange(5)
    if choice == 0:
        text = random.choice(TEXTS)
    elif choice == 1:
        text = name + equals + _toml(odd_value(random))
    elif choice == 2:
        text = name + equals + random.choice(TEXTS)
    elif choice == 3:
        text = random.choice(TEXTS) + equals + value
    else:
        at = random.randint(0, len(text))
        text = text[:at] + random.choice((*TEXTS, ".", "=", "[" * 2000, "{", "x", "~")) + text[at:]
    return text.encode("utf-8", "surrogatepass")


def _odd_array(random: Random, array: np.ndarray) -> np.ndarray:
    """The array with another shape, type or content."""
    choice = random.randrange(11)
    if choice == 0:
        return array[: random.randint(0, len(array))] if array.ndim else array.reshape(1)
    if choice == 1:
        return array.reshape(-1)
    if choice == 2:
        return array[..., None]
    if choice == 3:
        return np.concatenate([array, array]) if array.ndim else np.stack([array, array])
    if choice == 4:
        return array.astype(object)
    if choice == 5:
        kinds = ("f2", "f8", "c16", "u1", "i8", "u8", "?", "U3", "S3", "M8[s]", "V4", ">f4", ">i8")
        with np.errstate(all="ignore"):
            try:
                return array.astype(random.choice(kinds))
            except (ValueError, TypeError):
                return np.zeros(array.shape, "V4")
    if choice == 6:
        return np.zeros((0, *array.shape[1:]), array.dtype)
    if choice == 7:
        return np.asfortranarray(array)
    if choice == 8:
        return np.zeros(array.shape, [("a", "i4"), ("b", "f8")])
    changed = np.array(array)
    if changed.size and changed.dtype.kind in "fiub":
        numbers = [number for number in NUMBERS if isinstance(number, float) or 0 <= number < 200]
        if changed.dtype.kind in "iu":
            extremes = np.iinfo(changed.dtype)
            numbers = [0, 1, extremes.min, extremes.max]
        with np.errstate(all="ignore"):
            changed.flat[random.randrange(changed.size)] = random.choice(numbers)
    elif changed.size and changed.dtype.kind == "U":
        texts = [text for text in TEXTS if "\udc80" not in text]
        changed = changed.astype("U60")
        changed.flat[random.randrange(changed.size)] = random.choice(texts)
    return changed


def mutate_npz(content: bytes, random: Random) -> bytes:
    """Another archive of arrays, some of which only a pickle could hold."""
    with np.load(io.BytesIO(content), allow_pickle=True) as archive:
        arrays = {name: archive[name] for name in archive.files}
    for _ in range(random.randint(1, 2)):
        if not arrays:
            break
        name = random.choice(list(arrays))
        choice = random.randrange(8)
        if choice == 0:
            del arrays[name]
        elif choice == 1:
            arrays[random.choice(("extra", "a/../b", "paths", "meta"))] = arrays[name]
        elif choice == 2:
            arrays[name] = arrays[random.choice(list(arrays))]
        else:
            arrays[name] = _odd_array(random, arrays[name])
    text = io.BytesIO()
    (np.savez if random.random() < 0.5 else np.savez_compressed)(text, **arrays)  # type: ignore[operator]
    return _lying(text.getvalue(), random) if random.random() < 0.3 else text.getvalue()


def mutate_npy(content: bytes, random: Random) -> bytes:
    """Another array."""
    array = _odd_array(random, np.load(io.BytesIO(content), allow_pickle=True))
    text = io.BytesIO()
    np.save(text, array)
    return text.getvalue()


def _lying(content: bytes, random: Random) -> bytes:
    """The archive with one header that declares another shape or type than the data has."""
    source = zipfile.ZipFile(io.BytesIO(content))
    victim = random.choice(source.namelist() or [""])
    text = io.BytesIO()
    with zipfile.ZipFile(text, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as target:
        for name in source.namelist():
            data = source.read(name)
            if name == victim:
                shape = random.choice(("(10**12,)", "(1000000000000,)", "(-1,)", "(0, 99999999999)", "(True,)", "7"))
                header = f"{{'descr': '{random.choice(('<f4', '<U9', '|O', '<f99', '|V999999999'))}', "
                header += f"'fortran_order': False, 'shape': {shape}}}"
                padded = header.ljust(117).encode() + b"\n"
                data = b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + data[128:]
            target.writestr(name, data)
    return text.getvalue()


def mutate_mat(content: bytes, random: Random) -> bytes:
    """Another MATLAB file."""
    from scipy.io import loadmat, savemat

    found = loadmat(io.BytesIO(content))
    name = next(key for key in found if not key.startswith("__"))
    value = _odd_matrix(found[name], random)
    text = io.BytesIO()
    wanted = name if random.random() < 0.9 else "other"
    try:
        savemat(text, {wanted: value}, do_compression=random.random() < 0.5)
    except (TypeError, ValueError):
        savemat(text, {wanted: 1})
    return text.getvalue()


def _odd_matrix(value: np.ndarray, random: Random) -> Any:
    if value.dtype == object and random.random() < 0.8 and value.size:
        changed = value.copy()
        at = random.randrange(changed.size)
        changed.flat[at] = _odd_matrix(np.asarray(changed.flat[at]), random)
        return changed
    if random.random() < 0.2:
        from scipy.sparse import csc_matrix

        odd = ("text", {"a": 1, "b": [1, 2]}, csc_matrix(np.eye(3)), np.array(1 + 2j), np.empty((0, 0)), True)
        return random.choice(odd)
    array = _odd_array(random, value)
    return array if array.dtype.kind in "fiubcUO" else np.zeros((2, 2))


class Foreign:
    """A class that no file may bring into being."""


def odd_tensor_or_value(random: Random) -> Any:
    """Any value, or one that only PyTorch or an arbitrary pickle can hold."""
    choice = random.randrange(10)
    if choice > 5:
        return odd_value(random)
    odd = (
        torch.tensor(math.nan),
        torch.zeros(0),
        torch.eye(3).to_sparse(),
        torch.zeros(1).expand(10**9, 10**6),
        torch.zeros(2, dtype=torch.complex64),
        torch.zeros(2, device="meta"),
        torch.nn.Parameter(torch.zeros(1)),
        Foreign(),
        {1: 2, (1, 2): 3, None: 4},
        np.float64(0.5),
        {1, 2},
        b"bytes",
        torch.Size([1, 2]),
        torch.float32,
        torch.device("cuda:7"),
        1j,
    )
    return random.choice(odd)


def mutate_torch(content: bytes, random: Random) -> bytes:
    """Another PyTorch archive."""
    value = torch.load(io.BytesIO(content), weights_only=False)
    value = mutate_value(value, random, odd_tensor_or_value)
    text = io.BytesIO()
    torch.save(value, text, _use_new_zipfile_serialization=random.random() < 0.8)
    return text.getvalue()


def mutate_safetensors(content: bytes, random: Random) -> bytes:
    """Another table in front of the same bytes, with its true length."""
    end = 8 + int.from_bytes(content[:8], "little")
    table = mutate_json(content[8:end], random)
    return len(table).to_bytes(8, "little") + table + content[end:]


def mutate_image(content: bytes, random: Random) -> bytes:
    """The image in another mode, format or size."""
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        formats = {
            "JPEG": ("RGB", "L", "CMYK", "YCbCr"),
            "PNG": ("RGB", "L", "RGBA", "LA", "P", "1", "I;16"),
            "BMP": ("RGB", "L", "1", "P"),
            "GIF": ("L", "P"),
            "TIFF": ("RGB", "CMYK", "F", "I;16", "LAB"),
            "WEBP": ("RGB", "RGBA"),
            "PPM": ("RGB", "L"),
            "ICO": ("RGBA",),
            "PDF": ("RGB",),
            "EPS": ("RGB",),
        }
        kind = random.choice(list(formats))
        mode = random.choice(formats[kind])
        size = random.choice((image.size, (1, 1), (1, 300), (300, 1), (65, 3)))
        changed = image.convert("RGB").resize(size)
        if mode == "I;16":
            changed = Image.fromarray(np.asarray(changed.convert("L")).astype(np.uint16) * 257)
        elif mode != "LAB":
            changed = changed.convert(mode)
        exif = Image.Exif()
        exif[0x0112] = random.randrange(12)
        text = io.BytesIO()
        try:
            changed.save(text, kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}))
        except (OSError, ValueError):
            return content
    return text.getvalue()


@dataclass(frozen=True)
class Form:
    """A file format."""

    mutate: Mutation


FORMS: dict[str, Form] = {
    "toml": Form(mutate_toml),
    "json": Form(mutate_json),
    "csv": Form(mutate_csv),
    "lines": Form(mutate_lines),
    "text": Form(mutate_text),
    "npz": Form(mutate_npz),
    "npy": Form(mutate_npy),
    "mat": Form(mutate_mat),
    "torch": Form(mutate_torch),
    "safetensors": Form(mutate_safetensors),
    "image": Form(mutate_image),
    "binary": Form(mutate_bytes),
}
