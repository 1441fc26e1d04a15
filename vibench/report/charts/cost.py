"""Accuracy against cost, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vibench.report.axes import WIDTH, Key, Scale, cost_scale, frame, legend, percent_span, symbol_of
from vibench.report.charts.chart import Chart, ChartRow, Subject, says
from vibench.report.drawing import Circle, Drawing, Line, Mark, Point, Shape, Text, symbol
from vibench.report.numbers import amount, percent
from vibench.report.palette import SERIES


@dataclass(frozen=True)
class CostAxis:
    """What a scatter's horizontal axis shows."""

    name: str
    """Part of a file name."""
    title: str
    """With its unit."""
    digits: int


@dataclass(frozen=True)
class CostPoint:
    """One method's accuracy, in percent, and cost."""

    subject: Subject
    group: str
    """Its section: only methods of equal test-time information compare."""
    cost: float
    score: float
    on_front: bool
    """Nothing of its group has more for no more, or as much for less."""


def cost_chart(points: Sequence[CostPoint], axis: CostAxis, title: str) -> Chart:
    """Rank-1 against one cost; the points are numbered, and each group has its own symbol and front."""
    x = cost_scale([point.cost for point in points], 52, WIDTH - 14)
    y = Scale(*percent_span(point.score for point in points), 252, 12)
    shapes: list[Shape] = frame(x, y, axis.title + (", logarithmic" if x.logarithmic else ""), "rank-1 (%)")
    keys: list[Key] = []
    rows: list[ChartRow] = []
    groups = list(dict.fromkeys(point.group for point in points))
    taken = [(x(point.cost), y(point.score)) for point in points]
    for at, group in enumerate(groups):
        members = [point for point in points if point.group == group]
        front = sorted({(x(point.cost), y(point.score)) for point in members if point.on_front})
        colour, form = SERIES[at % len(SERIES)], symbol_of(at)
        if len(front) > 1:
            shapes.append(Line(_steps(front), colour, 1.2, (4, 3)))
        for point in members:
            number = len(rows) + 1
            spoken = f"{percent(point.score)} % at {amount(point.cost, axis.digits)}, {axis.title}"
            on_front = "nothing is better at its cost" if point.on_front else ""
            centre = (x(point.cost), y(point.score))
            ring = (Circle(centre, 7.5, colour), Circle(centre, 6.0, "surface")) if point.on_front else ()
            mark = symbol(form, centre, colour, 3.8)
            beside = _place(str(number), centre, taken)
            spoken = ", ".join(part for part in (spoken, on_front) if part)
            shapes.append(Mark(says(point.subject, spoken), point.subject.records, (*ring, mark, beside)))
            keys.append(Key(f"{number} {point.subject.label}", point.subject.records, colour, shape=form))
            cells = (group, percent(point.score), amount(point.cost, axis.digits), "yes" if point.on_front else "no")
            rows.append(ChartRow(point.subject, cells))
    shown, height = legend(keys, 300)
    symbols = [f"{symbol_of(at)}: {group}" for at, group in enumerate(groups)]
    return Chart(
        f"cost-{axis.name}",
        Drawing(
            f"Rank-1 against {axis.title}, {title}",
            f"{len(points)} methods; ringed are those on the Pareto front of their test-time information: "
            + ", ".join(row.subject.label for row in rows if row.cells[-1] == "yes"),
            WIDTH,
            306 + height,
            (*shapes, *shown),
        ),
        ("method", "test-time information", "rank-1 %", axis.title, "Pareto front"),
        tuple(rows),
        "A ring marks the Pareto front: no method of the same test-time information is better at no higher cost."
        + (f" Symbols: {', '.join(symbols)}." if len(symbols) > 1 else ""),
    )


def _place(number: str, centre: Point, taken: list[Point]) -> Text:
    """The number beside its point: where of the places inside the chart the fewest points and numbers are near."""

    def crowd(place: Point) -> int:
        return sum(abs(place[0] - x) < 13 and abs(place[1] - y) < 10 for x, y in taken)

    places = [(centre[0] + dx, centre[1] + dy) for dx, dy in ((14, -9), (14, 9), (-14, -9), (-14, 9))]
    best = min((place for place in places if 10 < place[0] < WIDTH - 10 and place[1] > 10), key=crowd)
    taken.append(best)
    return Text((best[0], best[1] + 4), number, size=10, anchor="middle")


def _steps(front: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """The front as a staircase: between two methods the cheaper one's accuracy is what is to be had."""
    corners = [front[0]]
    for x, y in front[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    return tuple(corners)
