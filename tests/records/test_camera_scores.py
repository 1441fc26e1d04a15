"""Scores by camera against plain loops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.records.made import make_per_query
from vibench.records.camera_scores import camera_scores, pair_scores


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
