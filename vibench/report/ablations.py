"""The chart of an ablation board: the variants of one method, printed beside measured."""

from __future__ import annotations

import re

from vibench.leaderboard.ablations import AblationBoard, AblationLine
from vibench.leaderboard.cells import board_title, row_name, variant_text
from vibench.leaderboard.row import Row
from vibench.report.charts.ablation import Bar, VariantBars, ablation_chart
from vibench.report.charts.chart import Chart, Subject
from vibench.report.entries import subject_label


def ablation_figure(ablation: AblationBoard) -> Chart | None:
    """Rank-1 of every variant; None with fewer than two. Printed numbers never stand beside those of a twin."""
    variants = [bars for line in ablation.lines if (bars := _bars(ablation.method, line)).measured or bars.printed]
    if len(variants) < 2:
        return None
    name = re.sub(r"[^a-z0-9]+", "-", ablation.method.lower()).strip("-") or "method"
    return ablation_chart(variants, name, f"{ablation.method}, {board_title(ablation.board)}")


def _bars(method: str, line: AblationLine) -> VariantBars:
    row = line.printed or line.measured
    assert row is not None, "a line has one of the two"
    # The method stands in the title; a rival in its paper's tables keeps its own name.
    name = variant_text(row) if row.variant and row.method == method else row_name(row)
    return VariantBars(name, _measured(line.measured), _printed(line.printed))


def _measured(row: Row | None) -> Bar | None:
    if row is None:
        return None
    score = row.scores["r1"]
    records = tuple(run.evidence for run in row.single_runs)
    return Bar(Subject(subject_label(row), records), score.value, score.deviation)


def _printed(row: Row | None) -> Bar | None:
    if row is None or "r1" not in row.scores:
        return None
    score = row.scores["r1"]
    return Bar(Subject(row_name(row), origin=row.evidence), score.value, shown=score.printed)
