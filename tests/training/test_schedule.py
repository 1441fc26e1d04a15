"""Learning rates against the table of the AGW code line."""

from __future__ import annotations

import pytest

from vibench.methods.sections import ScheduleRecipe
from vibench.training.schedule import learning_rate


@pytest.mark.parametrize(
    ("epoch", "expected"),
    [(0, 0.01), (1, 0.02), (8, 0.09), (9, 0.1), (10, 0.1), (19, 0.1), (20, 0.01), (49, 0.01), (50, 0.001), (80, 0.001)],
)
def test_the_agw_code_line(epoch: int, expected: float):
    assert learning_rate(ScheduleRecipe(), 0.1, epoch) == pytest.approx(expected, rel=1e-12)


def test_without_warm_up_and_milestones_the_rate_stays():
    flat = ScheduleRecipe(warmup_epochs=0, milestones=())
    assert {learning_rate(flat, 3.5e-4, epoch) for epoch in range(5)} == {3.5e-4}


def test_factors_hold_from_their_milestones_on():
    listed = ScheduleRecipe(warmup_epochs=0, milestones=(2, 4), factors=(0.75, 0.05))
    rates = [learning_rate(listed, 0.01, epoch) for epoch in range(6)]
    assert rates == pytest.approx([0.01, 0.01, 0.0075, 0.0075, 0.0005, 0.0005])


@pytest.mark.parametrize("factors", [(0.5,), (0.5, 0.0)])
def test_factors_that_fit_no_milestones_are_refused(factors: tuple[float, ...]):
    with pytest.raises(ValueError, match="'factors'"):
        ScheduleRecipe(milestones=(2, 4), factors=factors)


def test_half_a_cosine_from_the_end_of_the_warm_up_to_the_last_epoch():
    schedule = ScheduleRecipe(epochs=100, warmup_epochs=10, decay="cosine", final_factor=0.01)
    rates = [learning_rate(schedule, 0.1, epoch) for epoch in range(100)]
    assert rates[0] == pytest.approx(0.01) and rates[9] == pytest.approx(0.1) and rates[99] == pytest.approx(1e-3)
    assert rates[54] == pytest.approx((0.1 + 1e-3) / 2)
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[9] - rates[10] < 1e-4 and rates[98] - rates[99] < 1e-4


def test_a_cosine_without_warm_up():
    schedule = ScheduleRecipe(epochs=2, warmup_epochs=0, decay="cosine", final_factor=0.0)
    assert [learning_rate(schedule, 1.0, epoch) for epoch in range(2)] == pytest.approx([0.5, 0.0])


def test_a_final_rate_above_the_first_is_refused():
    with pytest.raises(ValueError, match="final_factor"):
        ScheduleRecipe(final_factor=1.5)
