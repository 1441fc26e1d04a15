"""Learning rates per epoch."""

from __future__ import annotations

from vibench.methods.recipe import ScheduleRecipe


def learning_rate(schedule: ScheduleRecipe, lr: float, epoch: int) -> float:
    """The learning rate of epoch ``epoch`` (from 0) for a base rate ``lr``.

    Linear warm-up ``lr * (epoch + 1) / warmup_epochs``, then ``lr`` times gamma per milestone reached
    (mangye16/Cross-Modal-Re-ID-baseline), or, where the schedule lists factors, ``lr`` times that of the last
    milestone reached. A rate is set once per epoch.
    """
    if epoch < schedule.warmup_epochs:
        return lr * (epoch + 1) / schedule.warmup_epochs
    reached = sum(epoch >= milestone for milestone in schedule.milestones)
    if schedule.factors:
        return lr * (1.0, *schedule.factors)[reached]
    return lr * schedule.gamma**reached
