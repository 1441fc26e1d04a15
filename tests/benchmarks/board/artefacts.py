"""What of a board is worth keeping in a repository: records, profiles and curves, but no weights and no pixels."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np

from vibench.evaluation.result import PerQuery
from vibench.files.writing import atomic_path
from vibench.leaderboard.profiles import FOLDER
from vibench.records.store import find_records, read_per_query, write_record
from vibench.training.folder import InputFile, RunFolder


def keep_records(board: Path, kept: Path, protocols: Collection[str]) -> int:
    """Write the records of ``protocols`` with their per-query outcomes into another leaderboards folder; how many.

    Scores by gallery camera are most of an outcome. They stay with the seeded draw, in float32: without them breakdowns
    and charts by camera are empty, and the chance level of mAP is that of one share of matches for all queries.
    """
    records, _ = find_records(board)
    count = 0
    for path, record in records.items():
        if record.protocol in protocols:
            outcomes = read_per_query(path, record)
            lighter = _blind if record.draw == "official" else _lighter
            write_record(kept, record, [lighter(outcome) for outcome in outcomes])
            count += 1
    return count


def _blind(outcome: PerQuery) -> PerQuery:
    return dataclasses.replace(outcome, gallery_camera=None, camera_ap=None, camera_first_hit=None)


def _lighter(outcome: PerQuery) -> PerQuery:
    scores = None if outcome.camera_ap is None else outcome.camera_ap.astype(np.float32)
    return dataclasses.replace(outcome, camera_ap=scores)


def finished_runs(kept: Path) -> set[tuple[str, int | None]]:
    """Recipe (SHA-256) and seed of the runs whose records a leaderboards folder holds already."""
    records, _ = find_records(kept)
    return {(record.run.recipe_sha256, record.run.seed) for record in records.values()}


def keep_profiles(board: Path, kept: Path) -> int:
    """Copy the profiles between leaderboards folders; how many."""
    files = sorted((board / FOLDER).glob("*.json"))
    for file in files:
        _copy(file, kept / FOLDER / file.name)
    return len(files)


def keep_curves(out: Path, kept: Path) -> int:
    """Copy recipe, description, log and timing of every run, from which `vibench report --runs` draws curves.

    The description names no folder of the machine that trained.
    """
    count = 0
    for log in sorted((out / "runs").rglob("log.csv")):
        source = RunFolder(log.parent)
        if not source.finished():
            continue
        target = RunFolder(kept / "runs" / log.parent.relative_to(out / "runs"))
        for path in (source.recipe_path, source.log_path, source.timing_path):
            _copy(path, target.path / path.name)
        described = source.description()
        inputs = {name: InputFile(Path(file.path).name, file.sha256) for name, file in described.inputs.items()}
        target.write_description(
            dataclasses.replace(
                described, root=described.dataset, pretrained=Path(described.pretrained).name, inputs=inputs
            )
        )
        count += 1
    return count


def _copy(source: Path, target: Path) -> None:
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
