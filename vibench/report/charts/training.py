"""Training curves: the weighted sum of the losses over the epochs of several runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vibench.report.axes import WIDTH, Key, Scale, frame, legend, line_style
from vibench.report.charts.chart import Chart, ChartRow, Subject, says
from vibench.report.drawing import Circle, Drawing, Line, Mark, Shape
from vibench.report.numbers import amount

LINES = 8


@dataclass(frozen=True)
class LossCurve:
    """One run's mean total loss per epoch; at least one epoch, all values finite."""

    subject: Subject
    epochs: tuple[int, ...]
    values: tuple[float, ...]


def training_chart(curves: Sequence[LossCurve], name: str, title: str) -> Chart:
    """The curves of up to `LINES` runs."""
    values = [value for curve in curves for value in curve.values]
    low, high = min(0.0, *values), max(values)
    epochs = [epoch for curve in curves for epoch in curve.epochs]
    first, last = min(epochs), max(epochs)
    x = Scale(first, last if last > first else first + 1, 52, WIDTH - 14)
    y = Scale(low, 1.05 * high if high > low else low + 1, 252, 12)
    shapes: list[Shape] = frame(x, y, "epoch", "total loss")
    keys = []
    for number, curve in enumerate(curves):
        colour, dash = line_style(number)
        points = tuple((x(epoch), y(value)) for epoch, value in zip(curve.epochs, curve.values, strict=True))
        body = Line(points, colour, 2.0, dash) if len(points) > 1 else Circle(points[0], 3.5, colour)
        spoken = says(curve.subject, f"total loss {amount(curve.values[-1], 4)} after epoch {curve.epochs[-1]}")
        shapes.append(Mark(spoken, curve.subject.records, (body,)))
        keys.append(Key(curve.subject.label, curve.subject.records, colour, dash))
    shown, height = legend(keys, 300)
    return Chart(
        f"training-{name}",
        Drawing(
            f"Training, {title}",
            f"Total loss per epoch of {len(curves)} runs, epochs {first} to {last}.",
            WIDTH,
            306 + height,
            (*shapes, *shown),
        ),
        ("run", "epochs", "first total loss", "last total loss"),
        tuple(
            ChartRow(
                curve.subject,
                (str(len(curve.values)), amount(curve.values[0], 4), amount(curve.values[-1], 4)),
            )
            for curve in curves
        ),
    )
