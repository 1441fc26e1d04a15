"""From per-query outcomes to the metrics of a trial, and from trials to an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vibench.errors import UsageError
from vibench.evaluation.draws import Trial
from vibench.evaluation.result import METRICS, PerQuery, TrialScore
from vibench.protocols import REPORTED_RANKS, Protocol

LONGEST_CMC = 50


def trial_score(rules: Protocol, trial: Trial, per_query: PerQuery, gallery_sha256: str) -> TrialScore:
    """Averages over the valid queries of one trial; `UsageError` where there is none."""
    valid = int((per_query.first_hit > 0).sum())
    if valid == 0:
        raise UsageError(
            f"trial {trial.number} of protocol {rules.name}: no query has a reachable true match in the gallery; "
            "the features need images of the same identities in both modalities."
        )
    return TrialScore(
        trial=trial.number,
        **trial_figures(per_query),
        queries=len(per_query.first_hit),
        valid_queries=valid,
        gallery=len(trial.gallery),
        gallery_sha256=gallery_sha256,
    )


def trial_figures(per_query: PerQuery) -> dict[str, float]:
    """The metrics of `METRICS` over the valid queries of one trial, of which there is one at least."""
    curve = cmc_curve(per_query.first_hit, max(REPORTED_RANKS))
    return {
        **{f"r{rank}": float(curve[rank - 1]) for rank in REPORTED_RANKS},
        "map": float(np.nanmean(per_query.ap)),
        "minp": float(np.nanmean(per_query.inp)),
    }


def cmc_curve(first_hit: np.ndarray, ranks: int) -> np.ndarray:
    """(ranks,) float64: the share of valid queries whose first hit is at rank 1, 2, ... or better.

    ``first_hit`` (Q,) counts from 1 and is 0 for an invalid query. Behind the last identity the curve stays level.
    """
    hits = np.bincount(first_hit[first_hit > 0], minlength=ranks + 1)[1 : ranks + 1]
    return np.cumsum(hits) / np.count_nonzero(first_hit)


def summary(scores: Sequence[TrialScore], per_query: Sequence[PerQuery]) -> dict[str, Any]:
    """The fields of an `Evaluation` that its trials determine: trials, mean, std, cmc, per_query."""
    values = {metric: np.array([getattr(score, metric) for score in scores]) for metric in METRICS}
    ranks = min(LONGEST_CMC, *(score.gallery for score in scores))
    return {
        "trials": tuple(scores),
        "mean": {metric: float(value.mean()) for metric, value in values.items()},
        "std": {metric: float(value.std()) for metric, value in values.items()},
        "cmc": tuple(np.mean([cmc_curve(one.first_hit, ranks) for one in per_query], axis=0).tolist()),
        "per_query": tuple(per_query),
    }
