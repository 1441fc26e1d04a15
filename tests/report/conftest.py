"""Runs of one step on the tiny twins, made once per module."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training import toy  # noqa: F401  (registers the method)
from vibench.methods.recipe import load_recipe
from vibench.training.run import TrainingSpec, train

SETTINGS = (
    "batches_per_epoch=1",
    "schedule.epochs=1",
    "identities=4",
    "sampler.images=2",
    "input.height=64",
    "input.width=32",
)


@pytest.fixture(scope="module", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.getbasetemp() / "picture-cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIBENCH_CACHE", str(folder))
        yield folder


def _train(dataset: str, root: Path, folder: Path, trial: int | None = None) -> Path:
    recipe = load_recipe("toy", "", dataset, SETTINGS)
    return train(TrainingSpec(recipe, root, trial, 0, "off", "none", folder), device="cpu").path


@pytest.fixture(scope="module")
def sysu_run(sysu_twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _train("sysu-mm01-twin", sysu_twin, tmp_path_factory.mktemp("runs") / "sysu")


@pytest.fixture(scope="module")
def regdb_runs(regdb_twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "regdb"
    for trial in (1, 2):
        _train("regdb-twin", regdb_twin, folder / f"trial-{trial:02d}", trial)
    return folder
