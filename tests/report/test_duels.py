"""Two methods head to head: the same queries, and thumbnails of those that differ most."""

from __future__ import annotations

import base64
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.records.made import make_evaluation, make_per_query, make_record
from tests.report.test_frames import lines_of
from vibench.datasets.index import test_rows as rows_of_test
from vibench.datasets.registry import get_dataset
from vibench.evaluation.draws import draw_trials
from vibench.evaluation.images import Images, images_of
from vibench.evaluation.result import PerQuery
from vibench.leaderboard.board import build_boards
from vibench.protocols import load_protocol
from vibench.records.outcomes import read_outcomes
from vibench.records.store import find_records, write_record
from vibench.report.duels import duel
from vibench.report.frames import board_lines


def test_methods_asked_the_same_are_compared_best_first(tmp_path: Path) -> None:
    board, lines = lines_of(tmp_path, make_record("agw", 0.4), make_record("hct", 0.6))
    found, problem = duel(lines, board, None)
    assert found is not None and not problem
    assert found["names"] == ["hct", "agw"] and found["pid"] == [6, 6, 10, 17] and found["camera"] == [3, 6, 3, 6]
    trials = [make_per_query(seed) for seed in range(2)]
    expected = np.round(1000 * (trials[0].ap + trials[1].ap) / 2)
    assert found["ap"][0] == found["ap"][1] == [*expected[:3], None]
    assert found["thumbnails"] == {}


def test_methods_of_one_name_stand_apart(tmp_path: Path) -> None:
    records = [make_record("mine", 0.4, source="features"), make_record("mine", 0.6, source="features")]
    for record, shift in zip(records, (0, 4), strict=True):
        write_record(tmp_path, record, [make_per_query(seed + shift) for seed in range(2)])
    outcomes, _ = read_outcomes(find_records(tmp_path)[0])
    (board,) = build_boards(records, [])
    found, _ = duel(board_lines(board, outcomes), board, None)
    assert found is not None and found["names"] == [f"mine [{record.id}]" for record in records[::-1]]
    assert found["ap"][0] != found["ap"][1]


def test_one_method_and_methods_asked_otherwise_are_no_duel(tmp_path: Path) -> None:
    board, lines = lines_of(tmp_path / "one", make_record("agw"))
    assert duel(lines, board, None) == (None, "")
    records = [make_record("agw", 0.4), make_record("hct", 0.6)]
    for record, shift in zip(records, (0, 1), strict=True):
        trials = [replace(trial, pid=trial.pid + shift) for trial in map(make_per_query, range(2))]
        write_record(tmp_path / "two", record, trials)
    found, _ = find_records(tmp_path / "two")
    outcomes, _ = read_outcomes(found)
    (board,) = build_boards(found.values(), [])
    assert duel(board_lines(board, outcomes), board, None) == (None, "")


@pytest.fixture
def asked(sysu_twin: Path, tmp_path: Path) -> tuple[Path, Images, np.ndarray]:
    """A folder with two records of the tiny twin's queries, these images, and the rows of the queries."""
    dataset, protocol = get_dataset("sysu-mm01-twin"), load_protocol("sysu-all")
    index = rows_of_test(dataset.index(sysu_twin))
    images = images_of(index)
    rows = images.ordered(draw_trials(protocol, images, "seeded")[0].query)
    random = np.random.default_rng(0)
    for method, r1 in (("agw", 0.4), ("hct", 0.6)):
        ap = random.random(len(rows))
        trial = PerQuery(ap, ap, np.ones(len(rows), np.int32), images.pids[rows], images.cameras[rows])
        (score,) = make_evaluation(r1, trial_count=1).trials
        trials = (replace(score, queries=len(rows), valid_queries=len(rows)),)
        record = make_record(method, r1, trial_count=1, trials=trials, dataset_version=dataset.version(sysu_twin))
        write_record(tmp_path, record, [trial])
    return tmp_path, images, rows


def test_thumbnails_are_the_queries_that_differ_most(asked: tuple[Path, Images, np.ndarray], sysu_twin: Path) -> None:
    folder, images, rows = asked
    found, _ = find_records(folder)
    outcomes, problems = read_outcomes(found)
    assert not problems
    (board,) = build_boards(found.values(), [])
    result, problem = duel(board_lines(board, outcomes), board, sysu_twin.parent)
    assert result is not None and not problem
    apart = np.argsort(np.array(result["ap"][0]) - np.array(result["ap"][1]), kind="stable")
    assert set(result["thumbnails"]) == {*apart[:5].tolist(), *apart[-5:].tolist()}
    query = int(apart[0])
    assert images.paths is not None
    with Image.open(sysu_twin / str(images.paths[rows[query]])) as whole:
        whole.thumbnail((64, 64))
        kind, _, content = result["thumbnails"][query].partition(";base64,")
        with Image.open(io.BytesIO(base64.b64decode(content))) as small:
            assert kind == "data:image/jpeg" and small.size == whole.size
            assert np.abs(np.asarray(small, np.float64) - np.asarray(whole.convert("RGB"), np.float64)).mean() < 8


def test_thumbnails_of_files_that_are_spelled_otherwise(
    asked: tuple[Path, Images, np.ndarray], sysu_twin: Path, tmp_path: Path
) -> None:
    folder, _, _ = asked
    root = shutil.copytree(sysu_twin, tmp_path / "images" / "sysu-mm01-twin")
    for camera in ("cam3", "cam6"):
        (root / camera).rename(root / camera.upper())
    records, _ = find_records(folder)
    outcomes, _ = read_outcomes(records)
    (board,) = build_boards(records.values(), [])
    result, problem = duel(board_lines(board, outcomes), board, root.parent)
    assert result is not None and not problem and result["thumbnails"]


def test_other_images_are_no_thumbnails_and_it_says_why(asked: tuple[Path, Images, np.ndarray], tmp_path: Path) -> None:
    folder, _, _ = asked
    found, _ = find_records(folder)
    outcomes, _ = read_outcomes(found)
    (board,) = build_boards(found.values(), [])
    result, problem = duel(board_lines(board, outcomes), board, tmp_path)
    assert result is not None and result["thumbnails"] == {}
    assert problem == f"no thumbnails for sysu-mm01-twin, sysu-all: there is no folder {tmp_path / 'sysu-mm01-twin'}"
