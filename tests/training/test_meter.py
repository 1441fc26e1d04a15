"""The loss meter against plain sums."""

from __future__ import annotations

import pytest
import torch

from vibench.errors import VibenchError
from vibench.training.meter import TOTAL, LossMeter, NonFiniteLoss


def losses(identity: float, triplet: float) -> dict[str, torch.Tensor]:
    return {
        "identity": torch.tensor(identity),
        "triplet": torch.tensor(triplet),
        TOTAL: torch.tensor(identity + triplet),
    }


def test_means_over_an_interrupted_epoch_are_those_of_a_whole_one():
    values = [(1.0, 4.0), (2.0, 3.0), (6.0, 0.5)]
    whole, first = LossMeter({}, 0), LossMeter({}, 0)
    for step, pair in enumerate(values):
        whole.add(losses(*pair), step)
    first.add(losses(*values[0]), 0)
    second = LossMeter(first.sums(), 1)
    for step in (1, 2):
        second.add(losses(*values[step]), step)
    assert whole.means() == second.means() == pytest.approx({"identity": 3.0, "triplet": 2.5, TOTAL: 5.5})


def test_the_first_bad_loss_is_named_with_its_step():
    meter = LossMeter({}, 0)
    meter.add(losses(1.0, 1.0), 0)
    meter.check(epoch=4)
    meter.add(losses(1.0, float("inf")), 1)
    meter.add(losses(float("nan"), 1.0), 2)
    with pytest.raises(NonFiniteLoss, match="the loss 'triplet' was not finite in epoch 4, step 1"):
        meter.check(epoch=4)


def test_losses_must_keep_their_names_within_an_epoch():
    meter = LossMeter({}, 0)
    meter.add(losses(1.0, 1.0), 0)
    with pytest.raises(VibenchError, match="the names must be the same"):
        meter.add({TOTAL: torch.tensor(1.0)}, 1)
