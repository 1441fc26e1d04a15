"""Records for the tests of this folder."""

from __future__ import annotations

from typing import Any

import numpy as np

from vibench.evaluation.result import METRICS, Evaluation, PerQuery, TrialScore
from vibench.records.schema import Record, RunInfo, record_from_evaluation
from vibench.runtime.environment import Environment

FINGERPRINT = "ab" * 32
RECIPE = "5e" * 32


def make_evaluation(r1: float = 0.5, mean_ap: float = 0.4, trial_count: int = 2, **changes: Any) -> Evaluation:
    """An evaluation whose trials differ a little and whose other metrics follow from ``r1``."""
    scores = tuple(
        TrialScore(
            trial=number,
            r1=r1 + 0.01 * number,
            r5=0.9,
            r10=0.95,
            r20=0.99,
            map=mean_ap,
            minp=mean_ap / 2,
            queries=4,
            valid_queries=3,
            gallery=6,
            gallery_sha256="cd" * 32,
        )
        for number in range(trial_count)
    )
    values = {metric: [getattr(score, metric) for score in scores] for metric in METRICS}
    content: dict[str, Any] = {
        "protocol": "sysu-all",
        # Of a version that nobody has: the galleries of these records are of no data set.
        "protocol_version": 99,
        "dataset": "sysu-mm01-twin",
        "fingerprint": FINGERPRINT,
        "draw": "seeded",
        "distance": "cosine",
        "rerank": "none",
        "query_mode": "all",
        "trials": scores,
        "mean": {metric: float(np.mean(found)) for metric, found in values.items()},
        "std": {metric: float(np.std(found)) for metric, found in values.items()},
        "cmc": (r1, 0.9),
        "per_query": tuple(make_per_query(seed) for seed in range(trial_count)),
        "complete": False,
        "matching_seconds": 0.5,
        "notes": (),
    }
    return Evaluation(**{**content, **changes})


def make_per_query(seed: int = 0) -> PerQuery:
    """Four queries, the last without a reachable match."""
    generator = np.random.default_rng(seed)
    return PerQuery(
        ap=np.append(generator.random(3), np.nan),
        inp=np.append(generator.random(3), np.nan),
        first_hit=np.array([1, 2, 5, 0], np.int32),
        pid=np.array([6, 6, 10, 17], np.int64),
        camera=np.array([3, 6, 3, 6], np.int64),
    )


def make_record(method: str = "agw", r1: float = 0.5, mean_ap: float = 0.4, **changes: Any) -> Record:
    """A sound record on a twin; ``changes`` go to the evaluation or to `record_from_evaluation`."""
    own = {"variant", "source", "dataset_version", "test_time_information", "leaking", "run", "cost", "created"}
    own |= {"corruption"}
    about = {"source": "trained", "created": "2025-01-31T12:00:00Z"}
    if changes.get("dataset", "sysu-mm01-twin").endswith("-twin"):
        about["dataset_version"] = "tiny-s0-r1"
    about |= {key: changes.pop(key) for key in own & set(changes)}
    evaluation = make_evaluation(r1, mean_ap, **changes)
    return record_from_evaluation(evaluation, method=method, environment=Environment(vibench="0.1.0"), **about)


def seeded_run(seed: int | None, **changes: Any) -> RunInfo:
    """A run of one recipe."""
    return RunInfo(**{"id": f"run-{seed}", "seed": seed, "recipe_sha256": RECIPE, "train_seconds": 60.0, **changes})
