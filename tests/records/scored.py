"""Records whose figures follow from their per-query outcomes, as an evaluation writes them, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.records.made import make_record
from vibench.evaluation.metrics import summary, trial_figures
from vibench.evaluation.result import PerQuery, TrialScore
from vibench.records.schema import Record, RunInfo
from vibench.records.selection import Runs
from vibench.records.store import write_record

GALLERY = 6
"""Images, two cameras of three people; the CMC has as many ranks."""


def outcome(
    generator: np.random.Generator, people: np.ndarray, cameras: np.ndarray, skill: np.ndarray | float
) -> PerQuery:
    """Outcomes of queries (Q,): where ``skill``, a probability, has it, the first hit is at rank 1."""
    hit = np.where(generator.random(len(people)) < skill, 1, generator.integers(2, GALLERY, len(people)))
    by_camera = np.stack([hit, np.minimum(hit + generator.integers(0, 2, len(people)), GALLERY)], axis=1)
    return PerQuery(
        ap=(1.0 / hit + 1.0 / by_camera[:, 1]) / 2,
        inp=1.0 / by_camera[:, 1],
        first_hit=hit.astype(np.int32),
        pid=people,
        camera=cameras,
        gallery_camera=np.array([1, 4]),
        camera_ap=1.0 / by_camera,
        camera_first_hit=by_camera.astype(np.int32),
    )


def scored_record(
    method: str,
    seed: int | None,
    skill: float = 0.5,
    *,
    people: int = 4,
    queries_each: int = 3,
    trials: int = 2,
    noise: int = 0,
    gallery_sha256: str = "cd" * 32,
    **changes: Any,
) -> tuple[Record, tuple[PerQuery, ...]]:
    """A record of one run and its outcomes. ``noise`` is added to the seed of its luck."""
    generator = np.random.default_rng([noise, seed or 0, len(method), *method.encode()])
    pids = np.repeat(np.arange(people, dtype=np.int64) * 3 + 6, queries_each)
    cameras = np.where(np.arange(len(pids)) % 3 == 0, 6, 3)
    outcomes = tuple(outcome(generator, pids, cameras, skill) for _ in range(trials))
    scores = [
        TrialScore(
            trial=number,
            **trial_figures(one),
            queries=len(pids),
            valid_queries=len(pids),
            gallery=GALLERY,
            gallery_sha256=gallery_sha256,
        )
        for number, one in enumerate(outcomes)
    ]
    return make_record(method, **{"run": RunInfo(seed=seed), **changes, **summary(scores, outcomes)}), outcomes


def runs(folder: Path, name: str, *written: tuple[Record, tuple[PerQuery, ...]]) -> Runs:
    """Records and their outcomes, written into the store of ``folder``, as one side of a comparison."""
    return Runs(name, {write_record(folder, record, outcomes): record for record, outcomes in written})


def seeds(folder: Path, method: str, count: int, skill: float, **changes: Any) -> Runs:
    """Likewise, ``count`` runs of one method."""
    return runs(folder, method, *(scored_record(method, seed, skill, **changes) for seed in range(count)))
