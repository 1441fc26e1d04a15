"""Comparisons: right figures, refusal of what is not the same queries, and plain words about noise."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.records.scored import scored_record
from vibench.errors import UsageError
from vibench.evaluation.result import PerQuery
from vibench.leaderboard.comparison import Comparison, Resampling, compare
from vibench.records.schema import Record
from vibench.records.selection import Runs
from vibench.records.store import write_record

QUICK = Resampling(resamples=400)
Written = tuple[Record, tuple[PerQuery, ...]]


def runs(folder: Path, name: str, *written: Written) -> Runs:
    return Runs(name, {write_record(folder, record, outcomes): record for record, outcomes in written})


def seeds(folder: Path, method: str, count: int, skill: float, **changes: Any) -> Runs:
    return runs(folder, method, *(scored_record(method, seed, skill, **changes) for seed in range(count)))


def test_differences_are_those_of_the_records(tmp_path: Path) -> None:
    one, other = seeds(tmp_path, "one", 2, 0.8), seeds(tmp_path, "other", 3, 0.4)
    result = compare([one, other], QUICK)
    means = {
        metric: [np.mean([record.mean[metric] for record in side.records.values()]) for side in (one, other)]
        for metric in ("map", "r1")
    }
    (pair,) = result.pairs
    for found in pair.differences:
        ours, theirs = means[found.metric]
        assert found.difference == pytest.approx(ours - theirs, abs=1e-12)
        assert found.interval[0] <= found.difference <= found.interval[1]
        assert found.p == found.p_holm
    assert [side.mean("map") for side in result.sides] == pytest.approx(means["map"])
    assert (result.queries, result.identities, result.trials) == (12, 4, 2)


def test_swapping_sides_changes_signs_alone(tmp_path: Path) -> None:
    one, other = seeds(tmp_path, "one", 1, 0.8), seeds(tmp_path, "other", 1, 0.4)
    (there,), (back,) = compare([one, other], QUICK).pairs, compare([other, one], QUICK).pairs
    for found, reverse in zip(there.differences, back.differences, strict=True):
        assert reverse.difference == pytest.approx(-found.difference, abs=1e-15)
        assert reverse.interval == pytest.approx((-found.interval[1], -found.interval[0]), abs=1e-12)
        assert (reverse.p, reverse.within_noise) == (found.p, found.within_noise)


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
    counts = [parts["query camera", camera, "map"] for camera in (3, 6)]
    whole = sum(part.difference * part.queries for part in counts) / sum(part.queries for part in counts)
    assert whole == pytest.approx(pair.differences[0].difference)


def test_records_without_gallery_cameras_are_compared_all_the_same(tmp_path: Path) -> None:
    record, outcomes = scored_record("old", 0)
    bare = tuple(replace(outcome, gallery_camera=None, camera_ap=None, camera_first_hit=None) for outcome in outcomes)
    result = compare([runs(tmp_path, "old", (record, bare)), seeds(tmp_path, "new", 1, 0.5)], QUICK)
    assert {part.by for part in result.pairs[0].parts} == {"query camera", "trial"}
    assert any("no breakdown by gallery camera" in note for note in result.notes)


def test_a_clear_difference_and_no_difference(tmp_path: Path) -> None:
    many = {"people": 40}
    good, alike, poor = (
        seeds(tmp_path, name, 3, skill, **many) for name, skill in (("good", 0.9), ("alike", 0.9), ("poor", 0.3))
    )
    result = compare([good, alike, poor], QUICK)
    noise = {(pair.first, pair.second): {found.within_noise for found in pair.differences} for pair in result.pairs}
    assert noise == {("good", "alike"): {True}, ("good", "poor"): {False}, ("alike", "poor"): {False}}
    assert not any("seeds" in note or "identities" in note for note in result.notes)
    for pair in result.pairs:
        for found in pair.differences:
            assert found.p <= found.p_holm <= min(1.0, 3 * found.p)
        assert pair.parts == ()
    assert compare([good, alike, poor], QUICK, breakdown=True).pairs[0].parts


def test_the_spread_of_runs_can_make_a_difference_noise(tmp_path: Path) -> None:
    wide = runs(
        tmp_path,
        "wide",
        *(scored_record("wide", seed, skill, people=40) for seed, skill in enumerate((0.2, 0.6, 0.99))),
    )
    poor = seeds(tmp_path, "poor", 3, 0.3, people=40)
    found = compare([wide, poor], QUICK).pairs[0].differences[0]
    assert found.p < 0.01 and not found.interval[0] <= 0 <= found.interval[1]
    assert found.seed_margin is not None and found.seed_margin > abs(found.difference)
    assert found.within_noise


def test_few_seeds_and_few_people_are_said(tmp_path: Path) -> None:
    result = compare([seeds(tmp_path, "one", 3, 0.5), seeds(tmp_path, "other", 2, 0.5)], QUICK)
    assert any("fewer than three seeds (other has 2)" in note for note in result.notes)
    assert any("only 4 identities" in note for note in result.notes)
    single = compare([seeds(tmp_path, "one", 1, 0.5), seeds(tmp_path, "other", 1, 0.5)], QUICK)
    assert any("one has 1, other has 1" in note for note in single.notes)
    assert single.pairs[0].differences[0].seed_margin is None


def test_unlike_conditions_are_said(tmp_path: Path) -> None:
    one = runs(tmp_path, "one", scored_record("one", 0))
    other = runs(
        tmp_path, "other", scored_record("other", 0, test_time_information="gallery+queries", rerank="k-reciprocal")
    )
    notes = compare([one, other], QUICK).notes
    assert any(note == "the test-time information differs: gallery+queries, none" for note in notes)
    assert any(note.startswith("the re-ranking differs") for note in notes)


def test_records_of_one_label_are_told_apart(tmp_path: Path) -> None:
    first, second = (runs(tmp_path, "agw", scored_record("agw", seed)) for seed in (0, 1))
    labels = [side.label for side in compare([first, second], QUICK).sides]
    assert labels == [f"agw {next(iter(side.records.values())).id}" for side in (first, second)]


def changed(outcome: PerQuery, name: str, value: float) -> PerQuery:
    array = getattr(outcome, name).copy()
    array[0] = value
    return replace(outcome, **{name: array})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"fingerprint": "00" * 32}, "fingerprint differs"),
        ({"protocol": "sysu-indoor"}, "protocol differs, sysu-all and sysu-indoor"),
        ({"dataset_version": "small-s0-r1"}, "dataset version differs"),
        ({"draw": "official"}, "draw differs, seeded and official"),
        ({"trials": 3}, "trials differ"),
        ({"queries_each": 2}, "12 and 8 queries"),
        ({"gallery_sha256": "ef" * 32}, "galleries hold other images"),
    ],
)
def test_what_differs_is_said(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    sides = (
        runs(tmp_path, "one", scored_record("one", 0)),
        runs(tmp_path, "other", scored_record("other", 0, **changes)),
    )
    with pytest.raises(UsageError, match=rf"cannot be compared query by query: .*{words}"):
        compare(sides, QUICK)


@pytest.mark.parametrize(("name", "value"), [("pid", 7), ("camera", 1), ("ap", np.nan)])
def test_other_queries_are_refused(tmp_path: Path, name: str, value: float) -> None:
    record, outcomes = scored_record("other", 0)
    other = runs(tmp_path, "other", (record, (outcomes[0], changed(outcomes[1], name, value))))
    with pytest.raises(UsageError, match="in trial 1"):
        compare([runs(tmp_path, "one", scored_record("one", 0)), other], QUICK)


def test_a_record_against_itself_is_refused(tmp_path: Path) -> None:
    one = runs(tmp_path, "one", scored_record("one", 0))
    with pytest.raises(UsageError, match="both mean record"):
        compare([one, Runs("again", one.records)], QUICK)
    with pytest.raises(UsageError, match="two methods"):
        compare([one], QUICK)


def test_missing_outcomes_are_named(tmp_path: Path) -> None:
    one, other = seeds(tmp_path, "one", 1, 0.5), seeds(tmp_path, "other", 1, 0.5)
    path = next(iter(other.records)).with_suffix(".npz")
    path.unlink()
    with pytest.raises(UsageError, match=path.name):
        compare([one, other], QUICK)


def test_equal_seeds_give_equal_comparisons_in_json(tmp_path: Path) -> None:
    sides = seeds(tmp_path, "one", 1, 0.5, people=40), seeds(tmp_path, "other", 1, 0.5, people=40)

    def text(resampling: Resampling) -> str:
        result: Comparison = compare(sides, resampling)
        return json.dumps(asdict(result), allow_nan=False)

    assert text(QUICK) == text(QUICK)
    assert text(QUICK) != text(replace(QUICK, seed=1))


def test_the_real_test_set_takes_seconds(tmp_path: Path) -> None:
    size = {"people": 96, "queries_each": 40, "trials": 10}
    sides = seeds(tmp_path, "one", 2, 0.5, **size), seeds(tmp_path, "other", 2, 0.6, **size)
    started = time.perf_counter()
    compare(sides)
    assert time.perf_counter() - started < 20
