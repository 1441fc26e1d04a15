"""Learning rates per epoch."""

from __future__ import annotations

import math

from vibench.methods.sections import ScheduleRecipe


def learning_rate(schedule: ScheduleRecipe, lr: float, epoch: int) -> float:
    """The learning rate of epoch ``epoch`` (from 0) for a base rate ``lr``, in a group of factor 1.

    Linear warm-up ``lr * (epoch + 1) / warmup_epochs``, then ``lr`` times gamma per milestone reached
    (mangye16/Cross-Modal-Re-ID-baseline), or, where the schedule lists factors, ``lr`` times that of the last
    milestone reached. With cosine decay, the warm-up's end ``lr`` instead falls along half a cosine
    (Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, without a restart) to
    ``lr * final_factor`` in the last epoch. With whole-cosine decay the cosine counts from the first epoch, so that
    the warm-up meets it below ``lr``, and ends at 0 (hulu88/PMT). A rate is set once per epoch.

    With a floor, only what ``lr`` has above it warms up and decays.
    """
    return _decayed(schedule, lr, epoch) + common_rate(schedule, epoch)


def common_rate(schedule: ScheduleRecipe, epoch: int) -> float:
    """The part of the rate of epoch ``epoch`` that every group has, whatever its factor; 0 without a floor.

    Of a share s of its rate, a group of rate r with the floor b has b + (r - b) s, which is r s + b (1 - s).
    """
    return schedule.floor * (1.0 - _decayed(schedule, 1.0, epoch)) if schedule.floor else 0.0


def _decayed(schedule: ScheduleRecipe, lr: float, epoch: int) -> float:
    """The rate without a floor."""
    if schedule.decay == "whole-cosine":
        if epoch + 1 < schedule.warmup_epochs:
            return lr * (epoch + 1) / schedule.warmup_epochs
        return lr * (1.0 + math.cos(math.pi * (epoch + 1) / schedule.epochs)) / 2.0
    if epoch < schedule.warmup_epochs:
        return lr * (epoch + 1) / schedule.warmup_epochs
    if schedule.decay == "cosine":
        progress = (epoch + 1 - schedule.warmup_epochs) / (schedule.epochs - schedule.warmup_epochs)
        share = (1.0 + math.cos(math.pi * progress)) / 2.0
        return lr * (schedule.final_factor + (1.0 - schedule.final_factor) * share)
    reached = sum(epoch >= milestone for milestone in schedule.milestones)
    if schedule.factors:
        return lr * (1.0, *schedule.factors)[reached]
    return lr * schedule.gamma**reached
