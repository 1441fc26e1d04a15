"""The published numbers of RegDB, from 8,240 names without any image."""

from __future__ import annotations

import numpy as np
import pytest

from tests.datasets.mini import regdb_path
from vibench.datasets import check_regdb, regdb
from vibench.datasets.labelled import Line
from vibench.datasets.listing import Sample

PIDS = set(range(1, 413))
Trials = dict[int, dict[tuple[str, str], list[Line]]]


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    names = [regdb_path(folder, pid, n) for folder in regdb.FOLDERS.values() for pid in PIDS for n in range(10)]
    return [sample for name in names if (sample := regdb.parse_name(name))]


@pytest.fixture(scope="module")
def trials() -> Trials:
    lists: Trials = {}
    for trial in regdb.TRIALS:
        order = np.random.default_rng(trial).permutation(sorted(PIDS)).tolist()
        lists[trial] = {
            (kind, modality): [
                Line(regdb_path(regdb.FOLDERS[modality], pid, number), label)
                for label, pid in enumerate(sorted(chosen))
                for number in range(10)
            ]
            for kind, chosen in (("train", order[:206]), ("test", order[206:]))
            for modality in regdb.FOLDERS
        }
    return lists


def test_a_full_copy_agrees(samples: list[Sample], trials: Trials) -> None:
    counts = check_regdb.counts(samples, trials, PIDS, consistent_trials=10)
    assert {count.quantity: count.expected for count in counts} == {
        "identities": 412,
        "visible images": 4120,
        "infrared images": 4120,
        "identities with 10 images of each modality": 412,
        "splits into 206 training and 206 test identities": 10,
        "idx files with 2060 and 2060 lines (train, test)": 40,
        "splits without contradiction": 10,
    }
    assert all(count.agrees for count in counts)
    assert check_regdb.image_problems(samples, trials, PIDS) == []
    listed = {sample.path for sample in samples}
    assert all(check_regdb.trial_problems(trial, trials[trial], listed, PIDS) == [] for trial in trials)


def test_an_unbalanced_split_is_seen(samples: list[Sample], trials: Trials) -> None:
    moved = {key: list(lines) for key, lines in trials[1].items()}
    for modality in regdb.FOLDERS:
        last = moved["test", modality][-10:]
        moved["test", modality] = moved["test", modality][:-10]
        moved["train", modality] = moved["train", modality] + [line._replace(label=206) for line in last]
    counts = check_regdb.counts(samples, {**trials, 1: moved}, PIDS, consistent_trials=10)
    found = {count.quantity: count.found for count in counts}
    assert found["splits into 206 training and 206 test identities"] == 9
    assert found["idx files with 2060 and 2060 lines (train, test)"] == 36


def test_an_identity_in_neither_half_is_seen(samples: list[Sample], trials: Trials) -> None:
    cut = {key: lines[:-10] if key[0] == "test" else lines for key, lines in trials[1].items()}
    listed = {sample.path for sample in samples}
    (problem,) = check_regdb.trial_problems(1, cut, listed, PIDS)
    assert "is on neither side of the split" in problem.detail


def test_an_image_that_one_split_forgets_is_seen(samples: list[Sample], trials: Trials) -> None:
    forgotten = trials[1]["test", "infrared"][-1].path
    cut = {**trials[1], ("test", "infrared"): trials[1]["test", "infrared"][:-1]}
    (problem,) = check_regdb.trial_problems(1, cut, {sample.path for sample in samples}, PIDS)
    assert repr(forgotten) in problem.detail
