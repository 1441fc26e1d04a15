"""What several methods made of the very same queries, averaged over the runs (seeds) of each.

Records that were not asked the same queries under the same rules are refused, saying what differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vibench.errors import UsageError
from vibench.evaluation.result import PerQuery
from vibench.records.schema import Record
from vibench.records.selection import Runs
from vibench.records.store import read_per_query

METRICS = ("map", "r1")
"""Those that have a value for every query."""


@dataclass(frozen=True)
class Side:
    """One method: the records of its runs."""

    label: str
    records: tuple[str, ...]
    """Ids."""
    seeds: tuple[int | None, ...]
    scores: dict[str, tuple[float, ...]]
    """Per metric, the mean over trials of every run; fractions."""

    @property
    def runs(self) -> int:
        """How many runs are averaged."""
        return len(self.records)

    def mean(self, metric: str) -> float:
        """Mean over runs."""
        return float(np.mean(self.scores[metric]))


@dataclass(frozen=True)
class AveragedTrial:
    """The queries of one trial, averaged over the runs of a side."""

    number: int
    pid: np.ndarray
    camera: np.ndarray
    values: dict[str, np.ndarray]
    """Per metric, (Q,) float64, NaN for an invalid query."""
    gallery_camera: np.ndarray | None
    camera_values: dict[str, np.ndarray]
    """Per metric, (Q, K) float64; empty for records that do not tell gallery cameras apart."""


@dataclass(frozen=True)
class SideOutcomes:
    """One method on all queries."""

    side: Side
    records: tuple[Record, ...]
    trials: tuple[AveragedTrial, ...]


def read_sides(sides: Sequence[Runs]) -> list[SideOutcomes]:
    """The outcomes of two or more sides, of one name told apart by the ids of their records.

    Raises `UsageError` for a record on two sides, for records that were not asked the same queries under the same
    rules, and for missing or damaged per-query outcomes.
    """
    _check_distinct(sides)
    path, first = next(iter(sides[0].records.items()))
    reference = read_per_query(path, first)
    names = Counter(side.name for side in sides)
    found = []
    for side in sides:
        per_run = []
        for path, record in side.records.items():
            outcomes = read_per_query(path, record)
            difference = _rules_differ(first, record) or _queries_differ(first, record, reference, outcomes)
            if difference:
                raise UsageError(f"records {first.id} and {record.id} cannot be compared query by query: {difference}.")
            per_run.append(outcomes)
        records = tuple(side.records.values())
        ids = tuple(record.id for record in records)
        found.append(
            SideOutcomes(
                side=Side(
                    label=side.name if names[side.name] == 1 else f"{side.name} {'+'.join(ids)}",
                    records=ids,
                    seeds=tuple(record.run.seed for record in records),
                    scores={metric: tuple(record.mean[metric] for record in records) for metric in METRICS},
                ),
                records=records,
                trials=tuple(
                    _averaged(trial.trial, runs)
                    for trial, runs in zip(first.trials, zip(*per_run, strict=True), strict=True)
                ),
            )
        )
    return found


def _check_distinct(sides: Sequence[Runs]) -> None:
    if len(sides) < 2:
        raise UsageError("a comparison needs two methods or records at least.")
    seen: dict[str, str] = {}
    for side in sides:
        for record in side.records.values():
            if record.id in seen:
                raise UsageError(f"{seen[record.id]} and {side.name} both mean record {record.id}; compare two others.")
        seen |= {record.id: side.name for record in side.records.values()}


def _rules_differ(one: Record, other: Record) -> str:
    for what in ("dataset", "dataset_version", "protocol", "draw", "protocol_version", "fingerprint"):
        values = getattr(one, what), getattr(other, what)
        if values[0] != values[1]:
            return f"their {what.replace('_', ' ')} differs, {values[0] or 'none'} and {values[1] or 'none'}"
    origins = one.run.trained_on or one.dataset, other.run.trained_on or other.dataset
    if origins[0] != origins[1]:
        return f"they were trained on different data sets, {origins[0]} and {origins[1]}"
    return ""


def _queries_differ(one: Record, other: Record, ours: Sequence[PerQuery], theirs: Sequence[PerQuery]) -> str:
    numbers = [[trial.trial for trial in record.trials] for record in (one, other)]
    if numbers[0] != numbers[1]:
        return f"their trials differ, {numbers[0]} and {numbers[1]}"
    for mine, trial, our, their in zip(one.trials, other.trials, ours, theirs, strict=True):
        where = f"in trial {trial.trial}"
        if mine.queries != trial.queries:
            return f"{where} they have {mine.queries} and {trial.queries} queries"
        if not np.array_equal(our.pid, their.pid) or not np.array_equal(our.camera, their.camera):
            return f"{where} their queries show other identities or come from other cameras"
        if mine.gallery != trial.gallery:
            return f"{where} their galleries have {mine.gallery} and {trial.gallery} images"
        if mine.gallery_sha256 and trial.gallery_sha256 and mine.gallery_sha256 != trial.gallery_sha256:
            return f"{where} their galleries hold other images"
        if not np.array_equal(np.isnan(our.ap), np.isnan(their.ap)):
            return f"{where} other queries have a match within reach"
    return ""


def _averaged(number: int, runs: Sequence[PerQuery]) -> AveragedTrial:
    """One trial of several runs."""
    first = runs[0]
    camera_values = {}
    by_camera = [(run.camera_ap, run.camera_first_hit) for run in runs if run.gallery_camera is not None]
    if len(by_camera) == len(runs):
        ap = np.mean([precision for precision, _ in by_camera if precision is not None], axis=0)
        hits = np.mean([rank == 1 for _, rank in by_camera if rank is not None], axis=0)
        camera_values = {"map": ap, "r1": np.where(np.isnan(ap), np.nan, hits)}
    ap = np.mean([run.ap for run in runs], axis=0)
    hits = np.mean([run.first_hit == 1 for run in runs], axis=0)
    return AveragedTrial(
        number=number,
        pid=first.pid,
        camera=first.camera,
        values={"map": ap, "r1": np.where(np.isnan(ap), np.nan, hits)},
        gallery_camera=first.gallery_camera if camera_values else None,
        camera_values=camera_values,
    )
