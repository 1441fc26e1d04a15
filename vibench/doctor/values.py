"""What is wrong with the numbers of features, whatever images they are of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vibench.doctor.diagnosis import Finding
from vibench.errors import cited

UNIT = 1e-3
"""Relative deviation from length 1 that rounding to half precision explains."""
NOT_NORMALISED = "features are not normalised"
_COLLAPSED = 0.9999
"""Cosine between the rows of different images from which on a network tells nobody apart."""
_COLLAPSED_SHARE = 0.5
_DEAD_SHARE = 0.5
_SAMPLED = 400
_CITED = 3
_CELLS = 1 << 24
"""Numbers that are looked at together, so that features of any size take little memory beside themselves."""


@dataclass(frozen=True)
class Rows:
    """Features (N, D) and how to call their rows."""

    values: np.ndarray
    name: Callable[[int], str]
    pids: np.ndarray | None = None
    """(N,) where known."""
    modalities: np.ndarray | None = None

    def cited(self, rows: Sequence[int] | np.ndarray) -> str:
        return cited([self.name(int(row)) for row in rows], _CITED)


def lengths(values: np.ndarray) -> np.ndarray:
    """(N,) float64 Euclidean lengths of the rows."""
    with np.errstate(over="ignore"):
        parts = [np.linalg.norm(part.astype(np.float64), axis=1) for part in _blocks(values)]
    return np.concatenate(parts) if parts else np.empty(0)


def not_finite(rows: Rows, finite: np.ndarray) -> list[Finding]:
    """NaN and infinities."""
    odd = np.flatnonzero(~finite)
    if not len(odd):
        return []
    return [
        Finding(
            "wrong",
            "numbers that are none",
            f"{len(odd)} of {len(finite)} rows hold NaN or infinite values, the first are {rows.cited(odd)}",
            "extract these images again; where training ran in fp16, look at its losses",
        )
    ]


def zero_rows(rows: Rows, length: np.ndarray) -> list[Finding]:
    """Rows of zeros."""
    zero = np.flatnonzero(length == 0)
    if not len(zero):
        return []
    return [
        Finding(
            "wrong",
            "rows of zeros",
            f"{len(zero)} of {len(length)} rows are zeros, the first are {rows.cited(zero)}",
            "these images were not extracted, as where an array was made larger than the list of images; extract them",
        )
    ]


def not_normalised(length: np.ndarray) -> list[Finding]:
    """Rows of other lengths than one, which matters to who compares by inner products or Euclidean distances."""
    some = length[(length > 0) & np.isfinite(length)]
    if not len(some) or float(np.abs(some - 1).max()) <= UNIT:
        return []
    low, middle, high = np.quantile(some, [0.0, 0.5, 1.0])
    return [
        Finding(
            "note",
            NOT_NORMALISED,
            f"their rows have lengths of {low:.4g} to {high:.4g}, in the middle {middle:.4g}",
            "vibench compares by cosine, which divides by the lengths, so normalise before an inner product of your "
            "own; where your code ranks by Euclidean distance, evaluate with --distance euclidean",
        )
    ]


def dead_columns(values: np.ndarray) -> list[Finding]:
    """Dimensions with the same number in every row."""
    if len(values) < 2:
        return []
    same = np.ones(values.shape[1], dtype=bool)
    for part in _blocks(values):
        same &= (part == values[0]).all(axis=0)
    count = int(same.sum())
    if not count or count == len(same):
        # All of them: the rows are identical, which is said so.
        return []
    severe = count >= _DEAD_SHARE * len(same)
    return [
        Finding(
            "doubtful" if severe else "note",
            "dimensions that never change",
            f"{count} of {len(same)} dimensions have the same number in every row",
            "look at the last layer: an activation that is dead, or an array that was not filled"
            if severe
            else "nothing need be done; they add nothing to any distance between two of these images",
        )
    ]


def identical_rows(rows: Rows) -> list[Finding]:
    """Rows that are equal: images that were read twice, labels in the place of features, or a network that is dead."""
    places = _groups(rows.values)
    if not places:
        return []
    total = len(rows.values)
    equal = sum(map(len, places))
    largest = max(places, key=len)
    evidence = (
        f"{equal} of {total} rows are equal to another one, in {_groups_shown(len(places))}; of the largest, with "
        f"{len(largest)} rows, are {rows.cited(largest)}"
    )
    if rows.pids is not None and _by_identity(rows, places):
        return [
            Finding(
                "wrong",
                "features that are the identity",
                f"{evidence}; all rows of an identity are equal, whatever the camera",
                "they were made of labels or averaged over the identity; extract every image by itself",
            )
        ]
    if len(largest) > _COLLAPSED_SHARE * total:
        return [
            Finding(
                "wrong",
                "one row for most images",
                evidence,
                "the network tells nobody apart, or the array was not filled: look at the losses, and at whether the "
                "images differ after preprocessing",
            )
        ]
    found = []
    mixed = [group for group in places if rows.modalities is not None and len(set(rows.modalities[group].tolist())) > 1]
    if mixed:
        both = rows.cited(_one_of_each(rows, mixed[0]))
        found.append(
            Finding(
                "wrong",
                "visible and infrared images with the same features",
                f"{_groups_shown(len(mixed))} of equal rows hold both, such as {both}",
                "no two images of different spectra give the same features: queries and gallery were mixed up, or rows "
                "copied; extract both sides again",
            )
        )
    people = [group for group in places if rows.pids is not None and len(set(rows.pids[group].tolist())) > 1]
    found.append(
        Finding(
            "doubtful" if people or rows.pids is None else "note",
            "identical rows",
            evidence + (f"; {len(people)} groups show different people" if people else ""),
            "see whether these images are the same file ('vibench data check' compares pixels); if they are not, "
            "rows were written twice: extract again without padding of the last batch",
        )
    )
    return found


def collapsed(rows: Rows) -> list[Finding]:
    """Different rows that all point to the same side."""
    values = rows.values
    some = values[np.random.default_rng(0).permutation(len(values))[:_SAMPLED]].astype(np.float64)
    length = lengths(some)
    some = some[length > 0] / length[length > 0, None]
    if len(some) < 10 or len(np.unique(some, axis=0)) < len(some) // 2:
        return []
    cosine = float(np.median((some @ some.T)[np.triu_indices(len(some), 1)]))
    if cosine < _COLLAPSED:
        return []
    return [
        Finding(
            "doubtful",
            "all images look alike",
            f"the cosine of two rows is {cosine:.6f} in the median of {len(some)} images",
            "subtract the mean or take the features behind the batch norm: rankings hang on the last digits",
        )
    ]


def _by_identity(rows: Rows, places: Sequence[np.ndarray]) -> bool:
    """Whether (nearly) every identity with more than one image has equal rows alone, and other ones than others."""
    assert rows.pids is not None
    people = {int(pid) for pid, count in zip(*np.unique(rows.pids, return_counts=True), strict=True) if count > 1}
    whole = [group for group in places if len(set(rows.pids[group].tolist())) == 1]
    right = sum(len(group) == int((rows.pids == rows.pids[group[0]]).sum()) for group in whole)
    return len(people) > 1 and right >= 0.9 * len(people)


def _groups(values: np.ndarray) -> list[np.ndarray]:
    """The rows of each group of equal rows, those first that come first; rows of zeros belong to none."""
    # Adding zero makes -0.0 and 0.0 the same bytes.
    array = np.ascontiguousarray(values + values.dtype.type(0))
    if not array.size:
        return []
    keys = array.view(np.dtype((np.void, array.dtype.itemsize * array.shape[1]))).ravel()
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    order = np.argsort(inverse.ravel(), kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)])
    found = [order[starts[at] : starts[at + 1]] for at in np.flatnonzero(counts > 1)]
    return sorted((group for group in found if array[group[0]].any()), key=lambda group: int(group[0]))


def _one_of_each(rows: Rows, group: np.ndarray) -> list[int]:
    """The first row of every modality in a group."""
    assert rows.modalities is not None
    _, first = np.unique(rows.modalities[group], return_index=True)
    return [int(group[at]) for at in sorted(first)]


def _groups_shown(count: int) -> str:
    return "one group" if count == 1 else f"{count} groups"


def _blocks(values: np.ndarray) -> list[np.ndarray]:
    step = max(1, _CELLS // max(1, values.shape[1]))
    return [values[start : start + step] for start in range(0, len(values), step)]
