"""Paired comparison of evaluation records: how much better is one method on the very same queries, and how surely.

Average precision and rank-1 of every query are averaged over the runs (seeds) of each side first. Intervals and p
values then say what another choice of test identities would change; what another seed would change is seen in the
spread of the runs, where a side has several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vibench.errors import UsageError
from vibench.evaluation.result import PerQuery
from vibench.evaluation.significance import (
    LEVEL,
    RESAMPLES,
    ClusterSums,
    bootstrap,
    cluster_sums,
    holm,
    percentile_interval,
    sign_flip_p,
    welch_margin,
)
from vibench.leaderboard.board import is_synthetic
from vibench.leaderboard.selection import Runs
from vibench.records.schema import Record
from vibench.records.store import read_per_query
from vibench.runtime.progress import Progress, silent

METRICS = ("map", "r1")
ENOUGH_RUNS = 3
"""Runs of a side from which their spread means something."""
ENOUGH_IDENTITIES = 20
"""Identities below which resampling them is known to promise too much."""


@dataclass(frozen=True)
class Resampling:
    """How noise is measured."""

    resamples: int = RESAMPLES
    seed: int = 0
    level: float = LEVEL
    """Of intervals; its complement is the level of the tests."""


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
class Difference:
    """One metric of the first side minus that of the second; fractions."""

    metric: str
    difference: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    """Adjusted for all pairs of the comparison, metric by metric."""
    seed_margin: float | None
    """How much the runs' spread alone lets two means differ (Welch); None where a side has a single run."""
    within_noise: bool
    """The interval holds 0, or the adjusted p or the runs' spread does not exclude it."""


@dataclass(frozen=True)
class Part:
    """The difference on a part of the queries, or of the gallery. Exploratory: nothing is adjusted for their number."""

    by: str
    """``query camera`` | ``gallery camera`` | ``trial``."""
    name: int
    metric: str
    queries: int
    """Valid ones; the most of any trial."""
    first: float
    second: float
    difference: float
    interval: tuple[float, float]


@dataclass(frozen=True)
class Pair:
    """Two sides on the same queries."""

    first: str
    second: str
    differences: tuple[Difference, ...]
    """One per metric of `METRICS`."""
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Comparison:
    """All sides against each other, under one protocol."""

    dataset: str
    dataset_version: str
    protocol: str
    draw: str
    fingerprint: str
    queries: int
    """Of the largest trial."""
    identities: int
    """With a valid query: the clusters that are resampled."""
    trials: int
    sides: tuple[Side, ...]
    pairs: tuple[Pair, ...]
    resampling: Resampling
    notes: tuple[str, ...]
    """What a reader must know beside the figures."""


@dataclass(frozen=True)
class _Outcome:
    """The queries of one trial, averaged over the runs of a side."""

    pid: np.ndarray
    camera: np.ndarray
    values: dict[str, np.ndarray]
    """Per metric, (Q,) float64, NaN for an invalid query."""
    gallery_camera: np.ndarray | None
    camera_values: dict[str, np.ndarray]
    """Per metric, (Q, K) float64; empty for records that do not tell gallery cameras apart."""


@dataclass(frozen=True)
class _Loaded:
    side: Side
    record: Record
    outcomes: tuple[_Outcome, ...]
    """Per trial."""


def compare(
    sides: Sequence[Runs],
    resampling: Resampling | None = None,
    *,
    breakdown: bool | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Compare two or more sides, each with each.

    ``breakdown`` by query camera, gallery camera and trial: None means where there are two sides only. Raises
    `UsageError` for records that were not asked the same queries under the same rules, saying what differs, and for
    missing or damaged per-query outcomes.
    """
    resampling = resampling or Resampling()
    _check_distinct(sides)
    everything = [(path, record) for side in sides for path, record in side.records.items()]
    first = everything[0][1]
    reference = read_per_query(*everything[0])
    names = Counter(side.name for side in sides)
    loaded = []
    for side in sides:
        per_run = []
        for path, record in side.records.items():
            outcomes = read_per_query(path, record)
            difference = _rules_differ(first, record) or _queries_differ(first, record, reference, outcomes)
            if difference:
                raise UsageError(f"records {first.id} and {record.id} cannot be compared query by query: {difference}.")
            per_run.append(outcomes)
        ids = "+".join(record.id for record in side.records.values())
        loaded.append(_load(side, side.name if names[side.name] == 1 else f"{side.name} {ids}", per_run))
    chosen = list(combinations(loaded, 2))
    with_parts = len(chosen) == 1 if breakdown is None else breakdown
    sums = [{metric: _sums(one, other, metric) for metric in METRICS} for one, other in chosen]
    p_values = {
        metric: [sign_flip_p(of_pair[metric].contributions, resampling.resamples, resampling.seed) for of_pair in sums]
        for metric in METRICS
    }
    adjusted = {metric: holm(values) for metric, values in p_values.items()}
    pairs = []
    with progress("comparing pairs", len(chosen)) as advance:
        for at, (one, other) in enumerate(chosen):
            differences = tuple(
                _difference(
                    metric,
                    one.side,
                    other.side,
                    sums[at][metric],
                    p_values[metric][at],
                    adjusted[metric][at],
                    resampling,
                )
                for metric in METRICS
            )
            parts = tuple(_parts(one, other, resampling)) if with_parts else ()
            pairs.append(Pair(one.side.label, other.side.label, differences, parts))
            advance(1)
    identities = len(sums[0]["map"].sums)
    return Comparison(
        dataset=first.dataset,
        dataset_version=first.dataset_version,
        protocol=first.protocol,
        draw=first.draw,
        fingerprint=first.fingerprint,
        queries=max(trial.queries for trial in first.trials),
        identities=identities,
        trials=len(first.trials),
        sides=tuple(one.side for one in loaded),
        pairs=tuple(pairs),
        resampling=resampling,
        notes=tuple(_notes(loaded, [record for _, record in everything], identities, with_parts)),
    )


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


def _load(side: Runs, label: str, per_run: Sequence[Sequence[PerQuery]]) -> _Loaded:
    records = tuple(side.records.values())
    outcomes = tuple(_averaged(runs) for runs in zip(*per_run, strict=True))
    return _Loaded(
        Side(
            label=label,
            records=tuple(record.id for record in records),
            seeds=tuple(record.run.seed for record in records),
            scores={metric: tuple(record.mean[metric] for record in records) for metric in METRICS},
        ),
        records[0],
        outcomes,
    )


def _averaged(runs: Sequence[PerQuery]) -> _Outcome:
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
    return _Outcome(
        pid=first.pid,
        camera=first.camera,
        values={"map": ap, "r1": np.where(np.isnan(ap), np.nan, hits)},
        gallery_camera=first.gallery_camera if camera_values else None,
        camera_values=camera_values,
    )


def _sums(one: _Loaded, other: _Loaded, metric: str) -> ClusterSums:
    pairs = list(zip(one.outcomes, other.outcomes, strict=True))
    return cluster_sums(
        [ours.values[metric] - theirs.values[metric] for ours, theirs in pairs], [ours.pid for ours, _ in pairs]
    )


def _difference(
    metric: str, first: Side, second: Side, sums: ClusterSums, p: float, p_holm: float, resampling: Resampling
) -> Difference:
    interval = percentile_interval(bootstrap(sums, resampling.resamples, resampling.seed), resampling.level)
    margin = welch_margin(first.scores[metric], second.scores[metric], resampling.level)
    return Difference(
        metric=metric,
        difference=sums.difference,
        interval=interval,
        p=p,
        p_holm=p_holm,
        seed_margin=margin,
        within_noise=(
            interval[0] <= 0.0 <= interval[1]
            or p_holm > 1.0 - resampling.level
            or (margin is not None and abs(sums.difference) <= margin)
        ),
    )


def _parts(one: _Loaded, other: _Loaded, resampling: Resampling) -> Iterator[Part]:
    """Every part that is not the whole."""
    ours, theirs = one.outcomes, other.outcomes
    trials = [trial.trial for trial in one.record.trials]

    def part(by: str, name: int, metric: str, first: list[np.ndarray], second: list[np.ndarray]) -> Iterator[Part]:
        valid = [int(np.count_nonzero(~np.isnan(values))) for values in first]
        if not any(valid):
            return
        pids = [outcome.pid for outcome in ours]
        sums = cluster_sums([a - b for a, b in zip(first, second, strict=True)], pids)
        interval = percentile_interval(bootstrap(sums, resampling.resamples, resampling.seed), resampling.level)
        means = [cluster_sums(values, pids).difference for values in (first, second)]
        yield Part(by, name, metric, max(valid), means[0], means[1], sums.difference, interval)

    cameras = _labels([outcome.camera for outcome in ours])
    galleries = [outcome.gallery_camera for outcome in (*ours, *theirs)]
    known = [cameras_of for cameras_of in galleries if cameras_of is not None]
    gallery_cameras = _labels(known) if len(known) == len(galleries) else []
    for metric in METRICS:
        for camera in cameras if len(cameras) > 1 else ():
            first, second = (
                [np.where(outcome.camera == camera, outcome.values[metric], np.nan) for outcome in outcomes]
                for outcomes in (ours, theirs)
            )
            yield from part("query camera", camera, metric, first, second)
        for camera in gallery_cameras if len(gallery_cameras) > 1 else ():
            first, second = (
                [_of_gallery_camera(outcome, camera, metric) for outcome in outcomes] for outcomes in (ours, theirs)
            )
            yield from part("gallery camera", camera, metric, first, second)
        for at, trial in enumerate(trials if len(trials) > 1 else ()):
            first, second = (
                [
                    outcome.values[metric] if place == at else np.full(len(outcome.pid), np.nan)
                    for place, outcome in enumerate(outcomes)
                ]
                for outcomes in (ours, theirs)
            )
            yield from part("trial", trial, metric, first, second)


def _labels(arrays: Sequence[np.ndarray]) -> list[int]:
    return np.unique(np.concatenate(arrays)).tolist()


def _of_gallery_camera(outcome: _Outcome, camera: int, metric: str) -> np.ndarray:
    assert outcome.gallery_camera is not None
    columns = np.flatnonzero(outcome.gallery_camera == camera)
    if not len(columns):
        return np.full(len(outcome.pid), np.nan)
    return outcome.camera_values[metric][:, columns[0]]


def _notes(loaded: Sequence[_Loaded], records: Sequence[Record], identities: int, with_parts: bool) -> Iterator[str]:
    few = [f"{one.side.label} has {one.side.runs}" for one in loaded if one.side.runs < ENOUGH_RUNS]
    if few:
        yield (
            f"fewer than three seeds ({', '.join(few)}): intervals and p tell what other test identities would change, "
            "not what another training seed would"
        )
    if identities < ENOUGH_IDENTITIES:
        yield f"only {identities} identities: intervals are too narrow, trust the p values"
    for what, title in (
        ("test_time_information", "test-time information"),
        ("query_mode", "query mode"),
        ("rerank", "re-ranking"),
        ("test_attributes", "source of test-time attributes"),
    ):
        values = sorted({getattr(record, what) or "none" for record in records})
        if len(values) > 1:
            yield f"the {title} differs: {', '.join(values)}"
    leaking = sorted({record.label for record in records if record.leaking})
    if leaking:
        yield f"trained on test identities: {', '.join(leaking)}"
    for record in records:
        if record.run.incomplete:
            yield f"{record.label} was trained on an incomplete copy: its training split {record.run.incomplete}"
    # A twin of any size is complete.
    if any(not (record.complete or record.run.incomplete or is_synthetic(record.dataset)) for record in records):
        yield "the counts of images are not those of the complete real data set"
    if with_parts and any(outcome.gallery_camera is None for one in loaded for outcome in one.outcomes):
        yield "no breakdown by gallery camera: a record is older than such outcomes; evaluate it again"
