"""How large a board is: its data, its network, and the one budget of steps that all its methods train with."""

from __future__ import annotations

from dataclasses import dataclass

from vibench.methods.recipe import load_recipe
from vibench.methods.sections import Recipe

SYSU, REGDB = "sysu-mm01-twin", "regdb-twin"


@dataclass(frozen=True)
class Budget:
    """How long every method trains on one data set, and on which of its splits."""

    epochs: int
    batches_per_epoch: int
    seeds: tuple[int, ...]
    trials: tuple[int, ...] = ()
    """Of a data set with several splits."""

    @property
    def steps(self) -> int:
        """Updates of the weights."""
        return self.epochs * self.batches_per_epoch


@dataclass(frozen=True)
class Scale:
    """The size of a board. What is not named here is each method's own recipe."""

    name: str
    twin: str
    """Scale of `vibench data twin`."""
    backbone: str
    height: int
    width: int
    identities: int
    """Of a batch."""
    images: int
    """Per identity and modality of a batch."""
    budgets: dict[str, Budget]
    """Per data set."""
    common: tuple[str, ...] = ()
    """Further changes of every recipe."""
    common_backbone: bool = False
    """All start from one network that learnt on another twin, as published methods start from ImageNet; else from
    random weights."""

    def settings(self, method: str, variant: str, dataset: str) -> tuple[str, ...]:
        """The changes of one recipe: size, batch and budget, and the paper's schedule scaled to it."""
        own = load_recipe(method, variant, dataset, ())
        budget = self.budgets[dataset]
        return (
            f'model.backbone="{self.backbone}"',
            f"input.height={self.height}",
            f"input.width={self.width}",
            f"augmentation.pad={max(1, own.augmentation.pad * self.height // own.input.height)}",
            f"sampler.identities={self.identities}",
            f"sampler.images={self.images}",
            f"sampler.batches_per_epoch={budget.batches_per_epoch}",
            f"schedule.epochs={budget.epochs}",
            # One precision for all, whatever their official codes train in.
            'optimizer.precision="bf16"',
            *_scaled_schedule(own, budget.epochs),
            *_reached_rates(own),
            *self._weight_of_masks(own),
            *self.common,
        )

    def _weight_of_masks(self, own: Recipe) -> tuple[str, ...]:
        """CAL's L_kd1 rewards attention masks of one position; on small maps, less of it than on the paper's."""
        weight = own.loss_weights.get("kd1", 0.0) if own.method == "cal" else 0.0
        if not weight:
            return ()
        # What the inner product of two flat masks gains by sharpening them falls with the square of the positions.
        share = (self.height * self.width / (own.input.height * own.input.width)) ** 2
        return (f"loss_weights.kd1={weight * share:.4g}",)


def _scaled_schedule(own: Recipe, epochs: int) -> tuple[str, ...]:
    """Warm-up and drops of the rate at the same shares of the training."""
    schedule = own.schedule
    share = epochs / schedule.epochs
    settings = [f"schedule.warmup_epochs={round(schedule.warmup_epochs * share)}"]
    drops: list[int] = []
    for milestone in schedule.milestones:
        drops.append(max(round(milestone * share), drops[-1] + 1 if drops else 1))
    if drops:
        settings.append(f"schedule.milestones={drops}")
    return tuple(settings)


_FIRST_RATE = 0.01
"""The rate at which SGD's warm-up to 0.1 begins in these papers."""


def _reached_rates(own: Recipe) -> tuple[str, ...]:
    """SGD at the rate that the papers begin with, the same for all layers, where they go on to ten times as much.

    Their warm-up takes some ten times as many steps as a board has. At 0.1 after dozens of steps CAL's attention, for
    one, has seen next to nothing and settles on one position of all images for good.
    """
    optimizer = own.optimizer
    if optimizer.name != "sgd" or optimizer.lr <= _FIRST_RATE:
        return ()
    return (f"optimizer.lr={_FIRST_RATE}", "optimizer.backbone_lr_factor=1.0")


_CLIPPED = ("optimizer.clip_grad_norm=5.0",)
"""Rates that papers reach after thousands of steps are reached after dozens here."""

SCALES = {
    scale.name: scale
    for scale in (
        Scale(
            "gpu",
            twin="full",
            backbone="resnet50",
            height=288,
            width=144,
            identities=8,
            images=4,
            budgets={SYSU: Budget(20, 20, (0, 1, 2)), REGDB: Budget(10, 20, (0,), trials=(1,))},
            common=_CLIPPED,
        ),
        Scale(
            "cpu",
            twin="small",
            backbone="resnet18",
            height=96,
            width=48,
            identities=4,
            images=4,
            budgets={SYSU: Budget(9, 38, (0, 1, 2)), REGDB: Budget(9, 18, (0,), trials=(1,))},
            # In 342 steps, a rate that falls after a fourth of them would end learning that has hardly begun.
            common=(
                *_CLIPPED,
                "schedule.warmup_epochs=2",
                "schedule.milestones=[6, 8]",
                "schedule.gamma=0.2",
            ),
            common_backbone=True,
        ),
        Scale(
            "tiny",
            twin="tiny",
            backbone="resnet18",
            height=64,
            width=32,
            identities=2,
            images=2,
            budgets={SYSU: Budget(2, 1, (0, 1, 2)), REGDB: Budget(2, 1, (0,), trials=(1,))},
        ),
    )
}
