"""Recipes: every hyper-parameter of one training run, as typed dataclasses.

A method's ``recipe.toml`` holds the values for all data sets; ``[dataset.NAME]`` and ``[variants.NAME]`` tables
override them. The defaults of the dataclasses here are "the AGW code line" (spec sheet baseline.md, section 4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class InputRecipe:
    """How an image file becomes network input."""

    height: int = 288
    width: int = 144
    interpolation: Literal["lanczos", "bilinear"] = "lanczos"


@dataclass(frozen=True)
class SamplerRecipe:
    """Identity-balanced batches: P identities, K visible and K infrared images each."""

    identities: int = 8
    images: int = 4
    batches_per_epoch: int = 0
    """0: floor(max(#visible, #infrared) / (P*K)) + 1, the AGW code line."""


@dataclass(frozen=True)
class AugmentationRecipe:
    """Training-time image augmentation, applied per image on normalised floats."""

    pad: int = 10
    flip: float = 0.5
    erasing: float = 0.0
    """Probability of random erasing (after normalisation, filled with 0, the mean colour)."""
    erasing_area: tuple[float, float] = (0.02, 0.4)
    erasing_aspect: tuple[float, float] = (0.3, 1 / 0.3)


@dataclass(frozen=True)
class OptimizerRecipe:
    """One optimiser; a method's parameter groups multiply the learning rate."""

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float = 0.1
    backbone_lr_factor: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    clip_grad_norm: float = 0.0
    """0: no clipping."""


@dataclass(frozen=True)
class ScheduleRecipe:
    """Learning rate per epoch: linear warm-up, then a factor gamma at each milestone."""

    epochs: int = 81
    warmup_epochs: int = 10
    milestones: tuple[int, ...] = (20, 50)
    gamma: float = 0.1


@dataclass(frozen=True)
class Recipe:
    """The effective recipe of a run."""

    method: str
    variant: str
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
