"""How sure a difference between two methods is, when the same queries were asked of both.

Queries of one person are alike, so that thousands of queries of a hundred people say little more than a hundred: the
person, not the query, is the unit that is drawn anew (bootstrap) or exchanged (permutation). Everything here works
on sums per person, computed once; a resample is then one row of a matrix product, and memory does not grow with
queries times resamples. All randomness follows from ``seed``.

Figures are differences of means: of the trials' means over valid queries, the mean over trials.

References: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 8 and 13 (resampling whole clusters,
percentile intervals); Davison and Hinkley, Bootstrap Methods and their Application, 1997, sec. 3.8 (clusters);
Pitman, Suppl. J. R. Stat. Soc. 4 (1937) 119-130, and Good, Permutation Tests, 2000 (sign flips); Phipson and Smyth,
Stat. Appl. Genet. Mol. Biol. 9 (2010) 39 (p values of sampled permutations are never 0); Holm, Scand. J. Stat. 6
(1979) 65-70; Welch, Biometrika 34 (1947) 28-35.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
CHUNK_BYTES = 32 << 20


@dataclass(frozen=True)
class ClusterSums:
    """Paired differences, summed per cluster."""

    sums: np.ndarray
    """(C, T) float64: the sum over a cluster's valid queries of one trial."""
    counts: np.ndarray
    """(C, T) float64: how many these are."""

    @property
    def difference(self) -> float:
        """The figure itself: the mean over trials of the mean over valid queries."""
        return float(_means(self.sums.sum(axis=0), self.counts.sum(axis=0)))

    @property
    def contributions(self) -> np.ndarray:
        """(C,) float64: what every cluster adds to the figure; they sum to it."""
        asked = self.counts.sum(axis=0)
        weights = np.divide(1.0, asked, out=np.zeros_like(asked), where=asked > 0)
        return self.sums @ weights / np.count_nonzero(asked)


def cluster_sums(differences: Sequence[np.ndarray], clusters: Sequence[np.ndarray]) -> ClusterSums:
    """Sum the paired differences of each trial, (Q,) float64 with NaN for invalid queries, by cluster label (Q,) int.

    Trials may have different queries; clusters are told apart by label across all trials, in ascending order. Raises
    ``ValueError`` where no query is valid.
    """
    labels, codes = np.unique(np.concatenate(clusters), return_inverse=True)
    parts = np.split(codes.reshape(-1), np.cumsum([len(part) for part in clusters])[:-1])
    sums, counts = np.zeros((2, len(labels), len(differences)))
    for trial, (values, code) in enumerate(zip(differences, parts, strict=True)):
        valid = ~np.isnan(values)
        sums[:, trial] = np.bincount(code[valid], weights=values[valid], minlength=len(labels))
        counts[:, trial] = np.bincount(code[valid], minlength=len(labels))
    asked = counts.any(axis=1)
    if not asked.any():
        raise ValueError("no query is valid")
    return ClusterSums(sums[asked], counts[asked])


def bootstrap(sums: ClusterSums, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """(resamples,) float64: the figure on as many clusters as there are, drawn with replacement.

    A trial of which no cluster was drawn is left out of that resample's mean.
    """
    return bootstraps([sums], resamples, seed)[0]


def bootstraps(figures: Sequence[ClusterSums], resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """(F, resamples) float64: `bootstrap` of figures on the same clusters and trials, each time of the same draw.

    The difference of two rows is the bootstrap of the difference.
    """
    clusters, trials = figures[0].sums.shape
    generator = np.random.default_rng(seed)
    equal = np.full(clusters, 1.0 / clusters)
    chunk = max(1, CHUNK_BYTES // (8 * 2 * (clusters + 2 * trials)))
    found = np.empty((len(figures), resamples))
    for start in range(0, resamples, chunk):
        drawn = slice(start, min(start + chunk, resamples))
        times = generator.multinomial(clusters, equal, size=drawn.stop - start).astype(np.float64)
        for row, sums in zip(found, figures, strict=True):
            row[drawn] = _means(times @ sums.sums, times @ sums.counts)
    return found


def percentile_interval(figures: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The central share ``level`` of the resampled figures."""
    lower, upper = np.quantile(figures, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(lower), float(upper)


@dataclass(frozen=True)
class Resampling:
    """How noise is measured."""

    resamples: int = RESAMPLES
    seed: int = 0
    level: float = LEVEL
    """Of intervals; its complement is the level of the tests."""

    def interval(self, sums: ClusterSums) -> tuple[float, float]:
        """That of the figure which ``sums`` stand for, by the bootstrap."""
        return percentile_interval(bootstrap(sums, self.resamples, self.seed), self.level)

    def flips(self, pairs: int) -> int:
        """Sign flips for so many tests: the least p that they can find stays clear of the level after `holm`."""
        return max(self.resamples, math.ceil(10 * pairs / (1.0 - self.level)))


def sign_flip_ps(
    contributions: np.ndarray, pairs: Sequence[tuple[int, int]], resamples: int = RESAMPLES, seed: int = 0
) -> list[float]:
    """Two-sided p of the differences of pairs of rows of ``contributions`` (M, C), sums over clusters.

    The null is that each cluster's difference could as well have had the other sign: the two methods are exchangeable
    within every cluster. All 2^C signs are tried where these are at most ``resamples``; else that many are drawn, the
    same for all pairs, and the observed signs are counted among them.
    """
    clusters = contributions.shape[1]
    scale = np.abs(contributions).sum(axis=1)
    total = contributions.sum(axis=1)
    # Flips that give the observed sum up to rounding count as reaching it.
    reached = [abs(total[one] - total[other]) - 1e-12 * (scale[one] + scale[other]) for one, other in pairs]
    extreme = [0] * len(pairs)
    exact = 2**clusters <= resamples
    for flips in _flips(clusters, resamples, seed, exact):
        flipped = contributions @ (1.0 - 2.0 * flips.T)
        for at, (one, other) in enumerate(pairs):
            extreme[at] += int(np.count_nonzero(np.abs(flipped[one] - flipped[other]) >= reached[at]))
    if exact:
        return [count / 2**clusters for count in extreme]
    return [(1 + count) / (1 + resamples) for count in extreme]


def _flips(clusters: int, resamples: int, seed: int, exact: bool) -> Iterator[np.ndarray]:
    """All patterns of 0 and 1 (n, C), or ``resamples`` drawn ones, some at a time."""
    if exact:
        yield np.arange(2**clusters)[:, None] >> np.arange(clusters) & 1
        return
    generator = np.random.default_rng(seed)
    chunk = max(1, CHUNK_BYTES // (16 * clusters))
    for start in range(0, resamples, chunk):
        yield generator.integers(0, 2, size=(min(chunk, resamples - start), clusters), dtype=np.int8)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p values of Holm's step-down procedure, in the order given: compare each with the level itself."""
    ordered = sorted(range(len(p_values)), key=lambda place: p_values[place])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(ordered):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted


def welch_margin(first: Sequence[float], second: Sequence[float], level: float = LEVEL) -> float | None:
    """Half the width of Welch's t interval for the difference of two means of independent runs.

    None where a side has fewer than two runs, which tell nothing about their spread; 0 where all runs agree.
    """
    if min(len(first), len(second)) < 2:
        return None
    from scipy.special import stdtrit

    errors = [float(np.var(runs, ddof=1)) / len(runs) for runs in (first, second)]
    if not any(errors):
        return 0.0
    freedom = sum(errors) ** 2 / sum(
        error**2 / (len(runs) - 1) for error, runs in zip(errors, (first, second), strict=True)
    )
    return float(stdtrit(freedom, (1.0 + level) / 2.0) * np.sqrt(sum(errors)))


def _means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean over trials, the last axis, of sums / counts, without trials that count nothing."""
    asked = counts > 0
    means = np.divide(sums, counts, out=np.zeros_like(sums), where=asked)
    return means.sum(axis=-1) / asked.sum(axis=-1)
