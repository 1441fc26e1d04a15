"""Where a difference between two methods comes from: by query camera, gallery camera and trial."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from vibench.records.paired_outcomes import METRICS, AveragedTrial, SideOutcomes
from vibench.records.significance import Resampling, cluster_sums


@dataclass(frozen=True)
class Part:
    """The difference on a part of the queries, or of the gallery. Exploratory: nothing is adjusted for their number."""

    by: str
    """``query camera`` | ``gallery camera`` | ``trial``."""
    name: int
    metric: str
    queries: int
    """Valid ones; the most of any trial."""
    first: float
    second: float
    difference: float
    interval: tuple[float, float]


def parts_of(one: SideOutcomes, other: SideOutcomes, resampling: Resampling) -> Iterator[Part]:
    """Every part that has a valid query and is not the whole."""
    clusters = [trial.pid for trial in one.trials]
    kinds = (
        ("query camera", _labels([trial.camera for trial in one.trials]), _of_query_camera),
        ("gallery camera", _gallery_cameras((*one.trials, *other.trials)), _of_gallery_camera),
        ("trial", [trial.number for trial in one.trials], _of_trial),
    )
    for metric in METRICS:
        for by, names, values_of in kinds:
            for name in names if len(names) > 1 else ():
                first, second = ([values_of(trial, name, metric) for trial in side.trials] for side in (one, other))
                valid = max(int(np.count_nonzero(~np.isnan(values))) for values in first)
                if not valid:
                    continue
                sums = cluster_sums([a - b for a, b in zip(first, second, strict=True)], clusters)
                means = [cluster_sums(values, clusters).difference for values in (first, second)]
                yield Part(by, name, metric, valid, means[0], means[1], sums.difference, resampling.interval(sums))


def _labels(arrays: Sequence[np.ndarray]) -> list[int]:
    return np.unique(np.concatenate(arrays)).tolist()


def _gallery_cameras(trials: Sequence[AveragedTrial]) -> list[int]:
    """Empty where a record does not tell them apart."""
    known = [trial.gallery_camera for trial in trials if trial.gallery_camera is not None]
    return _labels(known) if len(known) == len(trials) else []


def _of_query_camera(trial: AveragedTrial, camera: int, metric: str) -> np.ndarray:
    return np.where(trial.camera == camera, trial.values[metric], np.nan)


def _of_gallery_camera(trial: AveragedTrial, camera: int, metric: str) -> np.ndarray:
    assert trial.gallery_camera is not None
    columns = np.flatnonzero(trial.gallery_camera == camera)
    return trial.camera_values[metric][:, columns[0]] if len(columns) else _nobody(trial)


def _of_trial(trial: AveragedTrial, number: int, metric: str) -> np.ndarray:
    return trial.values[metric] if trial.number == number else _nobody(trial)


def _nobody(trial: AveragedTrial) -> np.ndarray:
    return np.full(len(trial.pid), np.nan)
