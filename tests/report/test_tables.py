"""The table of all rows: cells with what they sort by, and what is told apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.records.made import make_record
from tests.report.scenes import cost, put, seeded
from tests.report.test_frames import lines_of
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.consensus import published_rows
from vibench.leaderboard.published import load_published
from vibench.report.frames import board_lines
from vibench.report.tables import table


def cells(found: dict[str, Any], row: int) -> dict[str, Any]:
    return {column["key"]: cell for column, cell in zip(found["columns"], found["rows"][row], strict=False)}


def test_a_row_of_several_seeds_folds_its_runs(tmp_path: Path) -> None:
    records = [seeded("agw", seed, r1) for seed, r1 in ((0, 0.5), (1, 0.6), (2, 0.4))]
    _, lines = lines_of(tmp_path, *records, make_record("baseline", 0.3, **cost(60.0)))
    found = table(lines, {"agw"}, {one.id: f"./{one.id}.json" for one in records})
    first, second = cells(found, 0), cells(found, 1)
    assert first["method"] == "agw" and first["rank"] == [1, "1"] and first["source"] == "measured"
    assert first["r1"] == [50.5, "50.50 ± 10.00", 1] and second["r1"] == [30.5, "30.50 ± 0.50"]
    assert first["evidence"] == {"records": [one.id for one in records]}
    assert (first["code"], second["code"], first["weights"]) == ("yes", "no", "no")
    runs = found["rows"][0][-1]
    assert [run[[column["key"] for column in found["columns"]].index("r1")] for run in runs] == [
        [50.5, "50.50 ± 0.50"], [60.5, "60.50 ± 0.50"], [40.5, "40.50 ± 0.50"]
    ]  # fmt: skip
    assert found["rows"][1][-1] == []
    assert second["train-time"] == [60.0, "60"] and first["train-time"] == [11.0, "11"]


def test_the_best_is_that_of_ranked_rows_of_equal_information(tmp_path: Path) -> None:
    leaks = [make_record("leak", r1, leaking=True) for r1 in (0.9, 0.8)]
    helped = [make_record(name, r1, rerank="k-reciprocal") for name, r1 in (("a", 0.8), ("b", 0.7))]
    _, lines = lines_of(tmp_path, *leaks, make_record("agw", 0.5), make_record("hct", 0.4), *helped)
    found = table(lines, (), {})
    best = [cells(found, row)["method"] for row in range(6) if len(cells(found, row)["r1"]) == 3]
    assert best == ["agw", "a (re-ranked k-reciprocal)"]
    assert {cells(found, row)["information"] for row in range(6)} >= {"none", "gallery and queries, by re-ranking"}


def test_a_column_that_says_nothing_is_left_out(tmp_path: Path) -> None:
    put(tmp_path, make_record("agw"))
    _, lines = lines_of(tmp_path, make_record("agw"))
    keys = {column["key"] for column in table(lines, (), {})["columns"]}
    assert not {"backbone", "train-time", "dr1", "reproduction"} & keys and {"r1", "map", "evidence"} <= keys


def test_printed_rows_keep_their_digits_and_say_what_is_wrong_with_them() -> None:
    boards = build_boards([], published_rows(load_published()))
    lines = [line for board in boards for line in board_lines(board, {})]
    found = table(lines, (), {})
    rows = [cells(found, row) for row in range(len(lines))]
    agw = next(row for row in rows if row["method"] == "agw" and row["protocol"] == "sysu-all, seeded draw")
    assert (
        agw["r1"][:2] == [47.5, "47.50"]
        and agw["source"] == "printed"
        and "ddag-eccv2020 Table 4" in agw["evidence"]["sources"]
    )
    assert any(row["r1"] and row["r1"][1].endswith("*") for row in rows if row["r1"])
    audited = [row["remarks"] for row in rows if row["remarks"] and row["remarks"]["audits"]]
    assert audited and all(set(remarks["audits"]) <= set(remarks["remarks"]) for remarks in audited)
    assert len({column["key"] for column in found["columns"] if column["filter"]}) >= 7
