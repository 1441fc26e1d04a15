"""The plan of ``python -m tests.benchmarks.gpu_board``, which takes too long to be run here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.board.rows import BASELINES, plan_toml, sysu_rows
from tests.benchmarks.board.scale import REGDB, SCALES, SYSU, Scale
from tests.methods.built_in import BUILT_IN
from vibench.methods.recipe import load_recipe
from vibench.sweep.plan import read_plan


@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda scale: scale.name)
def test_every_method_trains_equally_long_from_a_sound_plan(scale: Scale, tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text(plan_toml(scale, {SYSU: "s", REGDB: "r"}, out="o", leaderboards="l", pretrained="none", workers=2))
    plan = read_plan(path)
    steps: dict[str, set[int]] = {}
    trained: dict[str, set[str]] = {}
    for entry in plan.jobs:
        (name,), (dataset,) = entry.methods, entry.datasets
        method, _, variant = name.partition(":")
        recipe = load_recipe(method, variant, dataset, (*plan.sweep.set, *entry.set))
        steps.setdefault(dataset, set()).add(recipe.schedule.epochs * recipe.sampler.batches_per_epoch)
        trained.setdefault(dataset, set()).add(name)
        milestones = recipe.schedule.milestones
        assert recipe.schedule.decay == "cosine" or all(milestone > 0 for milestone in milestones)
    assert steps == {dataset: {budget.steps} for dataset, budget in scale.budgets.items()}
    assert all(set(BUILT_IN) <= names for names in trained.values())


def test_every_method_stands_beside_its_baseline() -> None:
    names = {row.name for row in sysu_rows()}
    assert set(BASELINES) == set(BUILT_IN) - {"baseline"}
    assert {*BASELINES, *BASELINES.values()} <= names
