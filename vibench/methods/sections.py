"""A recipe as typed dataclasses: every hyper-parameter of one training run.

The defaults are "the AGW code line": the training recipe of the official code of AGW, which most methods share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from vibench.data.sections import AugmentationRecipe, InputRecipe, SamplerRecipe, at_least


@dataclass(frozen=True)
class OptimizerRecipe:
    """One optimiser; a method's parameter groups multiply the learning rate."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    """Update rule."""
    lr: float = 0.1
    """Learning rate after the warm-up, of groups with factor 1."""
    backbone_lr_factor: float = 0.1
    """Learning-rate factor of everything but the newly initialised head."""
    momentum: float = 0.9
    """Of sgd."""
    nesterov: bool = True
    """Of sgd."""
    weight_decay: float = 5e-4
    """On every trainable parameter, norm layers included."""
    clip_grad_norm: float = 0.0
    """0: no clipping."""
    precision: Literal["fp32", "fp16", "bf16"] = "fp32"
    """Of matrix products and convolutions: that of the official code; ``--amp auto`` takes it."""

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"'lr' must be above 0, not {self.lr}.")
        at_least(self, 0, "backbone_lr_factor", "momentum", "weight_decay", "clip_grad_norm")
        if self.momentum >= 1:
            raise ValueError(f"'momentum' must be below 1, not {self.momentum}.")
        if self.name == "sgd" and self.nesterov and self.momentum == 0:
            raise ValueError("'nesterov' needs a 'momentum' above 0; set nesterov to false.")


@dataclass(frozen=True)
class ScheduleRecipe:
    """Learning rate per epoch: linear warm-up, then a factor at each milestone, or a cosine."""

    epochs: int = 81
    """Passes of the sampler."""
    warmup_epochs: int = 10
    """Epoch e < warmup_epochs has the rate lr * (e + 1) / warmup_epochs."""
    milestones: tuple[int, ...] = (20, 50)
    """Epochs (from 0) that begin with a rate multiplied by gamma."""
    gamma: float = 0.1
    """Factor at each milestone."""
    factors: tuple[float, ...] = ()
    """In place of gamma: the share of lr that holds from each milestone on, one per milestone."""
    decay: Literal["milestones", "cosine", "whole-cosine"] = "milestones"
    """What follows the warm-up: steps at the milestones; half a cosine from lr down to lr * final_factor; or half a
    cosine over all epochs down to 0, whose beginning the warm-up takes the place of."""
    final_factor: float = 0.01
    """Rate of the last epoch as a share of lr; of cosine."""
    floor: float | None = None
    """Lowest rate of every parameter group, whatever its factor: only what a group has above it warms up and decays."""

    def __post_init__(self) -> None:
        at_least(self, 1, "epochs")
        if self.floor is not None:
            at_least(self, 0, "floor")
        if not 0 <= self.final_factor <= 1:
            raise ValueError(f"'final_factor' must be from 0 to 1, not {self.final_factor}.")
        at_least(self, 0, "warmup_epochs")
        ascending = all(a < b for a, b in zip((0, *self.milestones), self.milestones, strict=False))
        if not ascending:
            raise ValueError(f"'milestones' must be ascending epochs above 0, not {list(self.milestones)}.")
        if not self.gamma > 0:
            raise ValueError(f"'gamma' must be above 0, not {self.gamma}.")
        if self.factors and len(self.factors) != len(self.milestones):
            raise ValueError(
                f"'factors' must hold one factor for each of the {len(self.milestones)} milestones, or none, not "
                f"{list(self.factors)}."
            )
        if not all(factor > 0 for factor in self.factors):
            raise ValueError(f"'factors' must be above 0, not {list(self.factors)}.")


@dataclass(frozen=True)
class Recipe:
    """The effective recipe of a run."""

    method: str
    variant: str
    """Resolved: the method's default variant stands by its name; empty for the method itself."""
    dataset: str
    model: Any
    """An instance of the method's ``options`` dataclass."""
    input: InputRecipe = field(default_factory=InputRecipe)
    sampler: SamplerRecipe = field(default_factory=SamplerRecipe)
    augmentation: AugmentationRecipe = field(default_factory=AugmentationRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    loss_weights: dict[str, float] = field(default_factory=dict)
    """Weight per loss name; a loss without entry has weight 1."""
