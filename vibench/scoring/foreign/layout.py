"""What named arrays are: features, names, labels, and of which side; whatever else is there is named and left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vibench.errors import UsageError, cited
from vibench.scoring.foreign.keys import (
    CAMERAS,
    FEATURES,
    FIELDS,
    GALLERY,
    MODALITIES,
    NAMES,
    PIDS,
    QUERY,
    SIDES,
    known_key,
    pairs_key,
)
from vibench.scoring.foreign.named import Named
from vibench.scoring.foreign.recipes import make_right

_IMAGE = re.compile(r".*\.(jpg|jpeg|png|bmp|tif|tiff|npy|pt)", re.IGNORECASE | re.DOTALL)
_CITED = 12
_BESIDE = "names file: "
_NAME_THEM = "name them, one a line, with --names FILE, or "
_PLAIN_PIDS = ("pids", "pid", "personids", "personid")
"""Names that say identity, whatever 'ids' and 'labels' beside them count."""
_VISIBLE = {"visible", "vis", "rgb", "color", "colour", "v", "visible light", "vi"}
_INFRARED = {"infrared", "ir", "thermal", "nir", "tir", "t", "i", "th"}


@dataclass
class Part:
    """The images of one side: N rows."""

    side: str | None
    """A key of `vibench.scoring.foreign.keys.SIDES`; None: all images."""
    features: np.ndarray
    """(N, D)."""
    names: np.ndarray | None = None
    """(N,) str."""
    pids: np.ndarray | None = None
    """(N,) int64."""
    cameras: np.ndarray | None = None
    """(N,) int64."""
    modalities: np.ndarray | None = None
    """(N,) str, ``visible`` | ``infrared``, or int64: codes that nobody has explained."""
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    """Further numbers with N rows."""


def recognise(named: Named, where: str, beside: Named | None = None) -> tuple[list[Part], list[str]]:
    """The parts of a file, one or those of two sides, and notes on what was left out.

    ``beside`` is what a file of names beside it holds. Raises `UsageError`, beginning with ``where`` and listing what
    the file holds, where that is ambiguous or unknown.
    """
    arrays = {name: squeezed(array) for name, array in named.arrays.items()}
    arrays = _of_paths(arrays, where) or arrays
    found: dict[str | None, dict[str, list[str]]] = {}
    for name in arrays:
        key = known_key(name)
        if key is None:
            continue
        kind = key.field or (NAMES if arrays[name].dtype.kind == "U" else FEATURES)
        if kind == FEATURES and (arrays[name].dtype.kind not in "fiu" or arrays[name].ndim < 2):
            continue
        found.setdefault(key.side, {}).setdefault(kind, []).append(name)
    order = (None, *SIDES)
    sides = sorted((side for side, fields in found.items() if FEATURES in fields), key=order.index)
    if not sides:
        matrices = [name for name in arrays if pairs_key(name)]
        if matrices:
            raise _unknown(
                named, arrays, where, f"{matrices[0]} compares images, so it is for --scores, not --features"
            )
        only = _only_matrix(arrays)
        if only is None:
            raise _unknown(named, arrays, where, "no array here is known as features")
        found.setdefault(None, {})[FEATURES] = [only]
        sides = [None]
    if len(sides) > 1 and not (set(sides) == {QUERY, GALLERY} or set(sides) == {"visible", "infrared"}):
        held = ", ".join(name for side in sides for name in found[side][FEATURES])
        raise _unknown(named, arrays, where, f"more than one array could be the features: {held}")
    if beside is not None:
        if len(sides) > 1:
            raise UsageError(
                f"{where}: holds two sides, so that a file of names beside it cannot say which it is of; put the names "
                f"into it, as {' and '.join(f'{side}_paths' for side in sides)}."
            )
        taken = {_BESIDE + name: squeezed(array) for name, array in beside.arrays.items()}
        arrays |= taken
        for name in taken:
            key = known_key(name.removeprefix(_BESIDE))
            kind = key.field if key is not None else ""
            if not kind and arrays[name].dtype.kind == "U":
                kind = NAMES
            if kind not in ("", FEATURES):
                found.setdefault(sides[0], {}).setdefault(kind, []).insert(0, name)
    used: set[str] = set()
    notes: list[str] = []
    parts = [_part(side, found[side], arrays, named, where, used, notes) for side in sides]
    left = [f"{name} {described(array)}" for name, array in arrays.items() if name not in used and name != "meta"]
    left += [f"{name} ({what})" for name, what in named.unread.items()]
    if left:
        notes.append(f"{Path(where).name}: left out what is not per image or not known: {cited(left, _CITED)}")
    return parts, notes


def _part(
    side: str | None,
    fields: Mapping[str, Sequence[str]],
    arrays: Mapping[str, np.ndarray],
    named: Named,
    where: str,
    used: set[str],
    notes: list[str],
) -> Part:
    name, values = _features(fields[FEATURES], arrays, named, where)
    used.add(name)
    lengths = [len(arrays[one]) for kind in (NAMES, PIDS, CAMERAS) for one in fields.get(kind, ()) if arrays[one].ndim]
    if values.ndim == 2 and lengths and len(values) not in lengths and values.shape[1] in lengths:
        notes.append(f"{Path(where).name}: {name} {described(values)} has one image a column; it was transposed")
        values = np.ascontiguousarray(values.T)
    rows = len(values)
    part = Part(side, values)
    texts = [one for one in (*fields.get(NAMES, ()), *fields.get(PIDS, ())) if _are_names(arrays[one])]
    texts += [one for one in fields.get(NAMES, ()) if arrays[one].dtype.kind == "U" and one not in texts]
    if not texts and side is None:
        texts = [one for one in arrays if _are_names(arrays[one]) and known_key(one) is None]
    candidates = [one for one in texts if arrays[one].shape == (rows,)]
    picked = _agreeing(candidates, arrays)
    if picked is None and candidates:
        raise _unknown(named, arrays, where, f"more than one array could be the names: {', '.join(candidates)}")
    if picked is not None:
        part.names = arrays[picked]
        used.update(candidates)
    for kind in (PIDS, CAMERAS, MODALITIES):
        offered = [one for one in _ordered(fields.get(kind, ()), kind) if one not in candidates]
        numbers = {one: whole_numbers(arrays[one], kind) for one in offered if arrays[one].shape == (rows,)}
        fitting = {one: array for one, array in numbers.items() if array is not None}
        chosen = _agreeing(list(fitting), fitting) or next(
            (one for one in fitting if _key_word(one) in _PLAIN_PIDS), None
        )
        if chosen is None and fitting and part.names is None:
            raise _unknown(named, arrays, where, f"more than one array could be the {kind}: {', '.join(fitting)}")
        if chosen is not None:
            setattr(part, kind, fitting[chosen])
        used.update(fitting)
    # Names of another number of images than there are rows: where labels would do, the file is wrong all the same.
    others = [one for one in fields.get(NAMES, ()) if _are_names(arrays[one])]
    if part.names is None and (part.pids is None or others):
        said = [f"{one} {described(arrays[one])}" for one in others or (*texts, *fields.get(PIDS, ()))]
        short = f"{name} {described(arrays[name])} are the features, but {{}}"
        reason = f"{', '.join(said)} do not name its images" if said else "nothing here names its images"
        raise _unknown(named, arrays, where, short.format(reason), "" if said else _NAME_THEM)
    for one, array in arrays.items():
        if one not in used and side is None and array.ndim >= 2 and len(array) == rows and array.dtype.kind == "f":
            part.extras[one] = array
            used.add(one)
    return part


def _features(
    names: Sequence[str], arrays: Mapping[str, np.ndarray], named: Named, where: str
) -> tuple[str, np.ndarray]:
    """The one array of features; vibench's own name goes before others, whose arrays are then further features."""
    name = _agreeing(names, arrays) or ("features" if "features" in names else None)
    if name is None:
        raise _unknown(named, arrays, where, f"more than one array could be the features: {', '.join(names)}")
    values = arrays[name]
    return name, values.astype(np.float32) if values.dtype == np.float16 else values


def squeezed(array: np.ndarray) -> np.ndarray:
    """Without the dimensions of one entry that networks, MATLAB and loops over images leave: (N, D, 1, 1), (1, N)."""
    if array.ndim <= 1:
        return array
    inner = [size for size in array.shape[1:] if size != 1]
    if array.dtype.kind in "iubU" or array.ndim > 2:
        if len(inner) == 0:
            return array.reshape(-1) if array.dtype.kind in "iubU" else array.reshape(len(array), 1)
        if len(inner) == 1 and array.shape[0] == 1 and array.dtype.kind in "iubU":
            return array.reshape(-1)
        if array.ndim > 2 and len(inner) == 1:
            return array.reshape(len(array), inner[0])
        return array
    if 1 in array.shape and np.isfinite(array).all() and (array == np.floor(array)).all():
        # MATLAB's labels are floating point numbers.
        return array.reshape(-1)
    return array


def _of_paths(arrays: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray] | None:
    """Features and names of a file with one vector per image, named by its path; None for any other file."""
    named = {
        name: array.reshape(-1)
        for name, array in arrays.items()
        if _IMAGE.fullmatch(name) and array.dtype.kind == "f" and array.size > 1
    }
    if len(named) < 2 or 2 * len(named) < len(arrays) or len({len(array) for array in named.values()}) > 1:
        return None
    rest = {name: array for name, array in arrays.items() if name not in named}
    return {"features": np.stack(list(named.values())), "paths": np.array(list(named), dtype=np.str_), **rest}


def _only_matrix(arrays: Mapping[str, np.ndarray]) -> str | None:
    """The one matrix of floating point numbers in a file that gives no names, such as an ``.npy``."""
    matrices = [name for name, array in arrays.items() if array.ndim == 2 and array.dtype.kind == "f"]
    unnamed = re.fullmatch(r"arr_\d+|[\d/-]+", matrices[0]) if len(matrices) == 1 else None
    return matrices[0] if unnamed else None


def _are_names(array: np.ndarray) -> bool:
    """Whether texts are names of images: every one has a folder or the ending of an image."""
    if array.dtype.kind != "U" or array.ndim != 1 or len(array) == 0:
        return False
    return all("/" in text or "\\" in text or _IMAGE.fullmatch(text) for text in array.tolist())


def whole_numbers(array: np.ndarray, kind: str) -> np.ndarray | None:
    """Whole numbers, also where they were written as texts or floating point numbers; of modalities also the words."""
    if array.dtype.kind == "U":
        words = [text.strip().lower() for text in array.tolist()]
        if kind == MODALITIES and all(word in _VISIBLE or word in _INFRARED for word in words):
            return np.array(["visible" if word in _VISIBLE else "infrared" for word in words])
        if kind == CAMERAS:
            words = [re.sub(r"^(cam|c)(era)?[_ ]?(?=\d)", "", word) for word in words]
        if all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
            return np.array([int(word) for word in words], dtype=np.int64)
        return None
    if array.dtype.kind == "b":
        return None  # nothing says what it is that is true
    if array.dtype.kind == "f":
        with np.errstate(all="ignore"):
            whole = bool(((np.abs(array) < 2**53) & (array == np.floor(array))).all())
        return array.astype(np.int64) if whole else None
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        return None
    return array.astype(np.int64)


def _ordered(names: Iterable[str], kind: str) -> list[str]:
    """Those first whose name says best what they are."""
    words = FIELDS[kind].split()

    def place(name: str) -> int:
        word = _key_word(name)
        return words.index(word) if word in words else len(words)

    return sorted(names, key=place)


def _key_word(name: str) -> str:
    key = known_key(name.removeprefix(_BESIDE))
    return "" if key is None else key.word


def _agreeing(names: Sequence[str], arrays: Mapping[str, np.ndarray]) -> str | None:
    """The first, where all are the same; else None."""
    same = all(np.array_equal(arrays[name], arrays[names[0]]) for name in names[1:])
    return names[0] if names and same else None


def described(array: np.ndarray) -> str:
    if array.ndim == 0:
        return "(one value)"
    return f"({' x '.join(map(str, array.shape))} {'texts' if array.dtype.kind == 'U' else array.dtype})"


def _unknown(named: Named, arrays: Mapping[str, np.ndarray], where: str, why: str, simpler: str = "") -> UsageError:
    held = [f"{name} {described(array)}" for name, array in arrays.items()]
    held += [f"{name} ({what})" for name, what in named.unread.items()]
    return UsageError(
        f"{where}: {why}. It holds {cited(held, _CITED) or 'nothing'}; {simpler}make a file that says what is what.",
        recipe=make_right(),
    )
