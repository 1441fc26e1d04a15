"""Sections of boards: what is ranked together, in which order, and below what an audit pushes a row."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.leaderboard.boards import PRINTED, lines_of, make_audit, real_record, rows_of
from tests.records.made import make_record
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.catalogue import registered_methods
from vibench.leaderboard.row import LEAKING, RERANKED, UNRANKED

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
        ("none", 1, "mine"),
        ("none", 1, "m0.4"),
        ("none", 2, "m0.3"),
        ("none", 3, "m0.9"),
        ("none", 4, "m0.8"),
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
