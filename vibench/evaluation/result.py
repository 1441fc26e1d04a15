"""What an evaluation yields: scores per trial, and per query what every figure can be recomputed from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

METRICS = ("r1", "r5", "r10", "r20", "map", "minp")


@dataclass(frozen=True)
class TrialScore:
    """One gallery draw, or one RegDB split. Metrics are fractions over the valid queries."""

    trial: int
    """Number as the draw counts it: 0-9 seeded, 1-10 official and RegDB splits."""
    r1: float
    r5: float
    r10: float
    r20: float
    map: float
    minp: float
    queries: int
    """All queries of the protocol."""
    valid_queries: int
    """Queries with at least one reachable true match; metrics divide by these."""
    gallery: int
    """Images in the drawn gallery."""
    gallery_sha256: str
    """SHA-256 of the gallery names in drawn order joined by newlines; empty where names are unknown."""


@dataclass(frozen=True)
class PerQuery:
    """Per-query outcome of one trial; every array has one entry per query of the protocol, in query order."""

    ap: np.ndarray
    """(Q,) float64 average precision, NaN for a query without reachable match."""
    inp: np.ndarray
    """(Q,) float64 inverse negative penalty, NaN likewise."""
    first_hit: np.ndarray
    """(Q,) int32 rank of the first true match under the protocol's CMC rule, from 1; 0 for an invalid query."""
    pid: np.ndarray
    """(Q,) int64."""
    camera: np.ndarray
    """(Q,) int64."""
    gallery_camera: np.ndarray | None = None
    """(K,) int64 ascending: the cameras of the gallery. This and what follows is None in older records."""
    camera_ap: np.ndarray | None = None
    """(Q, K) float64 average precision where only the true matches of one gallery camera are sought: the others are
    taken out of the ranked list, wrong images of all cameras stay. NaN where the camera has no reachable match."""
    camera_first_hit: np.ndarray | None = None
    """(Q, K) int32 rank of the first of these matches in that list, counted in images from 1; 0 likewise."""


@dataclass(frozen=True)
class Evaluation:
    """One protocol's outcome for one set of features (or one set per RegDB split)."""

    protocol: str
    protocol_version: int
    dataset: str
    fingerprint: str
    """SHA-256 of the canonical protocol and draw; evaluations compare only within one fingerprint."""
    draw: str
    """``seeded`` | ``official`` | ``none`` (RegDB)."""
    distance: str
    """``cosine`` | ``euclidean`` | ``method``."""
    rerank: str
    """``none`` | ``k-reciprocal``."""
    query_mode: str
    """``all`` | ``single``: may the ranking of one query look at the other queries?"""
    trials: tuple[TrialScore, ...]
    mean: dict[str, float]
    """Mean over trials per metric of `METRICS`."""
    std: dict[str, float]
    """Population standard deviation (ddof 0) over trials per metric."""
    cmc: tuple[float, ...]
    """Mean CMC at ranks 1..min(50, smallest gallery)."""
    per_query: tuple[PerQuery, ...]
    """One entry per trial."""
    complete: bool
    """True when query and gallery counts equal the protocol's expected counts on the full data set."""
    matching_seconds: float
    """Wall seconds for distances, ranking and metrics, start-up apart."""
    notes: tuple[str, ...] = ()
    repaired: int = 0
    """Queries of all trials for which scores in float32 left the order open, so that pairs were compared exactly."""
