"""Short runs of the toy method, for tests of what follows training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.training import toy  # noqa: F401  (registers the method)
from vibench.methods.recipe import load_recipe
from vibench.training.run import train
from vibench.training.spec import TrainingSpec

ONE_STEP = (
    "batches_per_epoch=1",
    "schedule.epochs=1",
    "identities=4",
    "sampler.images=2",
    "input.height=64",
    "input.width=32",
)


def train_toy(dataset: str, root: Path, folder: Path, settings: Sequence[str], trial: int | None = None) -> Path:
    """Train into ``folder`` with changes ``settings`` of the recipe; returns it."""
    recipe = load_recipe("toy", "", dataset, settings)
    return train(TrainingSpec(recipe, root, trial, 0, "off", "none", folder), device="cpu").path


def train_toy_trials(root: Path, folder: Path, settings: Sequence[str]) -> Path:
    """Train on the first two splits of the RegDB twin at ``root``; returns the folder of both runs."""
    for trial in (1, 2):
        train_toy("regdb-twin", root, folder / f"trial-{trial:02d}", settings, trial)
    return folder


@pytest.fixture(scope="module")
def sysu_run(sysu_twin: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A run on the tiny twin of SYSU-MM01, made once for a module, by its ``SETTINGS`` or in one step."""
    settings = getattr(request.module, "SETTINGS", ONE_STEP)
    return train_toy("sysu-mm01-twin", sysu_twin, tmp_path_factory.mktemp("runs") / "sysu", settings)


@pytest.fixture(scope="module")
def regdb_runs(regdb_twin: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """Runs on two splits of the tiny twin of RegDB, likewise."""
    settings = getattr(request.module, "SETTINGS", ONE_STEP)
    return train_toy_trials(regdb_twin, tmp_path_factory.mktemp("runs") / "regdb", settings)
