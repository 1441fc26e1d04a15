"""Files of features of any code base -> `vibench.evaluation.features.Features`, with notes on what was concluded."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vibench.datasets.registry import Dataset
from vibench.errors import UsageError
from vibench.evaluation.features import Features, check_features, features_of_arrays
from vibench.files.digests import sha256_file
from vibench.files.reading import parse_json
from vibench.protocols import Protocol
from vibench.scoring.foreign.assemble import assemble, require_names_of
from vibench.scoring.foreign.containers import read_container, read_names
from vibench.scoring.foreign.keys import GALLERY, QUERY
from vibench.scoring.foreign.layout import Part, recognise
from vibench.scoring.foreign.named import Named
from vibench.scoring.foreign.names import names_beside
from vibench.scoring.foreign.sysu_features import camera_files, read_camera_files


@dataclass(frozen=True)
class Read:
    """What was read for one split."""

    features: Features
    digests: tuple[str, ...]
    """SHA-256 of the files, in the order in which they were read."""
    notes: tuple[str, ...] = ()


def read_any_features(
    path: Path,
    dataset: Dataset,
    protocols: Sequence[Protocol],
    *,
    gallery: Path | None = None,
    names: Sequence[Path] = (),
) -> Read:
    """The features of one split, from a file of vibench's own or of any other code base.

    ``gallery`` is the file of the gallery images, where ``path`` holds the queries alone. ``names`` are files that name
    the images of features that do not, of ``path`` and then of ``gallery``; without them, such a file is sought beside.
    Raises `UsageError` for what cannot be read, is ambiguous or is refused by
    `vibench.evaluation.features.check_features`.
    """
    files: list[Path] = []
    named = _read(path, files)
    own = _own(named, str(path)) if gallery is None and not names else None
    if own is not None:
        if own.paths is None:
            require_names_of(protocols, str(path))
        return Read(own, _digests(files))
    found = _found(named, path, gallery, names, files)
    features, concluded = assemble(found.parts, dataset, protocols, found.where)
    check_features(features, found.where)
    return Read(features, _digests(files), (*found.notes, *concluded))


@dataclass(frozen=True)
class Found:
    """What files hold, before it is known of which data set the images are."""

    parts: list[Part]
    where: str
    """The files, for sentences about them."""
    notes: tuple[str, ...]
    meta: dict[str, Any]
    """What `vibench extract` says of its features; empty for others."""


def find_features(path: Path, *, gallery: Path | None = None, names: Sequence[Path] = ()) -> Found:
    """What `read_any_features` would make features of, unchecked; `UsageError` for what cannot be read or is ambiguous.

    NaN, rows of zeros and repeated names stay in it.
    """
    files: list[Path] = []
    return _found(_read(path, files), path, gallery, names, files)


def _found(named: Named, path: Path, gallery: Path | None, names: Sequence[Path], files: list[Path]) -> Found:
    notes: list[str] = []
    parts = _parts(named, path, _pick(names, 0), files, notes)
    where = str(path)
    if gallery is not None:
        answers = _parts(_read(gallery, files), gallery, _pick(names, 1), files, notes)
        parts = [_of_side(parts, QUERY, path), _of_side(answers, GALLERY, gallery)]
        where = f"{path} and {gallery}"
    meta: Any = None
    if "meta" in named.arrays:
        with contextlib.suppress(ValueError):
            meta = parse_json(str(named.arrays["meta"]))
    return Found(parts, where, tuple(notes), meta if isinstance(meta, dict) else {})


def _read(path: Path, files: list[Path]) -> Named:
    per_camera = camera_files(path)
    if per_camera:
        named = read_camera_files(per_camera)
        if named is not None:
            files += per_camera
            return named
    files.append(path)
    return read_container(path)


def _own(named: Named, where: str) -> Features | None:
    """The features of a file that `vibench.evaluation.features` reads as it is; None for any other."""
    if "features" not in named.arrays or named.unread:
        return None
    try:
        return features_of_arrays(dict(named.arrays), where)
    except UsageError:
        # The sentence of whoever reads it as a foreign one says more, or the same.
        if isinstance(named.arrays.get("meta"), np.ndarray) and named.arrays["meta"].dtype.kind == "U":
            raise
        return None


def _parts(named: Named, path: Path, given: Path | None, files: list[Path], notes: list[str]) -> list[Part]:
    beside = given or (names_beside(path) if not any(a.dtype.kind == "U" for a in named.arrays.values()) else None)
    if beside is None:
        parts, found = recognise(named, str(path))
    else:
        try:
            parts, found = recognise(named, str(path), read_names(beside))
        except UsageError:
            if given is not None:
                raise
            # What lies beside was not meant.
            parts, found = recognise(named, str(path))
        else:
            files.append(beside)
            notes.append(f"{path.name}: its images are named by {beside.name}")
    notes += found
    return parts


def _of_side(parts: list[Part], side: str, path: Path) -> Part:
    """The part of a file that is said to hold one side."""
    fitting = [part for part in parts if part.side == side] or [part for part in parts if part.side is None]
    if len(parts) == 1 and parts[0].side in (None, side, "visible", "infrared"):
        fitting = parts
    if len(fitting) != 1 or len(parts) != 1:
        raise UsageError(
            f"{path}: holds {' and '.join(str(part.side) for part in parts)} images; given as the {side} it must hold "
            "those alone, so leave --gallery out or name another file."
        )
    part = fitting[0]
    part.side = part.side or side
    return part


def _pick(names: Sequence[Path], at: int) -> Path | None:
    return names[at] if at < len(names) else None


def _digests(files: Sequence[Path]) -> tuple[str, ...]:
    return tuple(sha256_file(file) for file in files)
