"""The demo's plan: made once from what was measured, taken again from then on."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.test_run import interrupting_progress
from vibench import demo
from vibench.datasets.index import test_rows as rows_of_test
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError
from vibench.files.json_table import read_json_table, write_json_table
from vibench.training.interrupt import TrainingInterrupted
from vibench.training.pace import Pace, Work

PLAN = demo.Plan("demo", 3, 2.0, 20, 1, {"baseline": Pace(0.25, 1.5)})


@pytest.fixture
def begun(tmp_path: Path, sysu_twin: Path) -> Path:
    """A demo's folder with its people rendered, tiny ones."""
    shutil.copytree(sysu_twin, tmp_path / "demo" / "data" / demo.DATASET)
    return tmp_path / "demo"


def session(out: Path, say: Callable[[str], None], scale: str = "demo") -> demo._Session:
    return demo._Session(out, scale, 0, "cpu", "off", demo.silent, say)


def test_a_plan_is_taken_again_and_no_other_begun_in_its_place(tmp_path: Path) -> None:
    assert demo.begun_plan(tmp_path, 5.0, "demo", 3) is None
    write_json_table(tmp_path / "demo.json", PLAN)
    assert demo.begun_plan(tmp_path, None, "demo", 3) == PLAN == demo.begun_plan(tmp_path, 2.0, "demo", 3)
    for asked, sentence in (
        ((5.0, "demo", 3), "was begun with --minutes 2, not 5; repeat that, or name another folder with --out"),
        ((None, "tiny", 3), "--scale demo, not tiny"),
        ((2.0, "demo", 0), "--seed 3, not 0"),
    ):
        with pytest.raises(UsageError, match=sentence):
            demo.begun_plan(tmp_path, *asked)


@pytest.mark.parametrize("minutes", [0.4, 61.0, float("nan"), float("inf"), -2.0])
def test_a_budget_out_of_bounds_is_refused(tmp_path: Path, minutes: float) -> None:
    with pytest.raises(UsageError, match=r"a demo takes 0\.5 to 60 minutes"):
        demo.begun_plan(tmp_path, minutes, "demo", 0)


def test_a_damaged_plan_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "demo.json").write_text(
        json.dumps({"scale": "demo", "seed": 0, "minutes": 2, "batches_per_epoch": 0, "threads": 1})
    )
    with pytest.raises(UsageError, match=r"demo\.json.*'batches_per_epoch' and 'threads' must be at least 1"):
        demo.begun_plan(tmp_path, None, "demo", 0)


def test_the_plan_fills_what_the_budget_has_left(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paces = {"baseline": Pace(0.05, 1.0), "agw": Pace(0.07, 1.0)}
    monkeypatch.setattr(demo, "quickest_threads", lambda: 2)
    monkeypatch.setattr(demo, "measure_pace", lambda spec, *_: paces[spec.recipe.method])
    said: list[str] = []
    start = time.monotonic()
    plan = demo._measured_plan(session(begun, said.append), 2.0, start - 30.0)
    took = time.monotonic() - start
    assert plan == replace(PLAN, seed=0, batches_per_epoch=plan.batches_per_epoch, threads=2, pace=paces)
    tests = len(rows_of_test(get_dataset(demo.DATASET).index(begun / "data" / demo.DATASET)))
    work = Work(demo.EPOCHS, 32, tests)
    # 30 s are spent, and 6 are kept for evaluation, boards and page.
    assert work.seconds(plan.batches_per_epoch, list(paces.values())) <= 84.0
    assert work.seconds(plan.batches_per_epoch + 1, list(paces.values())) > 84.0 - took
    assert not any("too few" in line for line in said)


def test_a_machine_too_slow_for_the_budget_is_told_so(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "measure_pace", lambda *_: Pace(5.0, 1.0))
    said: list[str] = []
    plan = demo._measured_plan(session(begun, said.append), 0.5, time.monotonic())
    assert plan.batches_per_epoch == demo.FEWEST_BATCHES
    assert f"only {plan.steps} steps of training fit into 0.5 minutes here, too few to learn much" in said[-1]


def test_nothing_is_measured_where_the_budget_is_spent(begun: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "measure_pace", lambda *_: pytest.fail("measured"))
    plan = demo._measured_plan(session(begun, lambda line: None), 0.5, time.monotonic() - 30.0)
    assert plan == demo.Plan("demo", 0, 0.5, demo.FEWEST_BATCHES, torch.get_num_threads())


def test_stopped_by_hand_it_says_how_to_go_on(begun: Path) -> None:
    drawn = []
    with pytest.raises(TrainingInterrupted, match="the same command goes on"):
        demo.run_demo(
            begun,
            scale="tiny",
            device="cpu",
            progress=interrupting_progress(after=2),
            say=lambda line: None,
            show=lambda picture, captions: drawn.append((picture.size, captions)),
        )
    assert drawn == [((78, 32), ["day 1", "day 2", "night 3", "day 4", "day 5", "night 6"])]
    assert read_json_table(demo.Plan, begun / "demo.json") == demo.Plan(
        "tiny", 0, demo.MINUTES, demo.FEWEST_BATCHES, torch.get_num_threads()
    )


def test_without_the_libraries_of_the_page_there_is_none_and_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said: list[str] = []
    assert demo._write_page(session(tmp_path, said.append)) is None
    assert len(said) == 1 and said[0].startswith("without a page: ") and "pip install 'vibench[report]'" in said[0]
    assert not (tmp_path / "report.html").exists()
