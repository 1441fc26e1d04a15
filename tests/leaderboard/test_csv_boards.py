"""Boards as CSV: plain numbers, printed precision, every run."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

from tests.leaderboard.boards import COST, PRINTED, real_record, small_board
from tests.records.made import make_record, seeded_run
from vibench.leaderboard.ablations import ablation_boards
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.csv_boards import ablation_csv, to_csv
from vibench.leaderboard.published import load_published


def test_csv_holds_plain_numbers_and_printed_precision() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(small_board()))))
    measured, printed, unknown = rows
    assert (measured["rank_low"], measured["r1"], measured["r1_std"]) == ("1", "54.5000", "2.8723")
    assert (measured["peak_memory_mib"], measured["gflops_per_image"], measured["run"]) == ("3072", "10.4", "run-1")
    assert (printed["rank_low"], printed["rank_high"], printed["r1"], printed["r5"]) == ("1", "1", "47.50", "")
    assert printed["conflicts"] == "map: value-mismatch"
    assert (unknown["rank_low"], unknown["not_ranked_because"]) == ("", "draw unknown")
    assert (measured["published_r1"], measured["difference_r1"]) == ("47.50", "7.0000")
    assert (measured["query_mode"], measured["draw"], measured["input"]) == ("all", "seeded", "288x144")
    assert measured["pareto"] == "embedding; flops; latency; memory; parameters; throughput; train-time"
    assert (printed["audits"], printed["marks"]) == ("test-set-checkpoint: minor", "")
    assert (unknown["draw"], unknown["published_r1"]) == ("unknown", "")


def test_csv_unfolds_seeds() -> None:
    records = [make_record(r1=0.4 + seed / 10, run=seeded_run(seed), cost=COST) for seed in range(2)]
    (board,) = build_boards(records, [])
    rows = list(csv.DictReader(io.StringIO(to_csv(board))))
    assert [(row["level"], row["rank_low"], row["seeds"], row["seed"], row["r1"]) for row in rows] == [
        ("method", "1", "2", "", "45.5000"),
        ("run", "", "", "0", "40.5000"),
        ("run", "", "", "1", "50.5000"),
    ]
    assert rows[0]["r1_std"] == "7.0711" and rows[1]["r1_std"] == "0.5000"
    assert [row["evidence"] for row in rows[1:]] == rows[0]["evidence"].split("; ")
    assert [row["train_seconds"] for row in rows] == ["", "60", "60"]


def test_ablations_as_csv() -> None:
    printed = replace(PRINTED, method="ddag", variant="b", values={"r1": "48.18"}, sources=("ddag-eccv2020 Table 1",))
    boards = build_boards([real_record("ddag", 0.45, variant="b"), real_record("ddag")], [printed])
    found = {found.method: found for found in ablation_boards(boards, load_published().papers)}
    rows = list(csv.DictReader(io.StringIO(ablation_csv(found["ddag"]))))
    assert [(row["method"], row["variant"], row["printed_as"]) for row in rows] == [
        ("ddag", "b", "ddag b"),
        ("ddag", "", ""),
    ]
    assert (rows[0]["printed_r1"], rows[0]["r1"], rows[0]["difference_r1"]) == ("48.18", "49.5000", "1.3200")
    assert (rows[1]["printed_r1"], rows[1]["difference_r1"]) == ("", "")
