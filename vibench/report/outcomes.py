"""The records of a leaderboards folder with what the page needs beside them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np

from vibench.errors import UsageError
from vibench.evaluation.result import PerQuery
from vibench.leaderboard.record import Record
from vibench.leaderboard.store import read_per_query
from vibench.report.charts.cameras import CameraScore
from vibench.report.entries import Outcome


def read_outcomes(folder: Path, records: Iterable[Record], page: Path) -> tuple[dict[str, Outcome], list[str]]:
    """The outcome of every record by id, with links from where ``page`` will lie.

    Also returns a sentence for every per-query file that cannot be read; such an outcome has no cameras.
    """
    # A record may lie in any folder below records/; its file's name ends with its id.
    paths = {path.stem[-12:]: path for path in sorted((folder / "records").rglob("*.json"), reverse=True)}
    outcomes: dict[str, Outcome] = {}
    problems: list[str] = []
    for record in records:
        path = paths[record.id]
        try:
            cameras = camera_scores(read_per_query(path, record))
        except UsageError as error:
            problems.append(str(error))
            cameras = {}
        outcomes[record.id] = Outcome(record, relative_link(path, page), cameras)
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
    return {
        camera: CameraScore(*(100.0 * float(np.mean(column)) for column in zip(*scores, strict=True)))
        for camera, scores in sorted(found.items())
    }
