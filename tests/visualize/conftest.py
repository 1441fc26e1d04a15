"""Runs of one step on the tiny twins, made once per module."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.caches import cache_folder as cache_folder
from tests.training.toy_runs import train_toy, train_toy_trials

SETTINGS = (
    "batches_per_epoch=1",
    "schedule.epochs=1",
    "identities=4",
    "sampler.images=2",
    "input.height=64",
    "input.width=32",
)


@pytest.fixture(scope="module")
def sysu_run(sysu_twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_toy("sysu-mm01-twin", sysu_twin, tmp_path_factory.mktemp("runs") / "sysu", SETTINGS)


@pytest.fixture(scope="module")
def regdb_runs(regdb_twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_toy_trials(regdb_twin, tmp_path_factory.mktemp("runs") / "regdb", SETTINGS)
