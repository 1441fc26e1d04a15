"""Training curves of the run folders below a folder."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vibench.errors import UsageError
from vibench.report.charts.chart import Chart, Subject
from vibench.report.charts.training import LINES, LossCurve, training_chart
from vibench.report.entries import Outcome
from vibench.training.folder import RunDescription, RunFolder
from vibench.training.log import read_log


def training_charts(folder: Path, outcomes: Mapping[str, Outcome]) -> tuple[list[Chart], list[str]]:
    """Charts of the runs below ``folder``, by data set and method and in file order, and a sentence per unreadable run.

    A run's numbers come from its ``log.csv``; it carries the records that evaluated it.
    """
    found: dict[tuple[str, str], list[tuple[str, LossCurve]]] = {}
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
        subject = Subject(_label(description), records, origin=f"run {description.id}")
        if rows:
            curve = LossCurve(subject, tuple(int(row["epoch"]) for row in rows), tuple(row["total"] for row in rows))
            place = log.parent.relative_to(folder).as_posix()
            found.setdefault((description.dataset, description.method), []).append((place, curve))
    charts = []
    for (dataset, method), runs in sorted(found.items(), key=lambda item: item[0]):
        curves = _told_apart(runs)
        for start in range(0, len(curves), LINES):
            part = "" if len(curves) <= LINES else f"-{start // LINES + 1}"
            name = re.sub(r"[^a-z0-9]+", "-", f"{dataset} {method}".lower()).strip("-")
            charts.append(training_chart(curves[start : start + LINES], f"{name}{part}", f"{method}, {dataset}"))
    return charts, problems


def _label(description: RunDescription) -> str:
    """What tells a run from others of its method on its data set."""
    trial = "" if description.trial is None else f", trial {description.trial}"
    return f"{description.variant or description.method}, seed {description.seed}{trial}"


def _told_apart(runs: Sequence[tuple[str, LossCurve]]) -> list[LossCurve]:
    """The curves, with the folders of runs that are of one variant, seed and trial in place of these."""
    times = Counter(curve.subject.label for _, curve in runs)
    return [
        curve if times[curve.subject.label] == 1 else replace(curve, subject=replace(curve.subject, label=place))
        for place, curve in runs
    ]
