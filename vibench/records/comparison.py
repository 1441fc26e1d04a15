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
from vibench.records.breakdown import Part, parts_of
from vibench.records.differences import Difference, Scored, differences
from vibench.records.paired_outcomes import METRICS, Side, SideOutcomes, read_sides
from vibench.records.seeds import ENOUGH_SEEDS
from vibench.records.selection import Runs
from vibench.records.significance import Resampling, cluster_sums
from vibench.runtime.progress import Progress, silent

ENOUGH_IDENTITIES = 20
"""Identities below which resampling them is known to promise too much."""


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
    scored = {metric: [_scored(one, metric) for one in loaded] for metric in METRICS}
    pairs = []
    with progress("comparing pairs", len(METRICS) + len(chosen)) as advance:
        found = []
        for metric in METRICS:
            found.append(differences(metric, scored[metric], resampling))
            advance(1)
        for (one, other), of_pair in zip(chosen, zip(*found, strict=True), strict=True):
            parts = tuple(parts_of(one, other, resampling)) if with_parts else ()
            pairs.append(Pair(one.side.label, other.side.label, of_pair, parts))
            advance(1)
    identities = len(scored["map"][0].sums.sums)
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


def _scored(one: SideOutcomes, metric: str) -> Scored:
    sums = cluster_sums([trial.values[metric] for trial in one.trials], [trial.pid for trial in one.trials])
    return Scored(sums, one.side.scores[metric])


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
