"""What to train on what, and in which folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from vibench.datasets.registry import Dataset
from vibench.errors import UsageError
from vibench.methods.registry import build_method, get_method
from vibench.methods.sections import Recipe


@dataclass(frozen=True)
class TrainingSpec:
    """What to train on what."""

    recipe: Recipe
    """Names method, variant and data set."""
    root: Path | None = None
    """Folder of the data set; None: the default place of `vibench.datasets.registry.dataset_root`."""
    trial: int | None = None
    """Train/test split, from 1, of a data set that has several; None for the others."""
    seed: int = 0
    amp: str = "auto"
    """Precision; ``auto`` is the recipe's."""
    pretrained: str = "imagenet"
    """``imagenet``, ``none`` or the path of a weights file."""
    folder: Path | None = None
    """The run folder; None: `default_folder`."""
    attributes: Path | None = None
    """Attribute labels; None: those of the data set's folder."""
    heatmaps: Path | None = None
    """Keypoint heatmaps; None: those of the data set's folder."""
    compiled: bool = False
    """Train by code of `torch.compile`."""
    processes: int = 1
    """Processes that share each batch."""
    sync_batch_norm: bool = True
    """With several processes: batch norm by the statistics of the whole batch, not of each process's share."""
    deterministic: bool = False
    """Take algorithms that repeat themselves, on a GPU too."""
    tf32: bool = False
    """Let float32 products round to TF32 on a GPU."""
    allow_incomplete: bool = True
    """Train on a copy whose training split is not the whole one, which the run and its records then say; False refuses
    it, as the command line does unless told otherwise."""
    allow_incomplete_by: str = "--allow-incomplete"
    """What allows it where this was asked for, for the sentence."""


def default_folder(recipe: Recipe, seed: int, trial: int | None = None) -> Path:
    """``runs/<dataset>/<method>-<variant>-s<seed>``, and in it ``trial-NN`` for one of several splits."""
    parts = (recipe.method, recipe.variant, f"s{seed}")
    folder = Path("runs") / recipe.dataset / "-".join(part for part in parts if part)
    return folder if trial is None else folder / trial_name(trial)


def trial_name(trial: int) -> str:
    """The folder of one trial within the folder of all."""
    return f"trial-{trial:02d}"


def check_trial(dataset: Dataset, trial: int | None) -> None:
    if dataset.trials == 1 and trial is not None:
        raise UsageError(
            f"--trial {trial}: {dataset.name} has one train/test split and so one model; leave --trial out."
        )
    if dataset.trials > 1 and trial not in range(1, dataset.trials + 1):
        raise UsageError(f"--trial {trial}: {dataset.name} has the train/test splits 1 to {dataset.trials}.")


def training_needs(recipe: Recipe) -> frozenset[str]:
    """What the method trains on besides images in this variant; one that needs nothing is not built for it."""
    if not get_method(recipe.method).needs:
        return frozenset()
    with torch.device("meta"):
        return build_method(recipe, num_classes=2).needs
