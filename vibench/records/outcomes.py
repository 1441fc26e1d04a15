"""Records together with what their per-query files tell: scores by camera, and of every query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vibench.errors import UsageError
from vibench.evaluation.result import PerQuery
from vibench.records.camera_scores import Scores, camera_scores, pair_scores
from vibench.records.schema import Record
from vibench.records.store import read_per_query


@dataclass(frozen=True)
class Queries:
    """Average precision of every query."""

    pid: np.ndarray
    camera: np.ndarray
    ap: np.ndarray
    """Fractions: mean over the trials that ask the same queries as the first; NaN where none has a match."""

    def same(self, pid: np.ndarray, camera: np.ndarray) -> bool:
        """Whether these are the queries, in their order."""
        return np.array_equal(self.pid, pid) and np.array_equal(self.camera, camera)


@dataclass(frozen=True)
class Outcome:
    """One record, where it lies, and what its per-query file adds, which may be unreadable."""

    record: Record
    path: Path
    """Of its JSON file."""
    cameras: Mapping[int, Scores]
    """By query camera."""
    pairs: Mapping[tuple[int, int], Scores]
    """By query and gallery camera; empty, too, for older records, which do not tell gallery cameras apart."""
    queries: Queries | None

    @property
    def id(self) -> str:
        """Of the record."""
        return self.record.id


def read_outcomes(records: Mapping[Path, Record]) -> tuple[dict[str, Outcome], list[str]]:
    """The outcome of every record by id, and a sentence for every per-query file that cannot be read."""
    outcomes: dict[str, Outcome] = {}
    problems: list[str] = []
    for path, record in records.items():
        trials: Sequence[PerQuery] = ()
        try:
            trials = read_per_query(path, record)
        except UsageError as error:
            problems.append(str(error))
        found = camera_scores(trials), pair_scores(trials), _queries(trials) if trials else None
        outcomes[record.id] = Outcome(record, path, *found)
    return outcomes, problems


def _queries(trials: Sequence[PerQuery]) -> Queries:
    first = Queries(trials[0].pid, trials[0].camera, trials[0].ap)
    same = [trial.ap for trial in trials if first.same(trial.pid, trial.camera)]
    known = ~np.isnan(same)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, same, 0.0).sum(axis=0) / known.sum(axis=0)
    return replace(first, ap=mean)
