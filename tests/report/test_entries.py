"""Rows of a board with their records; seeds folded into one row."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from tests.records.made import make_record
from tests.report.scenes import put, seeded
from vibench.leaderboard.board import build_boards
from vibench.records.schema import Record
from vibench.records.store import record_path
from vibench.report.columns import COSTS
from vibench.report.entries import Entry, entry_sections, measured_entries
from vibench.report.outcomes import read_outcomes


def _entries(folder: Path, records: list[Record]) -> list[Entry]:
    put(folder, *records)
    by_path = {record_path(folder, record): record for record in records}
    outcomes, problems = read_outcomes(by_path, folder / "report.html")
    assert not problems
    (board,) = build_boards(records, [])
    return [entry for section in entry_sections(board, outcomes) for entry in section.entries]


def test_runs_that_differ_in_their_seed_are_one_row(tmp_path: Path) -> None:
    runs = [seeded("agw", seed, r1) for seed, r1 in ((2, 0.6), (0, 0.5), (1, 0.4))]
    between = make_record("baseline", 0.52)
    first, second = _entries(tmp_path, [*runs, between])
    assert (first.row.method, second.row.method) == ("baseline", "agw"), "0.505 in the mean ranks behind 0.525"
    assert (str(first.rank), str(second.rank)) == ("1", "2")
    assert [run.row.run.seed for run in second.folded] == [0, 1, 2]
    assert second.subject.records == (runs[1].id, runs[2].id, runs[0].id)
    score = second.row.scores["r1"]
    assert score.value == pytest.approx(50.5)
    assert score.deviation == pytest.approx(statistics.stdev([50.5, 40.5, 60.5]))
    train = next(column for column in COSTS if column.title == "training s")
    assert train.value(second.row) == pytest.approx(11.0)


@pytest.mark.parametrize("change", [{"variant": "b"}, {"rerank": "k-reciprocal"}, {"query_mode": "single"}])
def test_runs_that_differ_in_more_are_not(tmp_path: Path, change: dict[str, str]) -> None:
    entries = _entries(tmp_path, [seeded("agw", 0, 0.5), seeded("agw", 1, 0.6, **change)])
    assert [(entry.folded, len(entry.outcomes)) for entry in entries] == [((), 1), ((), 1)]


def test_records_without_a_seed_stay_apart(tmp_path: Path) -> None:
    assert len(_entries(tmp_path, [make_record("mine", 0.5), make_record("mine", 0.6)])) == 2


def test_only_ranked_rows_are_drawn(tmp_path: Path) -> None:
    records = [
        make_record("agw", 0.4),
        make_record("leak", 0.9, leaking=True),
        make_record("helped", 0.6, rerank="k-reciprocal"),
    ]
    put(tmp_path, *records)
    outcomes, _ = read_outcomes({record_path(tmp_path, record): record for record in records}, tmp_path / "report.html")
    (board,) = build_boards(records, [])
    found = measured_entries(entry_sections(board, outcomes))
    assert [entry.row.method for entry in found] == ["helped", "agw"]
