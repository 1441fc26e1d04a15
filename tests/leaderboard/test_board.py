"""Which rows share a board, and which printed ones hold no rank."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.leaderboard.boards import PRINTED, REAL, lines_of, make_audit, real_record, rows_of
from tests.records.made import make_record
from vibench.corruption import parse_corruptions
from vibench.leaderboard.ablations import ablation_boards
from vibench.leaderboard.board import OFFICIAL_PERMUTATIONS, Board, build_boards, protocol_fingerprint
from vibench.leaderboard.cells import board_title
from vibench.leaderboard.consensus import ablation_rows, published_rows
from vibench.leaderboard.markdown import to_markdown
from vibench.leaderboard.overview import overview
from vibench.leaderboard.published import load_published
from vibench.leaderboard.rank import Rank
from vibench.leaderboard.row import LEAKING, UNRANKED, Row
from vibench.protocols import load_protocol
from vibench.records.schema import RunInfo


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


def test_corrupted_images_have_boards_of_their_own_behind_the_clean_one() -> None:
    asked = [None, *parse_corruptions("mixed:1-2"), *parse_corruptions("mixed", "both")]
    records = [make_record("a", corruption=one, fingerprint=f"{at}" * 64) for at, one in enumerate(asked)]
    boards = build_boards(records, [])
    assert [board.name for board in boards] == [
        "sysu-all-seeded-tiny-s0-r1",
        "sysu-all-mixed-both-seeded-tiny-s0-r1",
        "sysu-all-mixed-1-visible-seeded-tiny-s0-r1",
        "sysu-all-mixed-2-visible-seeded-tiny-s0-r1",
    ]
    assert [board.corruption for board in boards] == [asked[0], asked[3], asked[1], asked[2]]
    # Whoever wrote records of other rules under one fingerprint: no board takes the place of another.
    (rain,) = parse_corruptions("rain")
    alike = [make_record("a", corruption=replace(rain, version=version)) for version in (1, 99)]
    assert len({board.name for board in build_boards(alike, [])}) == 2
    assert "corrupted (mixed:1, visible images)" in board_title(boards[2])
    text = to_markdown(boards[2])
    assert "Every visible test image was corrupted: one of twenty types, severity 1, drawn by its name." in text
    # The overview compares clean images.
    assert not overview(boards[1:]) and "mixed" not in "".join(overview(boards))
    assert not ablation_boards(boards[1:], {})


def test_printed_numbers_of_corrupted_images_stand_on_the_board_of_the_form_as_scripted() -> None:
    published = load_published()
    boards = {board.name: board for board in build_boards([], published_rows(published))}
    scripted = boards["sysu-all-c-as-scripted-seeded"]
    assert scripted.corruption == load_protocol("sysu-all-c-as-scripted").corruption
    printed = {row.method: row.scores["r1"].printed for row in scripted.rows}
    assert printed == {"agw": "34.42", "cil": "36.95"}
    assert {row.scores["map"].printed for row in boards["regdb-v2t-c-as-scripted"].rows} == {"43.09", "49.76"}
    assert "sysu-all-c-as-scripted-official" not in boards


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


def test_boards_of_transfer_never_share_a_file() -> None:
    """Names of files are cut to what files may be called; what was trained on may differ behind that."""
    long = "+".join(f"a-data-set-of-a-long-name-{number}" for number in range(5))
    origins = (f"{long} split 1", f"{long} split 2", "one+two", "one two", "")
    records = [make_record("a", run=RunInfo(trained_on=origin)) for origin in origins]
    boards = build_boards(records, [])
    assert sorted(board.trained_on for board in boards) == sorted(origins)
    assert len({board.name for board in boards}) == len(origins)


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


def test_published_and_measured_rows_are_ranked_apart() -> None:
    (board,) = build_boards([real_record("mine", 0.42), real_record("better", 0.6)], [PRINTED])
    assert lines_of(board) == [("none", 1, "better"), ("none", 2, "mine"), ("none", 1, "agw")]
    assert rows_of(board)["agw"].scores["r1"].printed == "47.50"


def test_a_record_of_an_older_protocol_version_stands_alone() -> None:
    boards = build_boards([real_record("old", fingerprint="01" * 32)], [PRINTED])
    assert sorted(tuple(rows_of(board)) for board in boards) == [("agw",), ("old",)]


def test_real_boards_hold_every_published_row_once_per_draw() -> None:
    published = load_published()
    rows = published_rows(published)
    boards = build_boards([], [*rows, *ablation_rows(published)])
    shown = sum(len(board.rows) for board in boards)
    assert shown == sum(2 if row.draw in ("unknown", "other") and row.dataset == "sysu-mm01" else 1 for row in rows)
    assert not any(board.synthetic or board.measured for board in boards)
    ranked = {board.name: {row.method for _, rank, row in _flat(board) if rank} for board in boards}
    assert ranked["sysu-all-seeded"] >= {"agw", "caj", "ddag", "hct", "mmd", "deen", "pmt", "sdcl", "yyds"}
    assert ranked["sysu-all-official"] == {"one-stream", "two-stream", "zero-pad", "mpanet", "saai", "mcja-mser"}
    assert ranked["llcm-v2i-as-scripted-seeded"] >= {"deen", "agw", "caj", "cafmnet"}
    assert not ranked["llcm-v2i-seeded"] & {"cafmnet", "ifalnet"}
    assert "cal" in ranked["regdb-v2t"]
    # What the audits found holds no rank, and second-hand numbers never do.
    assert not ranked["regdb-t2v"] & {"mmd", "paenet", "agw", "xmodal", "sgiel", "magcn", "ceil"}
    assert not ranked["sysu-all-seeded"] & {"dns", "bit", "mfen"} and "idkl" not in ranked["sysu-all-official"]
    for board in boards:
        for section in board.sections:
            clean = [rank.high for rank, row in section.rows if rank and not row.audits]
            audited = [rank.low for rank, row in section.rows if rank and any(a.severity != "note" for a in row.audits)]
            assert not clean or not audited or max(clean) < min(audited)
            # No silence stands above what somebody looked into as if it were a clearance.
            for rank, row in section.rows:
                assert not rank or row.audits or "not audited" in row.marks


def test_sections_say_what_a_method_learnt_from() -> None:
    published = load_published()
    boards = {board.name: board for board in build_boards([], published_rows(published))}
    titles = [section.title for section in boards["sysu-all-seeded"].sections]
    assert titles == [
        "none",
        "unknown",
        "semi-supervised: none",
        "weakly supervised: none",
        "unsupervised: none",
        "unsupervised: re-ranking",
        "text-assisted: text",
        UNRANKED,
    ]
    for board in boards.values():
        for section in board.sections:
            supervision = section.title.rpartition(": ")[0] or "supervised"
            assert section.title in (LEAKING, UNRANKED) or all(
                row.supervision == supervision for _, row in section.rows
            )


def test_a_printed_row_says_what_of_it_is_proven() -> None:
    rows = [PRINTED, replace(PRINTED, method="cal", not_reproducible="no public code was found")]
    (board,) = build_boards([real_record(r1=0.45)], rows)
    found = {row.method: row.reproduction for row in board.rows if row.source == "published"}
    assert found["agw"][-1] == "measured here: r1 +2.00" and len(found["agw"]) == 3
    assert found["cal"] == ("not reproducible: no public code was found",)


def test_marks_of_printed_rows() -> None:
    silent = replace(PRINTED, method="silent", audits=())
    noted = replace(PRINTED, audits=(make_audit("note"),))
    quoted = replace(noted, method="quoted", quoted=True)
    (board,) = build_boards([], [noted, quoted, silent, replace(silent, method="low", values={"map": "1.0"})])
    marks = {method: row.marks for method, row in rows_of(board).items()}
    assert marks == {"agw": (), "quoted": ("quoted",), "silent": ("not audited",), "low": ()}


def _flat(board: Board) -> list[tuple[str, Rank | None, Row]]:
    return [(section.title, rank, row) for section in board.sections for rank, row in section.rows]


def test_fingerprint_of_the_official_draw(shared: Path) -> None:
    permutations: Callable[[Path], object] = pytest.importorskip("vibench.datasets.permutations").read_permutations
    found = permutations(shared / "sysu-mm01" / "rand_perm_cam.mat")
    assert found.sha256 == OFFICIAL_PERMUTATIONS  # type: ignore[attr-defined]
    expected = load_protocol("sysu-all").fingerprint("sysu-mm01", "official", OFFICIAL_PERMUTATIONS)
    assert protocol_fingerprint("sysu-all", "sysu-mm01", "official") == expected != REAL
