"""The plan of ``python -m tests.benchmarks.gpu_board``, which takes too long to be run here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.benchmarks.board.artefacts import finished_runs
from tests.benchmarks.board.contests import CONTESTS, Ranking
from tests.benchmarks.board.rows import BASELINES, between_rows, plan_toml, sysu_rows
from tests.benchmarks.board.scale import REGDB, SCALES, SYSU, Scale
from tests.methods.built_in import BUILT_IN
from tests.records.scored import scored_record
from vibench.methods.recipe import load_recipe, recipe_sha256
from vibench.records.store import write_record
from vibench.sweep.plan import read_plan


@pytest.mark.parametrize("scale", SCALES.values(), ids=lambda scale: scale.name)
def test_every_method_trains_equally_long_from_a_sound_plan(scale: Scale, tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    starts = {scale.backbones[1]: "transformer.pt"}
    path.write_text(plan_toml(scale, {SYSU: "s", REGDB: "r"}, out="o", leaderboards="l", starts=starts, workers=2))
    plan = read_plan(path)
    started = {name for entry in plan.jobs for name in entry.methods if entry.pretrained == "transformer.pt"}
    assert started == {"pmt", "pmt:base"}
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


def test_what_is_recorded_already_is_left_out(tmp_path: Path) -> None:
    record, outcomes = scored_record("agw", 1)
    sha256 = recipe_sha256(load_recipe("agw", "", SYSU, SCALES["cpu"].settings("agw", "", SYSU)))
    record = replace(record, run=replace(record.run, recipe_sha256=sha256, seed=1))
    write_record(tmp_path, record, outcomes)
    finished = finished_runs(tmp_path)
    assert finished == {(sha256, 1)}
    roots = {SYSU: "s", REGDB: "r"}
    text = plan_toml(SCALES["cpu"], roots, out="o", leaderboards="l", starts={}, workers=1, finished=finished)
    (tmp_path / "board.toml").write_text(text)
    jobs = read_plan(tmp_path / "board.toml").jobs
    seeds = {
        (entry.methods, entry.datasets): sorted(
            seed
            for other in jobs
            if (other.methods, other.datasets) == (entry.methods, entry.datasets)
            for seed in other.seeds
        )
        for entry in jobs
    }
    assert seeds[("agw",), (SYSU,)] == [0, 2] and seeds[("agw",), (REGDB,)] == [0]
    assert seeds[("caj",), (SYSU,)] == [0, 1, 2]


def test_every_method_stands_beside_its_baseline() -> None:
    names = {row.name for row in sysu_rows()}
    assert set(BASELINES) == set(BUILT_IN) - {"baseline"}
    assert {*BASELINES, *BASELINES.values()} <= names


def test_what_is_compared_is_evaluated() -> None:
    rows = {row.name: row for row in (*sysu_rows(), *between_rows())}
    for ranking in {side for contest in CONTESTS for side in (contest.first, contest.second)}:
        row = rows[ranking.name]
        assert ranking.query_mode in row.query_modes
        assert ranking.feature in row.features
        assert ranking.attributes in ("", *row.test_attributes)
    assert {contest.first.name for contest in CONTESTS if contest.headline} == set(BASELINES)


def test_rankings_find_their_records_by_variant_query_mode_attributes_and_feature() -> None:
    record, _ = scored_record("paenet", 0)
    kinds = [
        {"test_attributes": "pred"},
        {"test_attributes": "gt"},
        {"test_attributes": "pred", "query_mode": "single"},
        {"test_attributes": "pred", "feature": "id"},
        {"test_attributes": "pred", "variant": "pae"},
    ]
    stored = {Path(str(number)): replace(record, **kind) for number, kind in enumerate(kinds)}
    rankings = (
        Ranking("paenet"),
        Ranking("paenet", attributes="gt"),
        Ranking("paenet", query_mode="single"),
        Ranking("paenet", feature="id"),
        Ranking("paenet:pae"),
    )
    assert [list(ranking.of(stored)) for ranking in rankings] == [[path] for path in stored]
    assert Ranking("baseline").of({Path("b"): replace(record, method="baseline", variant="b", test_attributes="")})


@pytest.mark.parametrize("method", BUILT_IN)
def test_what_a_recipe_optimises_and_how_is_its_paper_s(method: str) -> None:
    own = load_recipe(method, "", SYSU)
    board = load_recipe(method, "", SYSU, SCALES["cpu"].settings(method, "", SYSU))
    assert board.optimizer == replace(own.optimizer, precision="fp32", clip_grad_norm=5.0)
    assert board.loss_weights == own.loss_weights
    slim = "vit-slim" if method == "pmt" else "resnet18-slim"
    assert vars(board.model) == {**vars(own.model), "backbone": slim}
    scaled = {"pad": 0, "visible_grey_epochs": None}
    assert replace(board.augmentation, **scaled) == replace(own.augmentation, **scaled)
    assert bool(board.augmentation.pad) == bool(own.augmentation.pad)
    if own.augmentation.visible_grey_epochs is not None:
        assert board.augmentation.visible_grey_epochs == 10
    assert board.schedule.warmup_epochs / board.schedule.epochs == pytest.approx(
        own.schedule.warmup_epochs / own.schedule.epochs, abs=0.5 / board.schedule.epochs
    )
