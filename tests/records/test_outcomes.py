"""Records with what their per-query files tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tests.records.made import make_per_query, make_record
from vibench.records.outcomes import read_outcomes
from vibench.records.store import record_path, write_record


def test_a_moved_record_is_found_and_its_missing_outcome_reported(tmp_path: Path) -> None:
    record = make_record()
    path = write_record(tmp_path, record, [make_per_query(seed) for seed in range(2)])
    moved = tmp_path / "records" / "elsewhere" / path.name
    moved.parent.mkdir()
    path.rename(moved)
    outcomes, problems = read_outcomes({moved: record})
    assert outcomes[record.id].path == moved
    assert not outcomes[record.id].cameras and len(problems) == 1 and "no such file" in problems[0]


def test_precisions_of_queries_are_means_over_the_trials_that_ask_the_same(tmp_path: Path) -> None:
    record = make_record(trial_count=3)
    trials = [make_per_query(seed) for seed in range(3)]
    # Of another train/test split, such as RegDB's.
    trials[2] = replace(trials[2], pid=trials[2].pid + 1)
    write_record(tmp_path, record, trials)
    outcomes, _ = read_outcomes({record_path(tmp_path, record): record})
    queries = outcomes[record.id].queries
    assert queries is not None
    np.testing.assert_allclose(queries.ap, (trials[0].ap + trials[1].ap) / 2)
    assert np.isnan(queries.ap[3]) and queries.pid.tolist() == trials[0].pid.tolist()
