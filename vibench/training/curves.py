"""What the logs of many runs say: the loss of every epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from vibench.errors import UsageError
from vibench.training.folder import RunDescription, RunFolder
from vibench.training.log import read_log


@dataclass(frozen=True)
class Curve:
    """One run's."""

    about: RunDescription
    place: str
    """Its folder, relative to the one that was looked through."""
    totals: tuple[tuple[int, float], ...]
    """Epoch and the weighted sum of its losses, where that is finite."""


def read_curves(folder: Path) -> tuple[list[Curve], list[str]]:
    """The curves of all runs below ``folder``, and a sentence per unreadable run."""
    curves: list[Curve] = []
    problems: list[str] = []
    for log in sorted(folder.rglob("log.csv")):
        run = RunFolder(log.parent)
        if not run.description_path.is_file():
            continue
        try:
            about = run.description()
            rows = [
                (int(row["epoch"]), row["total"]) for row in read_log(log) if math.isfinite(row.get("total", math.nan))
            ]
        except UsageError as error:
            problems.append(str(error))
            continue
        curves.append(Curve(about, log.parent.relative_to(folder).as_posix(), tuple(rows)))
    return curves, problems
