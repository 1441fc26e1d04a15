"""Sides of a comparison: told apart, and refused where they were not asked the same queries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.records.scored import runs, scored_record, seeds
from vibench.errors import UsageError
from vibench.evaluation.result import PerQuery
from vibench.records.paired_outcomes import read_sides
from vibench.records.selection import Runs


def test_records_of_one_label_are_told_apart(tmp_path: Path) -> None:
    first, second = (runs(tmp_path, "agw", scored_record("agw", seed)) for seed in (0, 1))
    labels = [one.side.label for one in read_sides([first, second])]
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
        read_sides(sides)


@pytest.mark.parametrize(("name", "value"), [("pid", 7), ("camera", 1), ("ap", np.nan)])
def test_other_queries_are_refused(tmp_path: Path, name: str, value: float) -> None:
    record, outcomes = scored_record("other", 0)
    other = runs(tmp_path, "other", (record, (outcomes[0], changed(outcomes[1], name, value))))
    with pytest.raises(UsageError, match="in trial 1"):
        read_sides([runs(tmp_path, "one", scored_record("one", 0)), other])


def test_a_record_against_itself_is_refused(tmp_path: Path) -> None:
    one = runs(tmp_path, "one", scored_record("one", 0))
    with pytest.raises(UsageError, match="both mean record"):
        read_sides([one, Runs("again", one.records)])
    with pytest.raises(UsageError, match="two methods"):
        read_sides([one])


def test_missing_outcomes_are_named(tmp_path: Path) -> None:
    one, other = seeds(tmp_path, "one", 1, 0.5), seeds(tmp_path, "other", 1, 0.5)
    path = next(iter(other.records)).with_suffix(".npz")
    path.unlink()
    with pytest.raises(UsageError, match=path.name):
        read_sides([one, other])
