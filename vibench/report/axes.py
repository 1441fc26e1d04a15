"""Axes of charts: scales, their ticks, the frame around the data, and the legend below it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vibench.report.drawing import SYMBOLS, Circle, Line, Mark, Polygon, Shape, Text, shortened, symbol
from vibench.report.numbers import tick
from vibench.report.palette import SERIES

WIDTH = 480.0
"""Of every chart; the page scales them."""
DASHES: tuple[tuple[float, ...], ...] = ((), (7, 3), (2, 3), (9, 3, 2, 3))
MANY_TIMES = 30.0
"""From this ratio of largest to smallest value a cost axis is logarithmic."""

_LEGEND_ROW = 17.0


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` along the pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        ends = (self.low, self.high, value)
        low, high, value = (math.log10(part) for part in ends) if self.logarithmic else ends
        return self.start + (self.end - self.start) * (value - low) / (high - low)

    @property
    def ticks(self) -> tuple[float, ...]:
        """Round values inside the scale: about five, or 1, 2 and 5 of every decade, of many decades 1 alone."""
        if self.logarithmic:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [(step, step * 10.0**decade) for decade in decades for step in (1, 2, 5)]
            found = [(step, value) for step, value in found if self.low <= value <= self.high]
            return tuple(value for step, value in found if step == 1 or len(found) < 10)
        step = _round_step((self.high - self.low) / 5)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(round(number * step, 12) for number in range(first, last + 1))


def _round_step(least: float) -> float:
    decade = 10.0 ** math.floor(math.log10(least))
    return next(factor * decade for factor in (1, 2, 5, 10) if factor * decade >= least * (1 - 1e-9))


def percent_span(values: Iterable[float]) -> tuple[float, float]:
    """Ends of an axis of percentages: a little beyond the values, inside 0 to 100."""
    values = list(values)
    low, high = min(values), max(values)
    room = max(0.08 * (high - low), 1.0)
    return max(0.0, low - room), min(100.0, high + room)


def cost_scale(values: Sequence[float], start: float, end: float) -> Scale:
    """The axis of a cost: from zero, or logarithmic where values differ by more than `MANY_TIMES`."""
    low, high = min(values), max(values)
    if low > 0 and high / low > MANY_TIMES:
        return Scale(low / 1.5, high * 1.5, start, end, logarithmic=True)
    return Scale(0.0, 1.12 * high or 1.0, start, end)


def frame(x: Scale, y: Scale, x_title: str, y_title: str) -> list[Shape]:
    """Grid lines with their values, and the titles of both axes."""
    shapes: list[Shape] = []
    for value in y.ticks:
        shapes.append(Line(((x.start, y(value)), (x.end, y(value))), "grid"))
        shapes.append(Text((x.start - 6, y(value) + 4), tick(value), "muted", anchor="end"))
    shapes += x_axis(x, y, x_title)
    shapes.append(Text((14, (y.start + y.end) / 2), y_title, "ink", anchor="middle", upwards=True))
    return shapes


def x_axis(x: Scale, y: Scale, title: str) -> list[Shape]:
    """The lower axis alone, with its ticks and title."""
    shapes: list[Shape] = [Line(((x.start, y.start), (x.end, y.start)), "muted")]
    for value in x.ticks:
        shapes.append(Line(((x(value), y.start), (x(value), y.start + 4)), "muted"))
        shapes.append(Text((x(value), y.start + 17), tick(value), "muted", anchor="middle"))
    shapes.append(Text(((x.start + x.end) / 2, y.start + 34), title, "ink", anchor="middle"))
    return shapes


@dataclass(frozen=True)
class Key:
    """One entry of a legend."""

    label: str
    records: tuple[str, ...]
    colour: str
    dash: tuple[float, ...] | None = None
    """Of a line; None for a symbol."""
    shape: str = "square"


def line_style(number: int) -> tuple[str, tuple[float, ...]]:
    """Colour and dash of the ``number``-th line; dashes tell apart what colours alone would not."""
    return SERIES[number % len(SERIES)], DASHES[number % len(DASHES)]


def symbol_of(number: int) -> str:
    """The mark of the ``number``-th group."""
    return SYMBOLS[number % len(SYMBOLS)]


def legend(keys: Sequence[Key], top: float) -> tuple[list[Shape], float]:
    """The shapes of a legend in two columns from ``top`` on, and its height."""
    column = (WIDTH - 24) / 2
    rows = math.ceil(len(keys) / 2)
    shapes: list[Shape] = []
    for number, key in enumerate(keys):
        left, y = 16 + column * (number // rows), top + _LEGEND_ROW * (number % rows) + 10
        sample: Line | Circle | Polygon = (
            symbol(key.shape, (left + 12, y - 4), key.colour)
            if key.dash is None
            else Line(((left, y - 4), (left + 24, y - 4)), key.colour, 2.0, key.dash)
        )
        label = Text((left + 30, y), shortened(key.label, column - 36, 11), "ink")
        shapes.append(Mark(key.label, key.records, (sample, label)))
    return shapes, _LEGEND_ROW * rows
