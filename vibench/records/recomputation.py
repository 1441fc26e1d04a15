"""Proof of the store: every figure of every record follows from the outcomes of its queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from vibench.errors import UsageError
from vibench.evaluation.metrics import summary, trial_figures
from vibench.evaluation.result import METRICS, PerQuery, TrialScore
from vibench.records.galleries import gallery_problems
from vibench.records.schema import Record
from vibench.records.store import find_records, read_per_query
from vibench.runtime.progress import Progress, silent

TOLERANCE = 1e-12
"""Largest difference between a figure and what is recomputed that rounding explains."""


@dataclass(frozen=True)
class Recomputation:
    """What came of recomputing a store."""

    records: int
    """Sound records."""
    figures: int
    """Figures of these that were recomputed and agree."""
    problems: tuple[str, ...]
    """One sentence for every file that is damaged, lacks its outcomes or disagrees with them."""


def recompute(folder: Path, progress: Progress = silent) -> Recomputation:
    """Recompute every figure of every record below the leaderboards folder from the npz beside it.

    Per trial the metrics and the numbers of queries, over trials mean, deviation and CMC curve. Galleries are drawn
    anew where the names of a data set's images are known.
    """
    records, problems = find_records(folder)
    problems += gallery_problems(records)
    figures = 0
    with progress("recomputing records", len(records)) as advance:
        for path, record in records.items():
            try:
                outcomes = read_per_query(path, record)
            except UsageError as error:
                # An absent file has been reported.
                if path.with_suffix(".npz").is_file():
                    problems.append(str(error))
            else:
                differing, agreeing = disagreements(record, outcomes)
                figures += agreeing
                if differing:
                    problems.append(f"{path}: disagrees with its npz in {'; '.join(differing)}; evaluate again.")
            advance(1)
    return Recomputation(len(records), figures, tuple(problems))


def disagreements(record: Record, outcomes: Sequence[PerQuery]) -> tuple[list[str], int]:
    """Which figures of a record do not follow from the outcomes of its trials, and how many do."""
    for trial, outcome in zip(record.trials, outcomes, strict=True):
        if _impossible(outcome):
            return [f"trial {trial.trial}, whose outcomes are impossible ({_impossible(outcome)})"], 0
    trials = [_recomputed(*pair) for pair in zip(record.trials, outcomes, strict=True)]
    whole = summary(trials, outcomes)
    pairs: list[tuple[str, float, float]] = []
    for stored, trial in zip(record.trials, trials, strict=True):
        for name in (*METRICS, "queries", "valid_queries"):
            pairs.append((f"{name} of trial {stored.trial}", getattr(stored, name), getattr(trial, name)))
    for metric in METRICS:
        pairs.append((f"mean {metric}", record.mean[metric], whole["mean"][metric]))
        pairs.append((f"deviation of {metric}", record.std[metric], whole["std"][metric]))
    curve = whole["cmc"]
    pairs.append(("length of the CMC", len(record.cmc), len(curve)))
    # Of curves of different length, the common part.
    pairs += [(f"CMC at {rank}", *values) for rank, values in enumerate(zip(record.cmc, curve), start=1)]  # noqa: B905
    differing = [
        f"{name} ({stored!r}, recomputed {found!r})"
        for name, stored, found in pairs
        if not abs(stored - found) <= TOLERANCE
    ]
    return differing, len(pairs) - len(differing)


def _recomputed(stored: TrialScore, outcome: PerQuery) -> TrialScore:
    figures: dict[str, Any] = {**trial_figures(outcome)}
    valid = int((outcome.first_hit > 0).sum())
    return replace(stored, **figures, queries=len(outcome.first_hit), valid_queries=valid)


def _impossible(outcome: PerQuery) -> str:
    """Why no evaluation can have yielded an outcome; empty where one can."""
    valid = outcome.first_hit > 0
    if (outcome.first_hit < 0).any():
        return "a negative rank"
    if not valid.any():
        return "no valid query"
    for name in ("ap", "inp"):
        values = getattr(outcome, name)
        if not np.array_equal(np.isnan(values), ~valid):
            return f"{name} and first_hit disagree on which queries are valid"
        if not ((values[valid] > 0) & (values[valid] <= 1)).all():
            return f"{name} outside 0 to 1"
    return ""
