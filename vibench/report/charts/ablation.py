"""Ablations: the variants of one method as bars, what its paper prints beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vibench.report.axes import WIDTH, Key, Scale, legend, x_axis
from vibench.report.charts.chart import Chart, ChartRow, Subject, says
from vibench.report.drawing import Drawing, Line, Mark, Shape, Text, box, shortened
from vibench.report.numbers import percent, with_deviation

_LEFT, _BAR = 190.0, 15.0


@dataclass(frozen=True)
class Bar:
    """One rank-1 score, in percent."""

    subject: Subject
    score: float
    deviation: float | None = None
    shown: str = ""
    """As its paper prints it; empty for a measured one."""


@dataclass(frozen=True)
class VariantBars:
    """One variant of a method; at least one of the two is there."""

    name: str
    measured: Bar | None
    printed: Bar | None


def ablation_chart(variants: Sequence[VariantBars], name: str, title: str) -> Chart:
    """One or two bars per variant, from zero to a little more than the highest score."""
    bars = [bar for variant in variants for bar in (variant.measured, variant.printed) if bar is not None]
    high = min(100.0, 1.18 * max(bar.score + (bar.deviation or 0.0) for bar in bars) or 1.0)
    kinds = [
        (kind, colour)
        for kind, colour in (("measured", "series-1"), ("printed", "series-2"))
        if any(getattr(variant, kind) for variant in variants)
    ]
    bottom = 12 + sum(_BAR * _bars(variant) + 9 for variant in variants)
    x, y = Scale(0.0, high, _LEFT, WIDTH - 40), Scale(0, 1, bottom, 12)
    shapes: list[Shape] = [Line(((x(value), 12), (x(value), bottom)), "grid") for value in x.ticks]
    shapes += x_axis(x, y, "rank-1 (%)")
    top = 16.0
    for variant in variants:
        height = _BAR * _bars(variant)
        label = shortened(variant.name, _LEFT - 14, 11)
        shapes.append(Text((_LEFT - 8, top + height / 2 + 4), label, anchor="end"))
        for kind, colour in kinds:
            bar = getattr(variant, kind)
            if bar is None:
                continue
            parts: list[Line | Text] = [Text((x(bar.score) + 5, top + _BAR - 4), _value(bar), size=10)]
            if bar.deviation:
                ends = (x(max(0.0, bar.score - bar.deviation)), x(min(high, bar.score + bar.deviation)))
                parts = [
                    Line(((ends[0], top + _BAR / 2), (ends[1], top + _BAR / 2)), "ink", 1.2),
                    Text((ends[1] + 5, top + _BAR - 4), _value(bar), size=10),
                ]
            spoken = says(bar.subject, f"{kind} {bar.shown or with_deviation(bar.score, bar.deviation)} %")
            body = box(_LEFT, top + 1, x(bar.score) - _LEFT, _BAR - 3, colour)
            shapes.append(Mark(spoken, bar.subject.records, (body, *parts)))
            top += _BAR
        top += 9
    shown, below = legend([Key(kind, (), colour) for kind, colour in kinds], bottom + 44)
    rows = [
        ChartRow(bar.subject, (kind, bar.shown or with_deviation(bar.score, bar.deviation)))
        for variant in variants
        for kind, bar in (("measured", variant.measured), ("printed", variant.printed))
        if bar is not None
    ]
    return Chart(
        f"ablation-{name}",
        Drawing(
            f"Variants of {title}",
            f"Bars of rank-1 for {len(variants)} variants, {' and '.join(kind for kind, _ in kinds)}.",
            WIDTH,
            bottom + 50 + below,
            (*shapes, *shown),
        ),
        ("variant", "source", "rank-1 %"),
        tuple(rows),
    )


def _bars(variant: VariantBars) -> int:
    return (variant.measured is not None) + (variant.printed is not None)


def _value(bar: Bar) -> str:
    return bar.shown or percent(bar.score)
