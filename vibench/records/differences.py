"""Every side of a comparison against every other: how much better, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from vibench.records.significance import (
    ClusterSums,
    Resampling,
    bootstraps,
    holm,
    percentile_interval,
    sign_flip_ps,
    welch_margin,
)


@dataclass(frozen=True)
class Scored:
    """One side under one metric."""

    sums: ClusterSums
    """Of the side's own values, averaged over its runs; all sides have the same clusters, trials and counts."""
    runs: tuple[float, ...]
    """The score of every run; fractions."""


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


def differences(metric: str, sides: Sequence[Scored], resampling: Resampling) -> list[Difference]:
    """Of all pairs of sides, in the order of `itertools.combinations`."""
    pairs = list(combinations(range(len(sides)), 2))
    if not pairs:
        return []
    resampled = bootstraps([side.sums for side in sides], resampling.resamples, resampling.seed)
    contributions = np.stack([side.sums.contributions for side in sides])
    p_values = sign_flip_ps(contributions, pairs, resampling.flips(len(pairs)), resampling.seed)
    found = []
    for (one, other), p, p_holm in zip(pairs, p_values, holm(p_values), strict=True):
        difference = sides[one].sums.difference - sides[other].sums.difference
        interval = percentile_interval(resampled[one] - resampled[other], resampling.level)
        margin = welch_margin(sides[one].runs, sides[other].runs, resampling.level)
        noise = (
            interval[0] <= 0.0 <= interval[1]
            or p_holm > 1.0 - resampling.level
            or (margin is not None and abs(difference) <= margin)
        )
        found.append(Difference(metric, difference, interval, p, p_holm, margin, noise))
    return found
