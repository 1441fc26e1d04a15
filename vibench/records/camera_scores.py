"""Scores of one record by camera: where a method finds people, and where it does not."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from vibench.evaluation.result import PerQuery

Key = TypeVar("Key", bound=Hashable)
Scores = tuple[float, float]
"""Rank-1 and mAP, in percent."""


def camera_scores(trials: Sequence[PerQuery]) -> Mapping[int, Scores]:
    """Rank-1 and mAP in percent of the queries of each camera: mean over its valid queries, then over the trials."""
    found: dict[int, list[Scores]] = {}
    for trial in trials:
        for camera, scores in _by_camera(trial.camera, trial.first_hit, trial.ap):
            found.setdefault(camera, []).append(scores)
    return _means(found)


def pair_scores(trials: Sequence[PerQuery]) -> Mapping[tuple[int, int], Scores]:
    """Rank-1 and mAP in percent by query and gallery camera, where only the matches of that gallery camera are sought.

    Mean over the queries with such a match, then over the trials; empty where a trial does not tell cameras apart.
    """
    found: dict[tuple[int, int], list[Scores]] = {}
    for trial in trials:
        if trial.gallery_camera is None or trial.camera_ap is None or trial.camera_first_hit is None:
            return {}
        for column, gallery in enumerate(trial.gallery_camera.tolist()):
            hits, precisions = trial.camera_first_hit[:, column], trial.camera_ap[:, column]
            for camera, scores in _by_camera(trial.camera, hits, precisions):
                found.setdefault((camera, gallery), []).append(scores)
    return _means(found)


def _by_camera(cameras: np.ndarray, first_hit: np.ndarray, ap: np.ndarray) -> list[tuple[int, Scores]]:
    valid = first_hit > 0
    names, group = np.unique(cameras[valid], return_inverse=True)
    counts = np.bincount(group)
    r1, mean_ap = (np.bincount(group, values[valid]) / counts for values in (first_hit == 1, ap))
    return [(int(name), (float(a), float(b))) for name, a, b in zip(names, r1, mean_ap, strict=True)]


def _means(found: Mapping[Key, Sequence[Scores]]) -> dict[Key, Scores]:
    """Means over the trials, as percentages."""
    means = {key: 100.0 * np.mean(scores, axis=0) for key, scores in sorted(found.items())}  # type: ignore[type-var]
    return {key: (float(r1), float(mean_ap)) for key, (r1, mean_ap) in means.items()}
