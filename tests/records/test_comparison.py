"""Comparisons: right figures, and plain words about noise."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from tests.records.scored import runs, scored_record, seeds
from vibench.records import differences
from vibench.records.comparison import Comparison, compare
from vibench.records.significance import Resampling

QUICK = Resampling(resamples=400)


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


def test_among_many_pairs_a_clear_difference_stays_clear(tmp_path: Path) -> None:
    skills = (0.05, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.95)
    sides = [seeds(tmp_path, f"m{skill}", 1, skill, people=40) for skill in skills]
    result = compare(sides, QUICK)
    found = {(pair.first, pair.second): pair.differences for pair in result.pairs}
    # 28 times the least p of 400 flips is more than 0.05.
    assert all(of.p_holm < 0.05 and not of.within_noise for of in found["m0.05", "m0.95"])


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


@pytest.mark.parametrize(("corrected", "noise"), [(0.049, False), (0.051, True)])
def test_what_holm_does_not_let_through_is_noise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, corrected: float, noise: bool
) -> None:
    """However clear the interval is."""
    monkeypatch.setattr(differences, "holm", lambda p_values: np.full(len(p_values), corrected))
    good, poor = (seeds(tmp_path, name, 3, skill, people=40) for name, skill in (("good", 0.9), ("poor", 0.3)))
    (pair,) = compare([good, poor], QUICK).pairs
    assert {found.within_noise for found in pair.differences} == {noise}


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


@pytest.mark.parametrize(
    ("dataset", "complete", "incomplete", "expected"),
    [
        ("sysu-mm01", True, "", ""),
        ("sysu-mm01", False, "", "the counts of images are not those of the complete real data set"),
        ("sysu-mm01-twin", False, "", ""),
        ("sysu-mm01", False, "lacks 3 of 9 images", "was trained on an incomplete copy"),
    ],
)
def test_data_that_is_not_whole_is_said(
    tmp_path: Path, dataset: str, complete: bool, incomplete: str, expected: str
) -> None:
    sides = []
    for name in ("one", "other"):
        record, outcomes = scored_record(name, 0, dataset=dataset, complete=complete)
        record = replace(record, run=replace(record.run, incomplete=incomplete))
        sides.append(runs(tmp_path, name, (record, outcomes)))
    said = [note for note in compare(sides, QUICK).notes if "complete" in note]
    assert bool(said) == bool(expected) and all(expected in note for note in said)


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
