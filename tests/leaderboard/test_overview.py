"""The overview at the head of the index: which row stands for a method where, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.leaderboard.boards import COST, PRINTED, make_audit, real_record
from tests.leaderboard.test_certainty import QUICK, put
from tests.records.made import make_record, seeded_run
from vibench.leaderboard.board import Board, build_boards
from vibench.leaderboard.catalogue import registered_methods
from vibench.leaderboard.certainty import Certainty
from vibench.leaderboard.overview import overview
from vibench.leaderboard.render import INDEX, write_boards
from vibench.records.store import find_records

CATALOGUE = registered_methods()


def tables(boards: list[Board]) -> dict[str, list[list[str]]]:
    """The cells of every table by the heading above it, header first."""
    found: dict[str, list[list[str]]] = {}
    for part in overview(boards, CATALOGUE):
        if part.startswith("## "):
            found[part.removeprefix("## Overview: ")] = []
        elif part.startswith("|"):
            lines = [line for line in part.splitlines() if not line.startswith("|:")]
            found[list(found)[-1]] += [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return found


def test_measured_and_printed_stand_side_by_side() -> None:
    printed = [
        PRINTED,
        replace(PRINTED, method="caj", draw="unknown", values={"r1": "69.88"}),
        replace(PRINTED, method="nobody-has-it", values={"r1": "90.00"}),
        replace(PRINTED, method="agw", headline=False, values={"r1": "60.00"}),
        replace(PRINTED, protocol="sysu-all-multi"),
    ]
    records = [
        real_record("agw", 0.45, run=seeded_run(0), cost=COST),
        real_record("agw", 0.55, variant="b", run=seeded_run(0)),
        real_record("somebodys", 0.5, source="features"),
    ]
    (rows,) = tables(build_boards(records, printed)).values()
    assert rows[0][:5] == [
        "method",
        "source",
        "test-time information",
        "[sysu-all](sysu-mm01/sysu-all-seeded.md)",
        "training s",
    ]
    # The method itself, not its better variant; of an unknown draw, on the default draw's board alone.
    assert [row[:4] for row in rows[1:]] == [
        ["agw", "measured", "none", "49.50 (3)"],
        ["agw", "printed", "none", "47.50 (2)"],
        ["caj", "printed", "none", "69.88 (–)"],
        ["somebodys", "measured", "none", "54.50 (2)"],
    ]
    assert [row[4] for row in rows[1:]] == ["60", "–", "–", "–"]


def test_twins_stand_below_and_are_called_synthetic() -> None:
    records = [
        make_record("agw", 0.4),
        make_record("agw", 0.6, rerank="k-reciprocal"),
        make_record("baseline", variant="b"),
    ]
    boards = build_boards(records, [PRINTED])
    parts = overview(boards, CATALOGUE)
    assert [part for part in parts if part.startswith("#")] == [
        "## Overview: real data",
        "## Overview: synthetic twins",
    ]
    assert "**The images are synthetic.**" in parts[parts.index("## Overview: synthetic twins") + 1]
    found = tables(boards)
    assert [row[:2] for row in found["real data"][1:]] == [["agw", "printed"]]
    assert found["synthetic twins"][0][3] == "[sysu-mm01-twin sysu-all](sysu-mm01-twin/sysu-all-seeded-tiny-s0-r1.md)"
    assert [row[:4] for row in found["synthetic twins"][1:]] == [
        ["agw", "measured", "none", "40.50 (2)"],
        ["agw", "measured", "re-ranking", "60.50 (1) (re-ranked k-reciprocal)"],
        ["baseline", "measured", "none", "50.50 (1) b"],
    ]


def test_data_sets_and_protocols_stand_as_papers_report_them() -> None:
    names = [("llcm", "llcm-i2v"), ("regdb", "regdb-t2v"), ("regdb", "regdb-v2t"), ("sysu-mm01", "sysu-indoor")]
    printed = [PRINTED, replace(PRINTED, draw="official", values={"r1": "40.00"})]
    printed += [
        replace(PRINTED, dataset=dataset, protocol=protocol, draw="none" if dataset == "regdb" else "seeded")
        for dataset, protocol in names
    ]
    (rows,) = tables(build_boards([], printed)).values()
    assert [cell[1 : cell.index("]")] for cell in rows[0][3:]] == [
        "sysu-all",
        "sysu-all official",
        "sysu-indoor",
        "regdb-v2t",
        "regdb-t2v",
        "llcm-i2v",
    ]


def test_ranges_and_what_has_not_learnt_are_said(tmp_path: Path) -> None:
    put(tmp_path, "agw", 0.9)
    put(tmp_path, "caj", 0.9)
    put(tmp_path, "ddag", 0.1)
    records, _ = find_records(tmp_path)
    boards = build_boards(records.values(), [], certainty=Certainty(records, resampling=QUICK))
    (rows,) = tables(boards).values()
    assert [row[3].partition(" ")[2] for row in rows[1:]] == ["(1–2)", "(1–2)", "(not learnt)"]


def test_a_leaking_split_has_no_place_here() -> None:
    leaking = replace(PRINTED, audits=(make_audit("major", "leaking-split"),))
    assert overview(build_boards([real_record("caj", leaking=True)], [leaking]), CATALOGUE) == []


def test_the_index_begins_with_it(tmp_path: Path) -> None:
    boards = build_boards([make_record()], [PRINTED])
    write_boards(tmp_path, boards)
    headings = [line for line in (tmp_path / INDEX).read_text().splitlines() if line.startswith("#")]
    assert headings == [
        "# Leaderboards",
        "## Overview: real data",
        "## Overview: synthetic twins",
        "## All boards",
        "### Real data",
        "### Synthetic twins",
    ]
    write_boards(tmp_path, [])
    assert (tmp_path / INDEX).read_text().count("#") == 1
