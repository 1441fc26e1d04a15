"""Several runs of one method: which records differ in nothing but the seed, and what they say together."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vibench.records.schema import Record

ENOUGH_SEEDS = 3
"""Fewer seeds than this say little about how much a score depends on them."""


@dataclass(frozen=True)
class Experiment:
    """Records of one method, variant, recipe and protocol that differ in nothing but the seed."""

    records: tuple[Record, ...]
    """One per seed, by seed; never empty. A record without recipe or seed is alone."""
    superseded: tuple[Record, ...] = ()
    """Earlier records of a seed that was trained again; they do not enter the mean."""

    def mean(self, metric: str) -> float:
        """Mean over seeds of a metric, a fraction."""
        return math.fsum(self._values(metric)) / len(self.records)

    def deviation(self, metric: str) -> float | None:
        """Sample standard deviation (n - 1) over seeds; None for a single one."""
        if len(self.records) < 2:
            return None
        mean = self.mean(metric)
        squares = math.fsum((value - mean) ** 2 for value in self._values(metric))
        return math.sqrt(squares / (len(self.records) - 1))

    def _values(self, metric: str) -> list[float]:
        return [record.mean[metric] for record in self.records]


def experiments(records: Iterable[Record]) -> list[Experiment]:
    """The records of one board, those of equal settings and unequal seeds together.

    Of two records of one seed the later stands.
    """
    groups: dict[tuple[object, ...], list[Record]] = {}
    # By age, so that the last record of a seed is the latest; the id decides between records of one second.
    for record in sorted(records, key=lambda record: (record.created, record.id)):
        groups.setdefault(_settings(record), []).append(record)
    return [_experiment(group) for group in groups.values()]


def _settings(record: Record) -> tuple[object, ...]:
    run = record.run
    if record.source != "trained" or run.seed is None or not run.recipe_sha256:
        return (record.id,)
    rules = (record.query_mode, record.test_time_information, record.distance, record.rerank, record.test_attributes)
    sound = (record.complete, record.leaking, bool(run.incomplete))
    begun = (run.recipe_sha256, run.trained_on, run.pretrained, run.input, run.backbone)
    trained = (*begun, run.epochs, run.precision, run.compiled)
    return (record.method, record.variant, record.feature, *rules, *sound, *trained, record.galleries)


def _experiment(group: Sequence[Record]) -> Experiment:
    latest = {record.run.seed: record for record in group}
    kept = sorted(latest.values(), key=lambda record: (record.run.seed or 0, record.id))
    return Experiment(tuple(kept), tuple(record for record in group if record not in kept))
