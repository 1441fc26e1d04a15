"""Breakdowns: parts that are right and add up to the whole, of older records too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.records.scored import runs, scored_record, seeds
from vibench.records.comparison import compare
from vibench.records.significance import Resampling

QUICK = Resampling(resamples=400)


def test_parts_add_up_and_are_right(tmp_path: Path) -> None:
    written = scored_record("one", 0, 0.8), scored_record("other", 0, 0.4)
    (pair,) = compare([runs(tmp_path, w[0].method, w) for w in written], QUICK).pairs
    parts = {(part.by, part.name, part.metric): part for part in pair.parts}
    assert {key[:2] for key in parts} == {
        *(("query camera", camera) for camera in (3, 6)),
        *(("gallery camera", camera) for camera in (1, 4)),
        *(("trial", trial) for trial in (0, 1)),
    }
    for trial in (0, 1):
        part = parts["trial", trial, "map"]
        values = [record.trials[trial].map for record, _ in written]
        assert (part.first, part.second) == pytest.approx(values)
        assert part.difference == pytest.approx(values[0] - values[1])
    for camera in (3, 6):
        part = parts["query camera", camera, "r1"]
        values = [
            np.mean([np.mean(outcome.first_hit[outcome.camera == camera] == 1) for outcome in outcomes])
            for _, outcomes in written
        ]
        assert (part.first, part.second) == pytest.approx(values)
        assert part.queries == {3: 8, 6: 4}[camera]
    for column, camera in enumerate((1, 4)):
        part = parts["gallery camera", camera, "map"]
        values = [np.mean([outcome.camera_ap[:, column] for outcome in outcomes]) for _, outcomes in written]
        assert (part.first, part.second) == pytest.approx(values)
        part = parts["gallery camera", camera, "r1"]
        hits = [np.mean([outcome.camera_first_hit[:, column] == 1 for outcome in outcomes]) for _, outcomes in written]
        assert (part.first, part.second) == pytest.approx(hits)
    counts = [parts["query camera", camera, "map"] for camera in (3, 6)]
    whole = sum(part.difference * part.queries for part in counts) / sum(part.queries for part in counts)
    assert whole == pytest.approx(pair.differences[0].difference)


def test_records_without_gallery_cameras_are_compared_all_the_same(tmp_path: Path) -> None:
    record, outcomes = scored_record("old", 0)
    bare = tuple(replace(outcome, gallery_camera=None, camera_ap=None, camera_first_hit=None) for outcome in outcomes)
    result = compare([runs(tmp_path, "old", (record, bare)), seeds(tmp_path, "new", 1, 0.5)], QUICK)
    assert {part.by for part in result.pairs[0].parts} == {"query camera", "trial"}
    assert any("no breakdown by gallery camera" in note for note in result.notes)
