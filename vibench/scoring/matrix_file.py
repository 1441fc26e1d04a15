"""Files of scores: what a matcher that has no embedding says of every pair of a query and a gallery image.

An ``.npz`` with ``scores`` (Q, G), larger for what is more alike, or ``distances`` (Q, G), smaller for what is more
alike, and the images of its rows and columns: ``query_paths`` (Q,) and ``gallery_paths`` (G,), or where nothing is
drawn by name ``query_pids`` and ``gallery_pids`` (``query_cameras`` and ``gallery_cameras`` with them). Or one matrix
per trial: ``scores_1``, ``scores_2``, ..., with ``gallery_paths_1``, ...; names without a number are those of all.
Other containers that `vibench.scoring.foreign.containers` reads, and the usual names of such arrays, do as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vibench.errors import UsageError, cited
from vibench.scoring.foreign.containers import read_container
from vibench.scoring.foreign.keys import (
    CAMERAS,
    GALLERY,
    MODALITIES,
    NAMES,
    PIDS,
    QUERY,
    known_key,
    numbered,
    pairs_key,
)
from vibench.scoring.foreign.layout import described, squeezed, whole_numbers
from vibench.scoring.foreign.named import Named
from vibench.scoring.foreign.recipes import make_scores_right

_EXACT = 2**53
"""No whole number beyond it is sure to be one in float64."""
_CITED = 12


@dataclass(frozen=True)
class Axis:
    """The images of the rows, or of the columns, of a matrix: names, or else identities and what goes with them."""

    names: tuple[str, ...] | None = None
    """As the file writes them."""
    pids: np.ndarray | None = None
    """(N,) int64."""
    cameras: np.ndarray | None = None
    """(N,) int64."""
    modalities: np.ndarray | None = None
    """(N,) str, ``visible`` | ``infrared``, or int64 codes."""


@dataclass(frozen=True)
class ScoreMatrix:
    """What a file says of every pair of some queries and gallery images."""

    where: str
    """File and array, for sentences."""
    values: np.ndarray
    """(Q, G) float16, float32 or float64, finite."""
    distances: bool
    """True: smaller is more alike."""
    query: Axis
    gallery: Axis
    number: int | None = None
    """Of the trial, as the file counts them; None for a matrix of all."""


@dataclass(frozen=True)
class ScoresFile:
    """What a file of scores holds."""

    matrices: tuple[ScoreMatrix, ...]
    """One without a number, or several in the order of theirs."""
    notes: tuple[str, ...] = ()
    """What was left out."""


def read_scores_file(path: Path) -> ScoresFile:
    """Read and check a file of scores.

    Raises `UsageError` for what cannot be read or is ambiguous, for a matrix of another rank, type or size than its
    images say, and for NaN or infinite values.
    """
    named = read_container(path, "scores")
    where = str(path)
    matrices: dict[int | None, str] = {}
    columns: dict[tuple[str, str, int | None], np.ndarray] = {}
    left = []
    for name, array in named.arrays.items():
        word, number = numbered(name)
        if pairs_key(name):
            if number in matrices:
                raise UsageError(
                    f"{where}: holds both {matrices[number]} and {name}; keep 'scores', larger for what is more alike, "
                    "or 'distances', smaller."
                )
            matrices[number] = name
            continue
        key = known_key(word)
        field = "" if key is None else key.field or (NAMES if array.dtype.kind == "U" else "")
        if key is None or key.side not in (QUERY, GALLERY) or field not in (NAMES, PIDS, CAMERAS, MODALITIES):
            left.append(f"{name} {described(array)}")
            continue
        values = squeezed(array)
        if not np.array_equal(values, columns.setdefault((key.side, field, number), values)):
            raise _unknown(named, where, f"more than one array could be the {field} of the {key.side}")
    if not matrices:
        raise _unknown(named, where, "holds neither 'scores' nor 'distances'")
    if None in matrices and len(matrices) > 1:
        others = cited([name for number, name in matrices.items() if number is not None], 2)
        raise UsageError(f"{where}: holds {matrices[None]} of all trials and {others} of single ones; keep one kind.")
    left += [f"{name} ({what})" for name, what in named.unread.items()]
    found = tuple(
        _matrix(named, where, name, number, columns)
        for number, name in sorted(matrices.items(), key=lambda item: item[0] or 0)
    )
    note = f"{path.name}: left out what is not known: {cited(left, _CITED)}"
    return ScoresFile(found, (note,) if left else ())


def _matrix(
    named: Named, file: str, name: str, number: int | None, columns: Mapping[tuple[str, str, int | None], np.ndarray]
) -> ScoreMatrix:
    values, where = _numbers(named.arrays[name], f"{file}: {name}"), f"{file}: {name}"
    axes = {side: _axis(side, number, columns, file) for side in (QUERY, GALLERY)}
    for side, axis in axes.items():
        if axis is None:
            of = "" if number is None else f" of trial {number}"
            raise _unknown(named, file, f"nothing names the images of the {side}{of} ('{side}_paths')")
    query, gallery = (axis for axis in axes.values() if axis is not None)
    asked, answers = _length(query), _length(gallery)
    if values.shape != (asked, answers):
        turned = values.shape == (answers, asked)
        remedy = "transpose it" if turned else "name the image of every row and column"
        raise UsageError(
            f"{where}: is of the shape {values.shape}, but {asked} queries and {answers} gallery images are named; "
            f"{remedy}."
        )
    finite = np.isfinite(values)
    if not finite.all():
        row, column = (int(place[0]) for place in np.nonzero(~finite))
        raise UsageError(
            f"{where}: holds {finite.size - int(finite.sum())} NaN or infinite values, the first of "
            f"{_said(query, row, 'query')} and {_said(gallery, column, 'gallery image')}; compute them again."
        )
    key = pairs_key(name)
    return ScoreMatrix(where, values, key is not None and not key.similar, query, gallery, number)


def _numbers(values: np.ndarray, where: str) -> np.ndarray:
    """The matrix as floating point numbers, no value changed."""
    if values.ndim != 2 or 0 in values.shape:
        raise UsageError(f"{where}: must be an array (queries, gallery images), not of the shape {values.shape}.")
    if values.dtype in (np.float16, np.float32, np.float64):
        return values
    if values.dtype.kind in "biu" and max(abs(int(values.min())), abs(int(values.max()))) <= _EXACT:
        return values.astype(np.float64)
    raise UsageError(f"{where}: must be float32 or float64, not {values.dtype}; convert it with astype.")


def _axis(
    side: str, number: int | None, columns: Mapping[tuple[str, str, int | None], np.ndarray], file: str
) -> Axis | None:
    """The images of one side of a matrix; None where nothing tells."""

    def column(field: str) -> np.ndarray | None:
        own = columns.get((side, field, number))
        return columns.get((side, field, None)) if own is None else own

    def labels(field: str) -> np.ndarray | None:
        given = column(field)
        if given is None:
            return None
        numbers = whole_numbers(given, field) if given.ndim == 1 else None
        if numbers is None:
            raise UsageError(f"{file}: the {field} of the {side} must be a list of whole numbers, not {_kind(given)}.")
        return numbers

    names = column(NAMES)
    if names is not None:
        if names.ndim != 1 or names.dtype.kind != "U":
            raise UsageError(f"{file}: the paths of the {side} must be a list of texts, not {_kind(names)}.")
        return Axis(tuple(names.tolist()))
    pids = labels(PIDS)
    if pids is None:
        return None
    axis = Axis(None, pids, labels(CAMERAS), labels(MODALITIES))
    for field in (CAMERAS, MODALITIES):
        given = getattr(axis, field)
        if given is not None and len(given) != len(pids):
            raise UsageError(
                f"{file}: the {side} has {len(pids)} identities but {len(given)} {field}; give one of each per image."
            )
    return axis


def _length(axis: Axis) -> int:
    if axis.names is not None:
        return len(axis.names)
    assert axis.pids is not None
    return len(axis.pids)


def _said(axis: Axis, at: int, what: str) -> str:
    return f"{what} {at}" + ("" if axis.names is None else f" ({axis.names[at]})")


def _kind(array: np.ndarray) -> str:
    return f"{'texts' if array.dtype.kind == 'U' else array.dtype} of the shape {array.shape}"


def _unknown(named: Named, where: str, why: str) -> UsageError:
    held: Iterable[str] = [f"{name} {described(array)}" for name, array in named.arrays.items()]
    held = [*held, *(f"{name} ({what})" for name, what in named.unread.items())]
    return UsageError(
        f"{where}: {why}. It holds {cited(held, _CITED) or 'nothing'}; make a file that says what is what.",
        recipe=make_scores_right(),
    )
