"""The Pareto front against its definition."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vibench.report.pareto import pareto_front

POINTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=12)


@given(POINTS)
def test_what_is_off_the_front_is_beaten_by_something_on_it(points: list[tuple[int, int]]) -> None:
    front = pareto_front(points)
    held = [point for point, holds in zip(points, front, strict=True) if holds]
    assert bool(held) == bool(points)
    for (cost, score), holds in zip(points, front, strict=True):
        beaten = any(c <= cost and s >= score and (c, s) != (cost, score) for c, s in held)
        assert beaten != holds
