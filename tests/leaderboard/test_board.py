"""Which rows share a board, their order, and who holds a rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.leaderboard.boards import PRINTED, REAL, lines_of, make_audit, real_record, rows_of
from tests.records.made import make_evaluation, make_record, seeded_run
from vibench.leaderboard.board import (
    LEAKING,
    OFFICIAL_PERMUTATIONS,
    RERANKED,
    UNRANKED,
    Board,
    Row,
    build_boards,
    protocol_fingerprint,
)
from vibench.leaderboard.catalogue import registered_methods
from vibench.leaderboard.consensus import ablation_rows, published_rows
from vibench.leaderboard.published import Setup, load_published
from vibench.protocols import load_protocol
from vibench.records.schema import RunInfo

CATALOGUE = registered_methods()


def test_rank_follows_rank_one_then_map_and_ties_share_it() -> None:
    records = [
        make_record("worst", 0.3),
        make_record("b-tied", 0.5, 0.4),
        make_record("best", 0.6),
        make_record("a-tied", 0.5, 0.4),
        make_record("higher-map", 0.5, 0.45),
    ]
    (board,) = build_boards(records, [])
    assert lines_of(board) == [
        ("none", 1, "best"),
        ("none", 2, "higher-map"),
        ("none", 3, "a-tied"),
        ("none", 3, "b-tied"),
        ("none", 5, "worst"),
    ]


@settings(deadline=None)
@given(st.permutations([("a", 0.5), ("b", 0.5), ("c", 0.4), ("d", 0.7), ("e", 0.7)]))
def test_order_does_not_depend_on_the_order_of_records(order: list[tuple[str, float]]) -> None:
    (board,) = build_boards([make_record(name, r1) for name, r1 in order], [], catalogue=CATALOGUE)
    assert [(rank, name) for _, rank, name in lines_of(board)] == [(1, "d"), (1, "e"), (3, "a"), (3, "b"), (5, "c")]


def test_unequal_test_time_information_is_ranked_apart() -> None:
    records = [
        make_record("plain", 0.4),
        make_record("transductive", 0.8, test_time_information="gallery+queries"),
        make_record("re-ranked", 0.7, rerank="k-reciprocal"),
        make_record("labelled", 0.9, test_time_information="attributes"),
        make_record("graph", 0.5, test_time_information="gallery"),
    ]
    (board,) = build_boards(records, [])
    assert lines_of(board) == [
        ("none", 1, "plain"),
        ("gallery", 1, "graph"),
        ("gallery+queries", 1, "transductive"),
        ("attributes", 1, "labelled"),
        (RERANKED, 1, "re-ranked"),
    ]
    assert rows_of(board)["re-ranked"].marks == ("re-ranked k-reciprocal", "1 seed")


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


def test_boards_are_kept_apart_by_data_version_protocol_draw_and_fingerprint() -> None:
    records = [
        make_record("a"),
        make_record("a", dataset_version="small-s0-r1"),
        make_record("a", protocol="sysu-indoor"),
        make_record("a", draw="official"),
        make_record("a", fingerprint="01" * 32),
        make_record("a", dataset="regdb-twin", protocol="regdb-v2t", draw="none"),
        real_record("a"),
    ]
    boards = build_boards(records, [])
    assert [(board.dataset, board.name) for board in boards] == [
        ("regdb-twin", "regdb-v2t-tiny-s0-r1"),
        ("sysu-mm01", "sysu-all-seeded"),
        ("sysu-mm01-twin", "sysu-all-seeded-small-s0-r1"),
        ("sysu-mm01-twin", "sysu-all-official-tiny-s0-r1"),
        ("sysu-mm01-twin", "sysu-all-seeded-tiny-s0-r1-01010101"),
        ("sysu-mm01-twin", "sysu-all-seeded-tiny-s0-r1-abababab"),
        ("sysu-mm01-twin", "sysu-indoor-seeded-tiny-s0-r1"),
    ]
    assert [board.synthetic for board in boards] == [True, False, True, True, True, True, True]


def test_published_rows_stand_on_boards_of_real_data_and_of_their_draw() -> None:
    printed = [
        PRINTED,
        replace(PRINTED, method="mpanet", draw="official"),
        replace(PRINTED, method="cal", draw="unknown"),
    ]
    boards = build_boards([real_record("mine"), make_record("mine")], printed)
    by_place = {(board.dataset, board.draw): set(rows_of(board)) for board in boards}
    assert by_place == {
        ("sysu-mm01", "seeded"): {"mine", "agw", "cal"},
        ("sysu-mm01", "official"): {"mpanet", "cal"},
        ("sysu-mm01-twin", "seeded"): {"mine"},
    }


@pytest.mark.parametrize(
    ("change", "obstacle"),
    [
        ({"draw": "unknown"}, "draw unknown"),
        ({"secondary": True}, "secondary source"),
        ({"headline": False}, "other print"),
        ({"values": {"map": "47.65"}}, "no rank-1 printed"),
    ],
)
def test_published_rows_without_rank(change: dict[str, object], obstacle: str) -> None:
    boards = build_boards([], [replace(PRINTED, **change)])  # type: ignore[arg-type]
    for board in boards:
        assert lines_of(board) == [(UNRANKED, None, "agw")]
        assert rows_of(board)["agw"].obstacles == (obstacle,)


def test_published_and_measured_rows_are_ranked_together() -> None:
    (board,) = build_boards([real_record("mine", 0.42), real_record("better", 0.6)], [PRINTED])
    assert lines_of(board) == [("none", 1, "better"), ("none", 2, "agw"), ("none", 3, "mine")]
    assert rows_of(board)["agw"].scores["r1"].printed == "47.50"


def test_a_record_of_an_older_protocol_version_stands_alone() -> None:
    boards = build_boards([real_record("old", fingerprint="01" * 32)], [PRINTED])
    assert sorted(tuple(rows_of(board)) for board in boards) == [("agw",), ("old",)]


@settings(deadline=None)
@given(st.permutations([("minor", 0.9), ("note", 0.4), ("", 0.3), ("minor", 0.8), ("major", 0.95)]))
def test_no_audited_row_ranks_above_a_clean_one(prints: list[tuple[str, float]]) -> None:
    printed = [
        replace(
            PRINTED,
            method=f"m{score}",
            values={"r1": f"{100 * score:.2f}"},
            audits=(make_audit(severity),) if severity else (),
        )
        for severity, score in prints
    ]
    (board,) = build_boards([real_record("mine", 0.1)], printed, catalogue=CATALOGUE)
    assert lines_of(board) == [
        ("none", 1, "m0.4"),
        ("none", 2, "m0.3"),
        ("none", 3, "mine"),
        ("none", 4, "m0.9"),
        ("none", 5, "m0.8"),
        (UNRANKED, None, "m0.95"),
    ]
    assert rows_of(board)["m0.95"].obstacles == ("test-set-checkpoint",)
    (board,) = build_boards([], printed, catalogue=CATALOGUE, ignore_audits=True)
    assert [rank for _, rank, _ in lines_of(board)] == [1, 2, 3, 4, 5]
    assert [name for *_, name in lines_of(board)] == ["m0.95", "m0.9", "m0.8", "m0.4", "m0.3"]
    assert rows_of(board)["m0.95"].audits


def test_a_printed_number_of_a_leaking_split_stands_apart() -> None:
    leaking = replace(PRINTED, method="leaked", audits=(make_audit("major", "leaking-split", ("leaked",)),))
    (board,) = build_boards([], [PRINTED, leaking])
    assert lines_of(board) == [("none", 1, "agw"), (LEAKING, None, "leaked")]


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
    assert [row.setup.extra_labels for row in board.rows] == ["heatmaps", "heatmaps", "none", ""]
    assert [row.setup.input for row in board.rows] == ["288x144", "288x144", "288x144", ""]
    assert [row.setup.draw for row in board.rows] == ["seeded"] * 4
    assert [row.setup.query_mode for row in board.rows] == ["", "all", "all", "all"]


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


def test_a_changed_recipe_is_said() -> None:
    def marks(recipe: str) -> tuple[str, ...]:
        (board,) = build_boards([make_record(run=RunInfo(seed=0, recipe=recipe))], [])
        return board.rows[0].marks

    assert marks("") == marks("official") == ("1 seed",)
    assert marks("optimizer.lr, pretrained") == ("recipe: optimizer.lr, pretrained", "1 seed")
    assert marks("a.a, b.b, c.c, d.d") == ("recipe: 4 keys changed", "1 seed")


def test_a_seed_trained_again_replaces_its_earlier_run() -> None:
    old = make_record(r1=0.3, run=seeded_run(0), created="2025-01-01T00:00:00Z")
    new = make_record(r1=0.5, run=seeded_run(0), created="2025-02-01T00:00:00Z")
    (board,) = build_boards([new, old], [])
    (row,) = board.rows
    assert (row.evidence, row.obstacles) == (new.id, ())
    assert [(run.evidence, run.obstacles) for run in row.runs] == [(new.id, ()), (old.id, ("superseded",))]
    assert row.single_runs == (row.runs[0],)


def test_real_boards_hold_every_published_row_once_per_draw() -> None:
    published = load_published()
    rows = published_rows(published)
    boards = build_boards([], [*rows, *ablation_rows(published)])
    shown = sum(len(board.rows) for board in boards)
    assert shown == sum(2 if row.draw == "unknown" and row.dataset == "sysu-mm01" else 1 for row in rows)
    assert not any(board.synthetic or board.measured for board in boards)
    ranked = {board.name: {row.method for _, rank, row in _flat(board) if rank} for board in boards}
    assert ranked["sysu-all-seeded"] == {"agw", "caj", "ddag", "hct", "mmd"}
    assert ranked["sysu-all-official"] == {"one-stream", "two-stream", "zero-pad", "mpanet"}
    assert "cal" in ranked["regdb-v2t"]
    # What the audits found holds no rank, and secondary numbers never do.
    assert not ranked["regdb-t2v"] & {"mmd", "paenet", "agw", "xmodal", "deen"}
    for board in boards:
        for section in board.sections:
            clean = [rank for rank, row in section.rows if rank and not row.audits]
            audited = [rank for rank, row in section.rows if rank and any(a.severity != "note" for a in row.audits)]
            assert not clean or not audited or max(clean) < min(audited)


def _flat(board: Board) -> list[tuple[str, int | None, Row]]:
    return [(section.title, rank, row) for section in board.sections for rank, row in section.rows]


def test_fingerprint_of_the_official_draw(shared: Path) -> None:
    permutations: Callable[[Path], object] = pytest.importorskip("vibench.datasets.permutations").read_permutations
    found = permutations(shared / "sysu-mm01" / "rand_perm_cam.mat")
    assert found.sha256 == OFFICIAL_PERMUTATIONS  # type: ignore[attr-defined]
    expected = load_protocol("sysu-all").fingerprint("sysu-mm01", "official", OFFICIAL_PERMUTATIONS)
    assert protocol_fingerprint("sysu-all", "sysu-mm01", "official") == expected != REAL
