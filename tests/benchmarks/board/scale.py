"""How large a board is: its data, its network, and the one budget of steps that all its methods train with."""

from __future__ import annotations

from dataclasses import dataclass

from vibench.methods.recipe import load_recipe
from vibench.methods.registry import get_method
from vibench.methods.sections import Recipe
from vibench.methods.slim import backbone_among
from vibench.nn.backbone import SLIM

SYSU, REGDB = "sysu-mm01-twin", "regdb-twin"


@dataclass(frozen=True)
class Budget:
    """How long every method trains on one data set, and on which of its splits."""

    epochs: int
    batches_per_epoch: int
    seeds: tuple[int, ...]
    trials: tuple[int, ...] = ()
    """Of a data set with several splits."""
    draws: tuple[str, ...] = ("seeded",)
    """Of the galleries."""

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
    backbones: tuple[str, ...]
    """One of each family of networks."""
    height: int
    width: int
    identities: int
    """Of a batch."""
    images: int
    """Per identity and modality of a batch."""
    budgets: dict[str, Budget]
    """Per data set."""
    precision: str = "fp32"
    common: tuple[str, ...] = ()
    """Further changes of every recipe."""
    common_backbone: bool = False
    """All of a family start from one network that learnt on another twin, as published methods start from ImageNet;
    else from random weights."""
    backbone_epochs: int = 20
    """How long that network learns, in epochs of the first data set's."""

    def backbone(self, method: str) -> str:
        """That of `backbones` which the method is built on."""
        found = backbone_among(get_method(method).options, self.backbones)
        assert found is not None, f"{method} is built on none of {self.backbones}"
        return found

    def settings(self, method: str, variant: str, dataset: str) -> tuple[str, ...]:
        """The changes of one recipe: size, batch and budget, and the paper's schedule scaled to it."""
        own = load_recipe(method, variant, dataset, ())
        budget, pad = self.budgets[dataset], own.augmentation.pad
        return (
            f'model.backbone="{self.backbone(method)}"',
            f"input.height={self.height}",
            f"input.width={self.width}",
            f"augmentation.pad={pad and max(1, pad * self.height // own.input.height)}",
            f"sampler.identities={self.identities}",
            f"sampler.images={self.images}",
            f"sampler.batches_per_epoch={budget.batches_per_epoch}",
            f"schedule.epochs={budget.epochs}",
            # One precision for all, whatever their official codes train in.
            f'optimizer.precision="{self.precision}"',
            *_scaled_schedule(own, budget.epochs),
            *self.common,
        )


def _scaled_schedule(own: Recipe, epochs: int) -> tuple[str, ...]:
    """Warm-up, drops of the rate and grey images at the same shares of the training."""
    schedule = own.schedule
    share = epochs / schedule.epochs
    settings = [f"schedule.warmup_epochs={round(schedule.warmup_epochs * share)}"]
    drops: list[int] = []
    for milestone in schedule.milestones:
        drops.append(max(round(milestone * share), drops[-1] + 1 if drops else 1))
    if drops:
        settings.append(f"schedule.milestones={drops}")
    grey = own.augmentation.visible_grey_epochs
    if grey:
        settings.append(f"augmentation.visible_grey_epochs={round(grey * share)}")
    return tuple(settings)


BOTH_DRAWS = ("seeded", "official")
CLIPPED = ("optimizer.clip_grad_norm=5.0",)
"""Warm-ups that take papers thousands of steps take dozens here; leaderboards/README.md has the curves that decided."""

SCALES = {
    scale.name: scale
    for scale in (
        Scale(
            "gpu",
            twin="full",
            backbones=("resnet50", "vit-b-16"),
            height=288,
            width=144,
            precision="bf16",
            identities=8,
            images=4,
            budgets={SYSU: Budget(20, 20, (0, 1, 2), draws=BOTH_DRAWS), REGDB: Budget(10, 20, (0,), trials=(1,))},
            common=CLIPPED,
        ),
        Scale(
            "cpu",
            twin="small",
            backbones=SLIM,
            height=96,
            width=48,
            identities=4,
            images=4,
            budgets={SYSU: Budget(40, 50, (0, 1, 2), draws=BOTH_DRAWS), REGDB: Budget(40, 50, (0,), trials=(1,))},
            common=CLIPPED,
            common_backbone=True,
        ),
        Scale(
            "tiny",
            twin="tiny",
            backbones=SLIM,
            height=64,
            width=32,
            identities=2,
            images=2,
            budgets={SYSU: Budget(2, 1, (0, 1, 2)), REGDB: Budget(2, 1, (0,), trials=(1,))},
        ),
    )
}
