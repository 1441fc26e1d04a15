"""How much the trials of each method differ: a strip of points, and a box where there are enough of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vibench.report.axes import WIDTH, Scale, percent_span, x_axis
from vibench.report.charts.chart import Chart, ChartRow, Subject, left_out, says
from vibench.report.drawing import Circle, Drawing, Line, Mark, Shape, Text, box, shortened
from vibench.report.numbers import percent

STRIPS = 24
ENOUGH = 5
"""Trials from which quartiles mean something."""
_LEFT, _ROW = 158.0, 24.0


@dataclass(frozen=True)
class Trial:
    """One trial of one record."""

    record: str
    name: str
    score: float
    """In percent."""


@dataclass(frozen=True)
class Strip:
    """The trials of one method, over all its seeds."""

    subject: Subject
    trials: tuple[Trial, ...]


def trials_chart(strips: Sequence[Strip], title: str) -> Chart:
    """Rank-1 of every trial, one strip per method, for the first `STRIPS` of them."""
    drawn = strips[:STRIPS]
    bottom = 12 + _ROW * len(drawn)
    low, high = percent_span(trial.score for strip in drawn for trial in strip.trials)
    x, y = Scale(low, high, _LEFT, WIDTH - 14), Scale(0, 1, bottom, 12)
    shapes: list[Shape] = [Line(((x(value), 12), (x(value), bottom)), "grid") for value in x.ticks]
    shapes += x_axis(x, y, "rank-1 of each trial (%)")
    rows = []
    for number, strip in enumerate(drawn):
        middle = 12 + _ROW * (number + 0.5)
        values = np.array([trial.score for trial in strip.trials])
        lower, median, upper = np.quantile(values, (0.25, 0.5, 0.75))
        label = Text((_LEFT - 8, middle + 4), shortened(strip.subject.label, _LEFT - 14, 11), anchor="end")
        shapes.append(Mark(strip.subject.label, strip.subject.records, (label,)))
        if len(values) >= ENOUGH:
            spoken = says(strip.subject, f"half of the trials from {percent(lower)} % to {percent(upper)} %")
            quartiles = box(x(lower), middle - 8, x(upper) - x(lower), 16, "heat-2")
            line = Line(((x(median), middle - 8), (x(median), middle + 8)), "ink", 1.6)
            shapes.append(Mark(spoken, strip.subject.records, (quartiles, line)))
        for at, trial in enumerate(strip.trials):
            spoken = says(Subject(strip.subject.label, (trial.record,)), f"{trial.name}: {percent(trial.score)} %")
            # Spread across the strip by turns, so that equal scores do not hide one another.
            point = Circle((x(trial.score), middle + 4 * (at % 3 - 1)), 2.6, "series-1")
            shapes.append(Mark(spoken, (trial.record,), (point,)))
        cells = (str(len(values)), *(percent(value) for value in (values.min(), lower, median, upper, values.max())))
        rows.append(ChartRow(strip.subject, cells))
    return Chart(
        "trials",
        Drawing(
            f"Spread over trials, {title}",
            "Rank-1 of every trial per method; the box spans the middle half and its line is the median.",
            WIDTH,
            bottom + 42,
            tuple(shapes),
        ),
        ("method", "trials", "least", "lower quartile", "median", "upper quartile", "most"),
        tuple(rows),
        " ".join(
            part
            for part in (
                left_out(len(drawn), len(strips)),
                f"The box spans the middle half of at least {ENOUGH} trials, its line is the median.",
            )
            if part
        ),
    )
