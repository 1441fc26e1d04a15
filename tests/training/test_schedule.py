"""Learning rates against the table of the AGW code line."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from torch.optim import SGD

from vibench.methods.sections import ScheduleRecipe
from vibench.training.optimizer import set_learning_rate
from vibench.training.schedule import common_rate, learning_rate


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


def test_a_whole_cosine_counts_from_the_first_epoch():
    schedule = ScheduleRecipe(epochs=24, warmup_epochs=3, decay="whole-cosine")
    rates = [learning_rate(schedule, 1.0, epoch) for epoch in range(24)]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, (1 + math.cos(math.pi / 8)) / 2])
    assert rates[11] == pytest.approx(0.5) and rates[23] == pytest.approx(0.0, abs=1e-15)


def test_of_a_floor_nothing_warms_up_or_decays():
    """Whatever the factor of a group, what it has above the floor is the share that it would have without one."""
    plain = ScheduleRecipe(epochs=30, warmup_epochs=3, milestones=(10, 20))
    floored = replace(plain, floor=0.002)
    for epoch in range(30):
        share = learning_rate(plain, 1.0, epoch)
        optimizer = SGD([{"params": [], "lr_factor": factor} for factor in (0.1, 1.0)], lr=1.0)
        set_learning_rate(optimizer, learning_rate(floored, 0.1, epoch), common_rate(floored, epoch))
        for group, peak in zip(optimizer.param_groups, (0.01, 0.1), strict=True):
            assert group["lr"] == pytest.approx(0.002 + (peak - 0.002) * share)


def test_without_a_floor_rates_are_the_products_they_were_to_the_bit():
    """Another order of products would change the last digit of a rate, and with it every checkpoint."""
    schedule = ScheduleRecipe()
    for epoch in range(81):
        rate = learning_rate(schedule, 0.1, epoch)
        optimizer = SGD([{"params": [], "lr_factor": 0.1}], lr=1.0)
        set_learning_rate(optimizer, rate, common_rate(schedule, epoch))
        assert optimizer.param_groups[0]["lr"] == rate * 0.1
