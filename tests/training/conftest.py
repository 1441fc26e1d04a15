"""A mini SYSU-MM01 on disk and the toy method to train on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.datasets import mini
from tests.training import toy, toy_inputs  # noqa: F401  (registers the methods)
from vibench.methods.recipe import load_recipe
from vibench.training.spec import TrainingSpec


@pytest.fixture(scope="session")
def sysu_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini.write_sysu(tmp_path_factory.mktemp("data") / "sysu-mm01")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One image cache for all tests of a session."""
    folder = tmp_path_factory.getbasetemp() / "image-cache"
    monkeypatch.setenv("VIBENCH_CACHE", str(folder))
    return folder


@pytest.fixture
def make_spec(sysu_root: Path, tmp_path: Path) -> Callable[..., TrainingSpec]:
    """A specification of a toy run in ``tmp_path / name``."""

    def make(name: str = "run", *overrides: str, **fields: object) -> TrainingSpec:
        recipe = load_recipe("toy", dataset="sysu-mm01", overrides=overrides)
        defaults = {"root": sysu_root, "pretrained": "none", "folder": tmp_path / name}
        return TrainingSpec(recipe, **{**defaults, **fields})  # type: ignore[arg-type]

    return make
