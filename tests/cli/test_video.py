"""Video from the command line: a twin, its check, a run on it, features of tracklets, and what the doctor says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from tests.cli.quick import QUICK

Run = Callable[..., "CompletedProcess[str]"]
BOTH = ("--protocol", "hitsz-v2i", "--protocol", "hitsz-i2v")


@pytest.fixture
def data(hitsz_twin: Path, sysu_twin: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for twin in (hitsz_twin, sysu_twin):
        (folder / twin.name).symlink_to(twin)
    return folder


def test_a_twin_is_made_and_checked(vibench: Run, tmp_path: Path) -> None:
    asked = ("--scale", "tiny", "--size", "32x16", "--out", "data/hitsz-vcm-twin")
    made = vibench("data", "twin", "--dataset", "hitsz-vcm", *asked, "--preview", "sheet.png")
    assert made.returncode == 0, made.stderr
    assert "hitsz-vcm twin, scale tiny, seed 0" in made.stdout and (tmp_path / "sheet.png").is_file()
    checked = vibench("data", "check", "--dataset", "hitsz-vcm-twin")
    assert checked.returncode == 0 and "complete" in checked.stdout, checked.stdout
    told = vibench("doctor", "data/hitsz-vcm-twin")
    assert told.returncode == 0 and "copy of HITSZ-VCM twin" in told.stdout, told.stdout
    gone = next((tmp_path / "data/hitsz-vcm-twin/Test").rglob("1.jpg"))
    gone.unlink()
    incomplete = vibench("data", "check", "--dataset", "hitsz-vcm-twin")
    assert incomplete.returncode == 1 and gone.parent.parent.name in incomplete.stdout


def test_a_run_on_it_and_its_features(vibench: Run, data: Path, tmp_path: Path) -> None:
    trained = vibench("train", "baseline", "--dataset", "hitsz-vcm-twin", *QUICK, "--out", "run")
    assert trained.returncode == 0, trained.stderr
    assert "next: vibench eval run --protocol hitsz-v2i" in trained.stdout
    tested = vibench("eval", "run", *BOTH, "--json", "r.json")
    assert tested.returncode == 0, tested.stderr
    forth, back = json.loads((tmp_path / "r.json").read_text())
    assert [(one["protocol"], one["trials"][0]["queries"]) for one in (forth, back)] == [
        ("hitsz-v2i", 15),
        ("hitsz-i2v", 15),
    ]
    assert vibench("extract", "run", "-o", "f.npz").returncode == 0
    with np.load(tmp_path / "f.npz") as stored:
        arrays = dict(stored)
    assert len(arrays["features"]) == 30
    again = vibench("eval", "--features", "f.npz", "--name", "f", *BOTH, "--json", "f.json")
    assert again.returncode == 0, again.stderr
    assert [one["mean"] for one in json.loads((tmp_path / "f.json").read_text())] == [forth["mean"], back["mean"]]
    # Of two sides without names, as the authors' script has them in memory: one protocol at a time.
    sides = {}
    for side, folder in (("query", "rgb"), ("gallery", "ir")):
        rows = [row for row, name in enumerate(arrays["paths"]) if f"/{folder}/" in str(name)]
        parts = [str(arrays["paths"][row]).split("/") for row in rows]
        sides[f"{side}_features"] = arrays["features"][rows]
        sides[f"{side}_pids"] = np.array([int(part[1]) for part in parts])
        sides[f"{side}_camids"] = np.array([int(part[3][1:]) for part in parts])
    np.savez(tmp_path / "sides.npz", **sides)
    asked = ("--features", "sides.npz", "--name", "sides", "--protocol", "hitsz-v2i", "--dataset", "hitsz-vcm-twin")
    labelled = vibench("eval", *asked, "--json", "sides.json")
    assert labelled.returncode == 0, labelled.stderr
    assert json.loads((tmp_path / "sides.json").read_text())[0]["mean"] == pytest.approx(forth["mean"])
    boards = vibench("leaderboard", "--only", "source=trained")
    assert boards.returncode == 0, boards.stderr
    assert (tmp_path / "leaderboards/hitsz-vcm-twin").is_dir()


def test_a_run_on_images_is_tested_on_it(vibench: Run, data: Path, tmp_path: Path) -> None:
    trained = vibench("train", "baseline", "--dataset", "sysu-mm01-twin", *QUICK, "--out", "run")
    assert trained.returncode == 0, trained.stderr
    tested = vibench("eval", "run", "--dataset", "hitsz-vcm-twin", "--protocol", "hitsz-i2v", "--json", "r.json")
    assert tested.returncode == 0, tested.stderr
    (record,) = json.loads((tmp_path / "r.json").read_text())
    assert record["dataset"] == "hitsz-vcm-twin" and record["run"]["trained_on"] == "sysu-mm01-twin tiny-s0-r1"


def test_another_layout_of_video(vibench: Run, bupt_twin: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/buptcampus-twin").symlink_to(bupt_twin)
    told = vibench("doctor", "data/buptcampus-twin")
    assert told.returncode == 0 and "copy of BUPTCampus twin" in told.stdout, told.stdout
    trained = vibench("train", "baseline", "--dataset", "buptcampus-twin", *QUICK, "--out", "run")
    assert trained.returncode == 0, trained.stderr
    asked = [f"bupt-{direction}{rule}" for direction in ("v2i", "i2v") for rule in ("", "-other-cameras")]
    protocols = [word for name in asked for word in ("--protocol", name)]
    tested = vibench("eval", "run", *protocols, "--json", "r.json")
    assert tested.returncode == 0, tested.stderr
    records = json.loads((tmp_path / "r.json").read_text())
    counts = [(one["protocol"], one["trials"][0]["queries"], one["trials"][0]["gallery"]) for one in records]
    assert counts == [(asked[0], 2, 12), (asked[1], 2, 12), (asked[2], 3, 13), (asked[3], 3, 13)]
    assert vibench("extract", "run", "-o", "f.npz").returncode == 0
    again = vibench("eval", "--features", "f.npz", "--name", "f", *protocols, "--json", "f.json")
    assert again.returncode == 0, again.stderr
    assert [one["mean"] for one in json.loads((tmp_path / "f.json").read_text())] == [one["mean"] for one in records]


def test_a_copy_without_a_frame_is_refused_before_anything_is_written(
    vibench: Run, hitsz_twin: Path, tmp_path: Path
) -> None:
    shutil.copytree(hitsz_twin, tmp_path / "data/hitsz-vcm-twin")
    next((tmp_path / "data/hitsz-vcm-twin/Train").rglob("1.jpg")).unlink()
    asked = ("train", "baseline", "--dataset", "hitsz-vcm-twin", *QUICK, "--out", "run")
    refused = vibench(*asked)
    assert refused.returncode == 2 and "the training split of hitsz-vcm-twin lacks" in refused.stderr
    assert not (tmp_path / "run").exists()
    assert vibench(*asked, "--allow-incomplete").returncode == 0
