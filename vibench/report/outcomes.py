"""The records of a leaderboards folder with what the page needs beside them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import numpy as np

from vibench.errors import UsageError
from vibench.evaluation.result import PerQuery
from vibench.records.schema import Record
from vibench.records.store import read_per_query
from vibench.report.charts.cameras import CameraScore
from vibench.report.entries import Outcome

Key = TypeVar("Key", int, tuple[int, int])


def read_outcomes(records: Mapping[Path, Record], page: Path) -> tuple[dict[str, Outcome], list[str]]:
    """The outcome of every record by id, with links from where ``page`` will lie; ``records`` by path.

    Also returns a sentence for every per-query file that cannot be read; such an outcome has no scores by camera.
    """
    outcomes: dict[str, Outcome] = {}
    problems: list[str] = []
    for path, record in records.items():
        try:
            trials = read_per_query(path, record)
        except UsageError as error:
            problems.append(str(error))
            trials = ()
        link = relative_link(path, page)
        outcomes[record.id] = Outcome(record, link, camera_scores(trials), pair_scores(trials))
    return outcomes, problems


def relative_link(target: Path, page: Path) -> str:
    """The URL of a file relative to the page's folder."""
    steps = Path(os.path.relpath(target.resolve(), page.resolve().parent)).as_posix()
    # A leading "./" keeps a folder named "javascript:..." from being read as a scheme.
    return quote(steps if steps.startswith("../") else f"./{steps}")


def camera_scores(trials: Sequence[PerQuery]) -> Mapping[int, CameraScore]:
    """Rank-1 and mAP in percent of the queries of each camera: mean over its valid queries, then over the trials."""
    found: dict[int, list[tuple[float, float]]] = {}
    for trial in trials:
        valid = trial.first_hit > 0
        for camera in np.unique(trial.camera[valid]):
            chosen = valid & (trial.camera == camera)
            scores = (float((trial.first_hit[chosen] == 1).mean()), float(trial.ap[chosen].mean()))
            found.setdefault(int(camera), []).append(scores)
    return _means(found)


def pair_scores(trials: Sequence[PerQuery]) -> Mapping[tuple[int, int], CameraScore]:
    """Rank-1 and mAP in percent by query and gallery camera, where only the matches of that gallery camera are sought.

    Mean over the queries with such a match, then over the trials; empty where a trial does not tell cameras apart.
    """
    found: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for trial in trials:
        if trial.gallery_camera is None or trial.camera_ap is None or trial.camera_first_hit is None:
            return {}
        for column, gallery in enumerate(trial.gallery_camera):
            valid = trial.camera_first_hit[:, column] > 0
            for camera in np.unique(trial.camera[valid]):
                chosen = valid & (trial.camera == camera)
                first, ap = trial.camera_first_hit[chosen, column], trial.camera_ap[chosen, column]
                found.setdefault((int(camera), int(gallery)), []).append((float((first == 1).mean()), float(ap.mean())))
    return _means(found)


def _means(found: Mapping[Key, Sequence[tuple[float, float]]]) -> dict[Key, CameraScore]:
    """Means over the trials, as percentages."""
    return {
        camera: CameraScore(*(100.0 * float(np.mean(column)) for column in zip(*scores, strict=True)))
        for camera, scores in sorted(found.items())
    }
