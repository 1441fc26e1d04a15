"""Training on several data sets, and testing on another, as a user does it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.cli.quick import QUICK

Run = Callable[..., "CompletedProcess[str]"]


@pytest.fixture
def data(sysu_twin: Path, regdb_twin: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for twin in (sysu_twin, regdb_twin):
        (folder / twin.name).symlink_to(twin)
    return folder


def test_several_to_train_on_and_one_to_test_on(vibench: Run, data: Path, tmp_path: Path) -> None:
    asked = ("--dataset", "regdb-twin", "--dataset", "sysu-mm01-twin")
    begun = vibench("train", "baseline", *asked, *QUICK, "--out", "run")
    assert begun.returncode == 0, begun.stderr
    assert "next: vibench eval run --dataset sysu-mm01-twin --protocol sysu-all" in begun.stdout
    together = vibench("eval", "run", "--protocol", "sysu-all")
    assert together.returncode == 2 and "--dataset sysu-mm01-twin" in together.stderr
    told = vibench("doctor", "run")
    assert "next: vibench eval run --dataset sysu-mm01-twin --protocol sysu-all" in told.stdout
    assert "next: vibench extract run --dataset sysu-mm01-twin -o features.npz" in told.stdout
    tested = vibench("eval", "run", "--dataset", "sysu-mm01-twin", "--protocol", "sysu-all", "--json", "r.json")
    assert tested.returncode == 0, tested.stderr
    (record,) = json.loads((tmp_path / "r.json").read_text())
    assert record["run"]["trained_on"] == "sysu-mm01-twin+regdb-twin tiny-s0-r1+tiny-s0-r2 split 1"
    boards = vibench("leaderboard", "--only", "source=trained")
    assert boards.returncode == 0, boards.stderr
    (page,) = (tmp_path / "leaderboards" / "sysu-mm01-twin").glob("*-from-*.md")
    assert "tiny-s0-r2 split 1 → sysu-mm01-twin tiny-s0-r1 (synthetic data)" in page.read_text().replace("\n", " ")


@pytest.mark.slow
def test_what_is_next_of_a_model_per_split_works(vibench: Run, data: Path) -> None:
    asked = ("--dataset", "regdb-twin", "--dataset", "sysu-mm01-twin", "--trial", "all")
    begun = vibench("train", "baseline", *asked, *QUICK, "--out", "run")
    told = vibench("doctor", "run")
    for text in (begun.stdout, told.stdout):
        for line in (line for line in text.splitlines() if line.startswith("next: vibench ")):
            done = vibench(*line.removeprefix("next: vibench ").split())
            assert done.returncode == 0, done.stderr
    assert told.stdout.count("next: vibench ") == 2
    unsaid = vibench("eval", "run", "--protocol", "regdb-v2t")
    assert unsaid.returncode == 2 and "--dataset regdb-twin" in unsaid.stderr


def test_what_cannot_be_is_refused_before_anything_is_written(vibench: Run, data: Path, tmp_path: Path) -> None:
    twice = vibench("train", "baseline", "--dataset", "llcm", "--dataset", "llcm")
    assert twice.returncode == 2 and "name each data set once" in twice.stderr
    mixed = vibench("train", "baseline", "--dataset", "llcm", "--dataset", "regdb-twin")
    assert mixed.returncode == 2 and "train on data sets of one kind" in mixed.stderr
    both = ("--dataset", "sysu-mm01-twin", "--dataset", "regdb-twin")
    needs = vibench("train", "paenet", *both, "--pretrained", "none")
    assert needs.returncode == 2 and "trains on attributes, which are read of one data set" in needs.stderr
    elsewhere = vibench("train", "baseline", *both, "--root", "data/regdb-twin", *QUICK)
    assert elsewhere.returncode == 2 and "sysu-mm01-twin" in elsewhere.stderr
    assert not (tmp_path / "runs").exists()
