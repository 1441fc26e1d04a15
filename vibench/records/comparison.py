"""Paired comparison of evaluation records: how much better is one method on the very same queries, and how surely.

Average precision and rank-1 of every query are averaged over the runs (seeds) of each side first. Intervals and p
values then say what another choice of test identities would change; what another seed would change is seen in the
spread of the runs, where a side has several.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from vibench.datasets.registry import is_synthetic
from vibench.evaluation.significance import ClusterSums, Resampling, cluster_sums, holm, sign_flip_p, welch_margin
from vibench.records.breakdown import Part, parts_of
from vibench.records.paired_outcomes import METRICS, Side, SideOutcomes, read_sides
from vibench.records.seeds import ENOUGH_SEEDS
from vibench.records.selection import Runs
from vibench.runtime.progress import Progress, silent

ENOUGH_IDENTITIES = 20
"""Identities below which resampling them is known to promise too much."""


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
    loaded = read_sides(sides)
    first = loaded[0].records[0]
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
            parts = tuple(parts_of(one, other, resampling)) if with_parts else ()
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
        notes=tuple(_notes(loaded, identities, with_parts)),
    )


def _sums(one: SideOutcomes, other: SideOutcomes, metric: str) -> ClusterSums:
    pairs = list(zip(one.trials, other.trials, strict=True))
    return cluster_sums(
        [ours.values[metric] - theirs.values[metric] for ours, theirs in pairs], [ours.pid for ours, _ in pairs]
    )


def _difference(
    metric: str, first: Side, second: Side, sums: ClusterSums, p: float, p_holm: float, resampling: Resampling
) -> Difference:
    interval = resampling.interval(sums)
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


def _notes(loaded: Sequence[SideOutcomes], identities: int, with_parts: bool) -> Iterator[str]:
    records = [record for one in loaded for record in one.records]
    few = [f"{one.side.label} has {one.side.runs}" for one in loaded if one.side.runs < ENOUGH_SEEDS]
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
    if with_parts and any(trial.gallery_camera is None for one in loaded for trial in one.trials):
        yield "no breakdown by gallery camera: a record is older than such outcomes; evaluate it again"
