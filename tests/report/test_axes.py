"""Scales and ticks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibench.report.axes import Key, Scale, cost_scale, legend, percent_span
from vibench.report.drawing import shortened, text_width, wrapped
from vibench.report.numbers import amount, tick, with_deviation

VALUES = st.floats(1e-3, 1e7)


@given(st.lists(VALUES, min_size=1, max_size=10))
def test_a_cost_axis_holds_its_values_and_has_ticks_on_it(values: list[float]) -> None:
    scale = cost_scale(values, 50.0, 450.0)
    assert all(50.0 <= scale(value) <= 450.0 for value in values)
    assert all(scale.low <= value <= scale.high * (1 + 1e-9) for value in scale.ticks)
    assert len(scale.ticks) <= 15
    assert scale.logarithmic == (max(values) / min(values) > 30.0)


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=10))
def test_an_axis_of_percentages_stays_inside_its_range(values: list[float]) -> None:
    low, high = percent_span(values)
    assert 0.0 <= low <= min(values) and max(values) <= high <= 100.0 and low < high
    ticks = Scale(low, high, 0.0, 1.0).ticks
    assert 2 <= len(ticks) <= 11


def test_ticks_are_round() -> None:
    assert Scale(0.0, 10.0, 0.0, 1.0).ticks == (0.0, 2.0, 4.0, 6.0, 8.0, 10.0)
    assert Scale(41.0, 43.1, 0.0, 1.0).ticks == (41.0, 41.5, 42.0, 42.5, 43.0)
    assert Scale(3.0, 700.0, 0.0, 1.0, logarithmic=True).ticks == (5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0)


@pytest.mark.parametrize(
    ("value", "text"), [(0.1 + 0.2, "0.3"), (5000.0, "5000"), (20000.0, "20k"), (3e6, "3M"), (2e9, "2G"), (0.0, "0")]
)
def test_numbers_at_an_axis_are_short(value: float, text: str) -> None:
    assert tick(value) == text


def test_numbers_are_written_once_and_the_same() -> None:
    assert with_deviation(54.5, 2.872) == "54.50 ± 2.87" and with_deviation(54.5, None) == "54.50"
    assert amount(12345.6, 0) == "12,346" and amount(None, 2) == "–" and amount("cpu", 2) == "cpu"


def test_a_legend_fills_two_columns() -> None:
    shapes, height = legend([Key(f"method {number}", (), "series-1") for number in range(5)], 300.0)
    assert len(shapes) == 5 and height == 3 * 17.0


@given(st.text(max_size=60), st.floats(20.0, 200.0))
def test_a_shortened_text_fits(text: str, width: float) -> None:
    short = shortened(text, width, 11.0)
    assert text_width(short, 11.0) <= width
    assert short == text or (short.endswith("…") and text.startswith(short[:-1]))


def test_a_wrapped_text_loses_nothing() -> None:
    lines = wrapped("one two three four five", 60.0, 11.0)
    assert " ".join(lines) == "one two three four five" and len(lines) > 1
    assert all(text_width(line, 11.0) <= 60.0 for line in lines)
