"""Features with an identity signal under the names of small twins, and evaluations of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.evaluation.result import METRICS, Evaluation
from vibench.protocols import load_protocol

TWIN = "sysu-mm01-twin"


def features_of(names: list[str], seed: int = 0, **changes: Any) -> Features:
    """Random features with an identity signal."""
    generator = np.random.default_rng(seed)
    pids = np.array([int(name.split("/")[1]) for name in names])
    centres = generator.standard_normal((pids.max() + 1, 16))
    values = (centres[pids] + 1.5 * generator.standard_normal((len(names), 16))).astype(np.float32)
    return Features(values, tuple(names), **changes)


def sysu(seed: int = 0, pids: int = 9, images: int = 10) -> Features:
    """Identity 2 has no visible image, identity 3 none indoors."""
    names = [
        f"cam{camera}/{pid:04d}/{number:04d}.jpg"
        for camera in range(1, 7)
        for pid in range(1, pids + 1)
        if not (pid == 2 and camera not in (3, 6)) and not (pid == 3 and camera in (1, 2))
        for number in range(1, images + 1)
    ]
    return features_of(names, seed)


def regdb(seed: int = 0) -> Features:
    return features_of(
        [f"{kind}/{pid}/{k}.bmp" for kind in ("Visible", "Thermal") for pid in range(1, 7) for k in "ab"]
    )


def evaluate(features: Any, *names: str, dataset: str | None = TWIN, **options: Any) -> list[Evaluation]:
    return evaluate_features(features, [load_protocol(name) for name in names], dataset=dataset, **options)


def assert_same_scores(one: Evaluation, other: Evaluation, tolerance: float = 0.0) -> None:
    for a, b in zip(one.trials, other.trials, strict=True):
        for metric in METRICS:
            assert getattr(a, metric) == pytest.approx(getattr(b, metric), rel=0, abs=tolerance)
