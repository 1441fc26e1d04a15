"""Learning rates per epoch."""

from __future__ import annotations

import math

from vibench.methods.sections import ScheduleRecipe


def learning_rate(schedule: ScheduleRecipe, lr: float, epoch: int) -> float:
    """The learning rate of epoch ``epoch`` (from 0) for a base rate ``lr``.

    Linear warm-up ``lr * (epoch + 1) / warmup_epochs``, then ``lr`` times gamma per milestone reached
    (mangye16/Cross-Modal-Re-ID-baseline), or, where the schedule lists factors, ``lr`` times that of the last
    milestone reached. With cosine decay, the warm-up's end ``lr`` instead falls along half a cosine
    (Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017, without a restart) to
    ``lr * final_factor`` in the last epoch. A rate is set once per epoch.
    """
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
