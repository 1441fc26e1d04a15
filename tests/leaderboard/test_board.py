"""Which rows share a board, their order, and who holds a rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.leaderboard.records import make_evaluation, make_record
from vibench.leaderboard.board import OFFICIAL_PERMUTATIONS, UNRANKED, Board, Row, build_boards, protocol_fingerprint
from vibench.leaderboard.consensus import PublishedRow, published_rows
from vibench.leaderboard.published import load_published
from vibench.leaderboard.record import Record
from vibench.protocols import load_protocol

REAL = protocol_fingerprint("sysu-all", "sysu-mm01", "seeded")
PRINTED = PublishedRow(
    method="agw",
    dataset="sysu-mm01",
    protocol="sysu-all",
    draw="seeded",
    test_time_information="none",
    year="2021",
    values={"r1": "47.50", "map": "47.65"},
    sources=("a-2020 Table 1",),
    secondary=False,
    headline=True,
    notes=(),
    conflicts=(),
)


def _real(method: str, r1: float = 0.5, **changes: object) -> Record:
    settings = {"dataset": "sysu-mm01", "fingerprint": REAL, "complete": True, "trial_count": 10, **changes}
    return make_record(method, r1, **settings)


def _lines(board: Board) -> list[tuple[str, int | None, str]]:
    return [(section.title, rank, row.method) for section in board.sections for rank, row in section.rows]


def _rows(board: Board) -> dict[str, Row]:
    return {row.method: row for section in board.sections for _, row in section.rows}


def test_rank_follows_rank_one_then_map_and_ties_share_it() -> None:
    records = [
        make_record("worst", 0.3),
        make_record("b-tied", 0.5, 0.4),
        make_record("best", 0.6),
        make_record("a-tied", 0.5, 0.4),
        make_record("higher-map", 0.5, 0.45),
    ]
    (board,) = build_boards(records, [])
    assert _lines(board) == [
        ("none", 1, "best"),
        ("none", 2, "higher-map"),
        ("none", 3, "a-tied"),
        ("none", 3, "b-tied"),
        ("none", 5, "worst"),
    ]


@given(st.permutations([("a", 0.5), ("b", 0.5), ("c", 0.4), ("d", 0.7), ("e", 0.7)]))
def test_order_does_not_depend_on_the_order_of_records(order: list[tuple[str, float]]) -> None:
    (board,) = build_boards([make_record(name, r1) for name, r1 in order], [])
    assert [(rank, name) for _, rank, name in _lines(board)] == [(1, "d"), (1, "e"), (3, "a"), (3, "b"), (5, "c")]


def test_unequal_test_time_information_is_ranked_apart() -> None:
    records = [
        make_record("plain", 0.4),
        make_record("transductive", 0.8, test_time_information="gallery+queries"),
        make_record("re-ranked", 0.7, rerank="k-reciprocal"),
        make_record("labelled", 0.9, test_time_information="attributes"),
        make_record("graph", 0.5, test_time_information="gallery"),
    ]
    (board,) = build_boards(records, [])
    assert _lines(board) == [
        ("none", 1, "plain"),
        ("gallery", 1, "graph"),
        ("gallery+queries", 1, "transductive"),
        ("gallery+queries", 2, "re-ranked"),
        ("attributes", 1, "labelled"),
    ]
    assert _rows(board)["re-ranked"].marks == ("re-ranked k-reciprocal",)


def test_a_row_says_which_feature_was_ranked() -> None:
    (board,) = build_boards([make_record("whole"), replace(make_record("part"), feature="pooled")], [])
    assert {name: row.marks for name, row in _rows(board).items()} == {"whole": (), "part": ("feature pooled",)}


def test_incomplete_and_leaking_records_hold_no_rank() -> None:
    records = [_real("sound", 0.4), _real("part", 0.9, complete=False), _real("leak", 0.8, leaking=True)]
    (board,) = build_boards(records, [])
    assert _lines(board) == [("none", 1, "sound"), (UNRANKED, None, "part"), (UNRANKED, None, "leak")]
    assert _rows(board)["part"].obstacles == ("incomplete",)
    assert _rows(board)["leak"].obstacles == ("leaking",)


def test_too_few_trials_hold_no_rank_on_real_data() -> None:
    (board,) = build_boards([_real("all", 0.4), _real("one", 0.9, trial_count=1)], [])
    assert _lines(board) == [("none", 1, "all"), (UNRANKED, None, "one")]
    assert _rows(board)["one"].obstacles == ("1 of 10 trials",)


def test_on_a_twin_other_galleries_than_the_usual_hold_no_rank() -> None:
    trials = make_evaluation(0.9).trials
    odd = make_record("odd", 0.9, trials=tuple(replace(trial, gallery=5) for trial in trials))
    (board,) = build_boards([make_record("a", 0.4), odd, make_record("b", 0.5)], [])
    assert _lines(board) == [("none", 1, "b"), ("none", 2, "a"), (UNRANKED, None, "odd")]


def test_boards_are_kept_apart_by_data_version_protocol_draw_and_fingerprint() -> None:
    records = [
        make_record("a"),
        make_record("a", dataset_version="small-s0-r1"),
        make_record("a", protocol="sysu-indoor"),
        make_record("a", draw="official"),
        make_record("a", fingerprint="01" * 32),
        make_record("a", dataset="regdb-twin", protocol="regdb-v2t", draw="none"),
        _real("a"),
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
    boards = build_boards([_real("mine"), make_record("mine")], printed)
    by_place = {(board.dataset, board.draw): set(_rows(board)) for board in boards}
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
        assert _lines(board) == [(UNRANKED, None, "agw")]
        assert _rows(board)["agw"].obstacles == (obstacle,)


def test_published_and_measured_rows_are_ranked_together() -> None:
    (board,) = build_boards([_real("mine", 0.42), _real("better", 0.6)], [PRINTED])
    assert _lines(board) == [("none", 1, "better"), ("none", 2, "agw"), ("none", 3, "mine")]
    assert _rows(board)["agw"].scores["r1"].printed == "47.50"


def test_a_record_of_an_older_protocol_version_stands_alone() -> None:
    boards = build_boards([_real("old", fingerprint="01" * 32)], [PRINTED])
    assert sorted(tuple(_rows(board)) for board in boards) == [("agw",), ("old",)]


def test_real_boards_hold_every_published_row_once_per_draw() -> None:
    rows = published_rows(load_published())
    boards = build_boards([], rows)
    shown = sum(len(section.rows) for board in boards for section in board.sections)
    assert shown == sum(2 if row.draw == "unknown" and row.dataset == "sysu-mm01" else 1 for row in rows)
    assert not any(board.synthetic or board.measured for board in boards)
    ranked = {board.name: {row.method for _, rank, row in _flat(board) if rank} for board in boards}
    assert ranked["sysu-all-seeded"] == {"agw", "caj", "ddag", "hct", "mmd"}
    assert ranked["sysu-all-official"] == {"one-stream", "two-stream", "zero-pad", "mpanet"}
    assert "cal" in ranked["regdb-v2t"]


def _flat(board: Board) -> list[tuple[str, int | None, Row]]:
    return [(section.title, rank, row) for section in board.sections for rank, row in section.rows]


def test_fingerprint_of_the_official_draw(shared: Path) -> None:
    permutations: Callable[[Path], object] = pytest.importorskip("vibench.datasets.permutations").read_permutations
    found = permutations(shared / "sysu-mm01" / "rand_perm_cam.mat")
    assert found.sha256 == OFFICIAL_PERMUTATIONS  # type: ignore[attr-defined]
    expected = load_protocol("sysu-all").fingerprint("sysu-mm01", "official", OFFICIAL_PERMUTATIONS)
    assert protocol_fingerprint("sysu-all", "sysu-mm01", "official") == expected != REAL
