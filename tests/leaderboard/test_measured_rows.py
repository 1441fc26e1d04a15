"""Measured rows: what keeps them from a rank, what is said beside them, and the prints they re-measure."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from tests.leaderboard.boards import PRINTED, lines_of, real_record, rows_of
from tests.records.made import make_evaluation, make_record, seeded_run
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.csv_boards import to_csv
from vibench.leaderboard.markdown import to_markdown
from vibench.leaderboard.method_facts import Setup
from vibench.leaderboard.row import LEAKING, UNRANKED
from vibench.records.schema import RunInfo


def test_a_row_says_which_feature_was_ranked() -> None:
    (board,) = build_boards([make_record("whole"), replace(make_record("part"), feature="pooled")], [])
    assert {name: row.marks for name, row in rows_of(board).items()} == {
        "whole": ("1 seed",),
        "part": ("feature pooled", "1 seed"),
    }


def test_incomplete_and_leaking_records_hold_no_rank() -> None:
    records = [
        real_record("sound", 0.4),
        real_record("part", 0.9, complete=False),
        real_record("leak", 0.8, leaking=True),
    ]
    (board,) = build_boards(records, [])
    assert lines_of(board) == [("none", 1, "sound"), (LEAKING, None, "leak"), (UNRANKED, None, "part")]
    assert rows_of(board)["part"].obstacles == ("incomplete",)
    assert rows_of(board)["leak"].obstacles == ("leaking",)


def test_too_few_trials_hold_no_rank_on_real_data() -> None:
    (board,) = build_boards([real_record("all", 0.4), real_record("one", 0.9, trial_count=1)], [])
    assert lines_of(board) == [("none", 1, "all"), (UNRANKED, None, "one")]
    assert rows_of(board)["one"].obstacles == ("1 of 10 trials",)


def test_on_a_twin_other_galleries_than_the_usual_hold_no_rank() -> None:
    trials = make_evaluation(0.9).trials
    odd = make_record("odd", 0.9, trials=tuple(replace(trial, gallery=5) for trial in trials))
    (board,) = build_boards([make_record("a", 0.4), odd, make_record("b", 0.5)], [])
    assert lines_of(board) == [("none", 1, "b"), ("none", 2, "a"), (UNRANKED, None, "odd")]


def test_a_measured_row_knows_its_published_one() -> None:
    other = replace(PRINTED, headline=False, values={"r1": "40.00"})
    strong = replace(PRINTED, method="ddag", variant="b", values={"r1": "48.18"})
    records = [real_record("agw", 0.42), real_record("baseline", 0.45), real_record("foreign", 0.5)]
    (board,) = build_boards(records, [other, PRINTED, strong])
    measured = {row.method: row for row in board.rows if row.source != "published"}
    assert measured["agw"].difference("r1") == pytest.approx(46.5 - 47.5)
    assert measured["agw"].difference("map") == pytest.approx(40.0 - 47.65)
    assert measured["agw"].difference("minp") is None
    # The baseline's default variant is a row of DDAG's ablation table, which itself is no row of the board.
    assert measured["baseline"].difference("r1") == pytest.approx(49.5 - 48.18)
    assert measured["foreign"].published is None
    assert sum(row.method == "ddag" for row in board.rows) == 0
    (twin,) = (found for found in build_boards([make_record("agw")], [PRINTED]) if found.synthetic)
    assert rows_of(twin)["agw"].published is None


def test_a_single_query_row_is_compared_with_the_single_query_print() -> None:
    prints = [
        replace(PRINTED, method=name, draw="unknown", test_time_information=information, values={"r1": r1})
        for name, information, r1 in (
            ("cm-ssft", "gallery+queries", "61.6"),
            ("cm-ssft-single-query", "gallery", "47.7"),
        )
    ]
    records = [
        real_record("cm-ssft", 0.6, test_time_information="gallery+queries"),
        real_record("cm-ssft", 0.4, test_time_information="gallery+queries", query_mode="single"),
    ]
    board = next(board for board in build_boards(records, prints) if board.draw == "seeded")
    found = {row.setup.query_mode: row.published for row in board.rows if row.source == "trained"}
    assert {mode: row.method for mode, row in found.items() if row} == {
        "all": "cm-ssft",
        "single": "cm-ssft-single-query",
    }


def test_conditions_are_those_of_the_run_or_of_the_paper() -> None:
    run = seeded_run(0, input="288x144", backbone="resnet50", pretrained="imagenet")
    printed = replace(PRINTED, method="pose-all", setup=Setup("288x144", "resnet50", "imagenet", "heatmaps", ""))
    records = [
        real_record("pose", 0.3, run=run),
        real_record("pose", 0.2, variant="peb", run=run),
        real_record("mine", 0.1, source="features"),
    ]
    (board,) = build_boards(records, [printed])
    assert [row.setup.extra_labels for row in board.rows] == ["heatmaps", "none", "", "heatmaps"]
    assert [row.setup.input for row in board.rows] == ["288x144", "288x144", "", "288x144"]
    assert [row.draw for row in board.rows] == ["seeded"] * 4
    assert [row.setup.query_mode for row in board.rows] == ["all", "all", "all", ""]


def test_runs_of_unequal_seeds_are_one_row_with_the_deviation_over_seeds() -> None:
    records = [make_record("agw", r1, run=seeded_run(seed)) for seed, r1 in ((0, 0.4), (1, 0.5), (2, 0.6))]
    (board,) = build_boards([*records, make_record("other", 0.45)], [])
    assert lines_of(board) == [("none", 1, "agw"), ("none", 2, "other")]
    row = rows_of(board)["agw"]
    assert (row.scores["r1"].value, row.scores["r1"].deviation) == (pytest.approx(50.5), pytest.approx(10.0))
    assert (row.seeds, row.marks) == (3, ())
    assert row.evidence == "; ".join(record.id for record in records)
    assert [run.evidence for run in row.runs] == [record.id for record in records]
    assert (row.run.seed, row.run.train_seconds, row.cost.device) == (None, None, "")


@pytest.mark.parametrize(("seeds", "marks"), [(1, ("1 seed",)), (2, ("2 seeds",)), (3, ()), (4, ())])
def test_fewer_than_three_seeds_are_said(seeds: int, marks: tuple[str, ...]) -> None:
    (board,) = build_boards([make_record(r1=0.4 + 0.01 * seed, run=seeded_run(seed)) for seed in range(seeds)], [])
    assert (board.rows[0].seeds, board.rows[0].marks) == (seeds, marks)
    (features,) = build_boards([make_record(source="features")], [])
    assert (features.rows[0].seeds, features.rows[0].marks) == (0, ())


def test_one_trial_has_no_deviation() -> None:
    (board,) = build_boards([make_record("one", trial_count=1)], [])
    (row,) = board.rows
    assert [score.deviation for score in row.scores.values()] == [None] * 6
    assert "| 50.00 | 90.00 |" in " ".join(to_markdown(board).split()) and "±" not in to_markdown(board).split("##")[1]
    assert next(csv.DictReader(io.StringIO(to_csv(board))))["r1_std"] == ""
    (board,) = build_boards([make_record("two", trial_count=2)], [])
    assert board.rows[0].scores["r1"].deviation == pytest.approx(0.5)


def test_a_changed_recipe_is_said() -> None:
    def marks(recipe: str) -> tuple[str, ...]:
        (board,) = build_boards([make_record(run=RunInfo(seed=0, recipe=recipe))], [])
        return board.rows[0].marks

    assert marks("") == marks("official") == ("1 seed",)
    assert marks("optimizer.lr, pretrained") == ("recipe: optimizer.lr, pretrained", "1 seed")
    assert marks("a.a, b.b, c.c, d.d") == ("recipe changed", "1 seed")


def test_a_seed_trained_again_replaces_its_earlier_run() -> None:
    old = make_record(r1=0.3, run=seeded_run(0), created="2025-01-01T00:00:00Z")
    new = make_record(r1=0.5, run=seeded_run(0), created="2025-02-01T00:00:00Z")
    (board,) = build_boards([new, old], [])
    (row,) = board.rows
    assert (row.evidence, row.obstacles) == (new.id, ())
    assert [(run.evidence, run.obstacles) for run in row.runs] == [(new.id, ()), (old.id, ("superseded",))]
    assert row.single_runs == (row.runs[0],)
