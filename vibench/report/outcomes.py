"""The records of a leaderboards folder with what the page needs beside them."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import numpy as np

from vibench.errors import UsageError
from vibench.evaluation.result import PerQuery
from vibench.records.schema import Record
from vibench.records.store import read_per_query

Key = TypeVar("Key", bound=Hashable)
Scores = tuple[float, float]
"""Rank-1 and mAP, in percent."""


@dataclass(frozen=True)
class Queries:
    """Average precision of every query."""

    pid: np.ndarray
    camera: np.ndarray
    ap: np.ndarray
    """Fractions: mean over the trials that ask the same queries as the first; NaN where none has a match."""


@dataclass(frozen=True)
class Outcome:
    """One record, where it lies, and what its per-query file adds, which may be unreadable."""

    id: str
    """Of the record, which takes a moment to compute."""
    record: Record
    link: str
    """URL of the JSON file relative to the page."""
    cameras: Mapping[int, Scores]
    """By query camera."""
    pairs: Mapping[tuple[int, int], Scores]
    """By query and gallery camera; empty, too, for older records, which do not tell gallery cameras apart."""
    queries: Queries | None


def read_outcomes(records: Mapping[Path, Record], page: Path) -> tuple[dict[str, Outcome], list[str]]:
    """The outcome of every record by id, with links from where ``page`` will lie; ``records`` by path.

    Also returns a sentence for every per-query file that cannot be read.
    """
    outcomes: dict[str, Outcome] = {}
    problems: list[str] = []
    for path, record in records.items():
        try:
            trials: Sequence[PerQuery] = read_per_query(path, record)
        except UsageError as error:
            problems.append(str(error))
            trials = ()
        link = relative_link(path, page)
        found = camera_scores(trials), pair_scores(trials), _queries(trials) if trials else None
        name = record.id
        outcomes[name] = Outcome(name, record, link, *found)
    return outcomes, problems


def relative_link(target: Path, page: Path) -> str:
    """The URL of a file relative to the page's folder."""
    steps = Path(os.path.relpath(target.resolve(), page.resolve().parent)).as_posix()
    # A leading "./" keeps a folder named "javascript:..." from being read as a scheme.
    return quote(steps if steps.startswith("../") else f"./{steps}")


def camera_scores(trials: Sequence[PerQuery]) -> Mapping[int, Scores]:
    """Rank-1 and mAP in percent of the queries of each camera: mean over its valid queries, then over the trials."""
    found: dict[int, list[Scores]] = {}
    for trial in trials:
        for camera, scores in _by_camera(trial.camera, trial.first_hit, trial.ap):
            found.setdefault(camera, []).append(scores)
    return _means(found)


def pair_scores(trials: Sequence[PerQuery]) -> Mapping[tuple[int, int], Scores]:
    """Rank-1 and mAP in percent by query and gallery camera, where only the matches of that gallery camera are sought.

    Mean over the queries with such a match, then over the trials; empty where a trial does not tell cameras apart.
    """
    found: dict[tuple[int, int], list[Scores]] = {}
    for trial in trials:
        if trial.gallery_camera is None or trial.camera_ap is None or trial.camera_first_hit is None:
            return {}
        for column, gallery in enumerate(trial.gallery_camera.tolist()):
            hits, precisions = trial.camera_first_hit[:, column], trial.camera_ap[:, column]
            for camera, scores in _by_camera(trial.camera, hits, precisions):
                found.setdefault((camera, gallery), []).append(scores)
    return _means(found)


def _by_camera(cameras: np.ndarray, first_hit: np.ndarray, ap: np.ndarray) -> list[tuple[int, Scores]]:
    valid = first_hit > 0
    names, group = np.unique(cameras[valid], return_inverse=True)
    counts = np.bincount(group)
    r1, mean_ap = (np.bincount(group, values[valid]) / counts for values in (first_hit == 1, ap))
    return [(int(name), (float(a), float(b))) for name, a, b in zip(names, r1, mean_ap, strict=True)]


def _means(found: Mapping[Key, Sequence[Scores]]) -> dict[Key, Scores]:
    """Means over the trials, as percentages."""
    means = {key: 100.0 * np.mean(scores, axis=0) for key, scores in sorted(found.items())}  # type: ignore[type-var]
    return {key: (float(r1), float(mean_ap)) for key, (r1, mean_ap) in means.items()}


def _queries(trials: Sequence[PerQuery]) -> Queries:
    first = trials[0]
    same = [
        trial.ap
        for trial in trials
        if np.array_equal(trial.pid, first.pid) and np.array_equal(trial.camera, first.camera)
    ]
    known = ~np.isnan(same)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, same, 0.0).sum(axis=0) / known.sum(axis=0)
    return Queries(first.pid, first.camera, mean)
