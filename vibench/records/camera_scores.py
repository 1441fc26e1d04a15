"""Scores of one record by camera: where a method finds people, and where it does not."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
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
        for camera, _, scores in _by_camera(trial.camera, trial.first_hit[:, None], trial.ap[:, None]):
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
        galleries = trial.gallery_camera.tolist()
        for camera, column, scores in _by_camera(trial.camera, trial.camera_first_hit, trial.camera_ap):
            found.setdefault((camera, galleries[column]), []).append(scores)
    return _means(found)


def _by_camera(cameras: np.ndarray, first_hit: np.ndarray, ap: np.ndarray) -> Iterator[tuple[int, int, Scores]]:
    """Camera, column and scores of (Q, G) outcomes, where the queries of a camera have a match."""
    names, group = np.unique(cameras, return_inverse=True)
    members = (group == np.arange(len(names))[:, None]).astype(np.float64)
    valid = first_hit > 0
    counts = members @ valid
    sums = members @ (first_hit == 1), members @ np.where(valid, ap, 0.0)
    for row, column in np.argwhere(counts > 0).tolist():
        r1, mean_ap = (float(one[row, column] / counts[row, column]) for one in sums)
        yield int(names[row]), column, (r1, mean_ap)


def _means(found: Mapping[Key, Sequence[Scores]]) -> dict[Key, Scores]:
    """Means over the trials, as percentages."""
    means = {key: 100.0 * np.mean(scores, axis=0) for key, scores in sorted(found.items())}  # type: ignore[type-var]
    return {key: (float(r1), float(mean_ap)) for key, (r1, mean_ap) in means.items()}
