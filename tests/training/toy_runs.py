"""Short runs of the toy method, for tests of what follows training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.training import toy  # noqa: F401  (registers the method)
from vibench.methods.recipe import load_recipe
from vibench.training.run import train
from vibench.training.spec import TrainingSpec


def train_toy(dataset: str, root: Path, folder: Path, settings: Sequence[str], trial: int | None = None) -> Path:
    """Train into ``folder`` with changes ``settings`` of the recipe; returns it."""
    recipe = load_recipe("toy", "", dataset, settings)
    return train(TrainingSpec(recipe, root, trial, 0, "off", "none", folder), device="cpu").path


def train_toy_trials(root: Path, folder: Path, settings: Sequence[str]) -> Path:
    """Train on the first two splits of the RegDB twin at ``root``; returns the folder of both runs."""
    for trial in (1, 2):
        train_toy("regdb-twin", root, folder / f"trial-{trial:02d}", settings, trial)
    return folder
