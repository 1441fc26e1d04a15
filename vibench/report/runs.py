"""Training curves of the run folders below a folder."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from vibench.errors import UsageError
from vibench.report.charts.chart import Chart, Subject
from vibench.report.charts.training import LINES, LossCurve, training_chart
from vibench.report.entries import Outcome
from vibench.training.folder import RunFolder
from vibench.training.log import read_log


def training_charts(folder: Path, outcomes: Mapping[str, Outcome]) -> tuple[list[Chart], list[str]]:
    """Charts of the runs below ``folder``, by data set and in file order, and a sentence per unreadable run.

    A run's numbers come from its ``log.csv``; it carries the records that evaluated it.
    """
    curves: dict[str, list[LossCurve]] = {}
    problems: list[str] = []
    for log in sorted(folder.rglob("log.csv")):
        run = RunFolder(log.parent)
        if not run.description_path.is_file():
            continue
        try:
            description = run.description()
            rows = [row for row in read_log(log) if math.isfinite(row.get("total", math.nan))]
        except UsageError as error:
            problems.append(str(error))
            continue
        records = tuple(sorted(name for name, outcome in outcomes.items() if outcome.record.run.id == description.id))
        place = log.parent.relative_to(folder).as_posix()
        subject = Subject(place, records, origin=f"run {description.id}")
        if rows:
            curve = LossCurve(subject, tuple(int(row["epoch"]) for row in rows), tuple(row["total"] for row in rows))
            curves.setdefault(description.dataset, []).append(curve)
    charts = []
    for dataset, found in sorted(curves.items()):
        for start in range(0, len(found), LINES):
            part = "" if len(found) <= LINES else f"-{start // LINES + 1}"
            name = re.sub(r"[^a-z0-9]+", "-", dataset.lower()).strip("-")
            charts.append(training_chart(found[start : start + LINES], f"{name}{part}", dataset))
    return charts, problems
