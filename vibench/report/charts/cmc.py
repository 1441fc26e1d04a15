"""CMC curves: the share of queries whose first true match is at rank k or better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vibench.report.axes import WIDTH, Key, Scale, frame, legend, line_style, percent_span
from vibench.report.charts.chart import Chart, ChartRow, Subject, left_out, says
from vibench.report.drawing import Drawing, Line, Mark, Shape
from vibench.report.numbers import ABSENT, percent

LINES = 8
"""More lines than this cannot be told apart."""
RANKS = (1, 5, 10, 20)
LAST_RANK = 20
"""Behind it curves of VI-ReID run together."""


@dataclass(frozen=True)
class Curve:
    """One CMC curve, in percent, from rank 1 on."""

    subject: Subject
    values: tuple[float, ...]


def cmc_chart(curves: Sequence[Curve], title: str) -> Chart:
    """The first `LINES` of the curves, at least one of which is drawn; each needs at least two ranks."""
    drawn = [curve for curve in curves if len(curve.values) > 1][:LINES]
    last = min(LAST_RANK, max(len(curve.values) for curve in drawn))
    low, high = percent_span(value for curve in drawn for value in curve.values[:last])
    x, y = Scale(1, last, 52, WIDTH - 14), Scale(low, high, 252, 12)
    shapes: list[Shape] = frame(x, y, "rank", "matched within rank (%)")
    keys = []
    for number, curve in enumerate(drawn):
        colour, dash = line_style(number)
        points = tuple((x(rank), y(value)) for rank, value in enumerate(curve.values[:last], start=1))
        spoken = says(curve.subject, f"{percent(curve.values[0])} % at rank 1")
        shapes.append(Mark(spoken, curve.subject.records, (Line(points, colour, 2.0, dash),)))
        keys.append(Key(curve.subject.label, curve.subject.records, colour, dash))
    shown, height = legend(keys, 300)
    ranks = [rank for rank in RANKS if rank <= last]
    return Chart(
        "cmc",
        Drawing(
            f"CMC curves, {title}",
            f"One line per method over ranks 1 to {last}, mean over trials and seeds; best at rank 1: "
            + says(drawn[0].subject, f"{percent(drawn[0].values[0])} %"),
            WIDTH,
            306 + height,
            (*shapes, *shown),
        ),
        ("method", *(f"rank {rank}" for rank in ranks)),
        tuple(
            ChartRow(
                curve.subject,
                tuple(percent(curve.values[rank - 1]) if rank <= len(curve.values) else ABSENT for rank in ranks),
            )
            for curve in drawn
        ),
        left_out(len(drawn), len(curves)),
    )
