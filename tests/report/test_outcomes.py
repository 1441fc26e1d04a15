"""What the page reads beside the records: links and scores by camera."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from tests.records.made import make_per_query, make_record
from tests.report.scenes import put
from vibench.records.store import record_path, write_record
from vibench.report.outcomes import camera_scores, pair_scores, read_outcomes, relative_link


def test_scores_by_camera_are_means_over_queries_then_trials() -> None:
    trials = [make_per_query(seed) for seed in range(3)]
    found = camera_scores(trials)
    assert list(found) == [3, 6]
    for camera, score in found.items():
        r1, ap = [], []
        for trial in trials:
            rows = [row for row in range(4) if trial.camera[row] == camera and trial.first_hit[row] > 0]
            r1.append(np.mean([trial.first_hit[row] == 1 for row in rows]))
            ap.append(np.mean([trial.ap[row] for row in rows]))
        assert score[0] == pytest.approx(100 * np.mean(r1))
        assert score[1] == pytest.approx(100 * np.mean(ap))


def test_scores_by_pair_of_cameras_count_the_queries_with_a_match_there() -> None:
    nan = np.nan
    trial = replace(
        make_per_query(0),
        gallery_camera=np.array([1, 2]),
        camera_ap=np.array([[0.5, nan], [0.2, 1.0], [1.0, nan], [nan, nan]]),
        camera_first_hit=np.array([[2, 0], [3, 1], [1, 0], [0, 0]], np.int32),
    )
    found = dict(pair_scores([trial, trial]))
    assert found.keys() == {(3, 1), (6, 1), (6, 2)}
    assert found[3, 1] == pytest.approx((50.0, 75.0))
    assert found[6, 1] == pytest.approx((0.0, 20.0))
    assert found[6, 2] == pytest.approx((100.0, 100.0))
    assert pair_scores([trial, make_per_query(1)]) == {}


def test_links_lead_from_the_page_to_the_record(tmp_path: Path) -> None:
    record = make_record("<b>'\"&")
    folder = tmp_path / "my boards #1"
    put(folder, record)
    for page in (tmp_path / "report.html", tmp_path / "deep" / "er" / "report.html", folder / "records" / "x.html"):
        outcomes, _ = read_outcomes({record_path(folder, record): record}, page)
        link = outcomes[record.id].link
        assert (page.parent / unquote(link)).resolve() == record_path(folder, record).resolve()
        assert "#" not in link and " " not in link


def test_a_folder_cannot_pose_as_a_scheme(tmp_path: Path) -> None:
    link = relative_link(tmp_path / "javascript:alert(1)" / "a.json", tmp_path / "report.html")
    assert link.startswith("./") and ":" not in link


def test_a_moved_record_is_linked_and_its_missing_outcome_reported(tmp_path: Path) -> None:
    record = make_record()
    put(tmp_path, record)
    path = record_path(tmp_path, record)
    moved = tmp_path / "records" / "elsewhere" / path.name
    moved.parent.mkdir()
    path.rename(moved)
    outcomes, problems = read_outcomes({moved: record}, tmp_path / "report.html")
    assert outcomes[record.id].link == f"./records/elsewhere/{path.name}"
    assert not outcomes[record.id].cameras and len(problems) == 1 and "no such file" in problems[0]


def test_precisions_of_queries_are_means_over_the_trials_that_ask_the_same(tmp_path: Path) -> None:
    record = make_record(trial_count=3)
    trials = [make_per_query(seed) for seed in range(3)]
    # Of another train/test split, such as RegDB's.
    trials[2] = replace(trials[2], pid=trials[2].pid + 1)
    write_record(tmp_path, record, trials)
    outcomes, _ = read_outcomes({record_path(tmp_path, record): record}, tmp_path / "report.html")
    queries = outcomes[record.id].queries
    assert queries is not None
    np.testing.assert_allclose(queries.ap, (trials[0].ap + trials[1].ap) / 2)
    assert np.isnan(queries.ap[3]) and queries.pid.tolist() == trials[0].pid.tolist()
