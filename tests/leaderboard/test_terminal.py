"""Boards on the terminal: what is bold, what fits, what is left out."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from tests.leaderboard.boards import CONFLICT, COST, PRINTED, real_record, small_board
from tests.leaderboard.test_certainty import QUICK, put
from tests.records.made import make_record, seeded_run
from vibench.leaderboard.board import Board, build_boards
from vibench.leaderboard.certainty import Certainty
from vibench.leaderboard.cost import COSTS, cost_tables
from vibench.leaderboard.markdown import to_markdown
from vibench.leaderboard.published import load_published
from vibench.leaderboard.terminal import conflict_list, cost_terminal_table, terminal_table
from vibench.records.schema import RunInfo
from vibench.records.store import find_records


def _printed(board: Board, width: int, **options: bool) -> str:
    text = io.StringIO()
    Console(width=width, file=text).print(terminal_table(board, width, **options))
    return text.getvalue()


def test_terminal_table_bolds_the_best_score_of_each_section() -> None:
    records = [
        make_record("first", 0.6, 0.3),
        make_record("second", 0.5, 0.4),
        make_record("helped", 0.7, 0.3, rerank="k-reciprocal"),
        make_record("leak", 0.9, leaking=True),
    ]
    (board,) = build_boards(records, [])
    console = Console(width=160, record=True, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(terminal_table(board, 160))
    text = console.export_text(styles=True)
    assert "\x1b[1m60.50 ± 0.50\x1b[0m" in text
    assert "\x1b[1m40.00 ± 0.00\x1b[0m" in text
    assert "\x1b[1m70.50 ± 0.50\x1b[0m" in text
    assert "\x1b[1m50.50" not in text
    assert "\x1b[1m90.50" not in text
    assert "leaking" in text


@pytest.mark.parametrize("width", [80, 100, 160])
def test_terminal_table_fits_the_width(width: int) -> None:
    cost = {"cost": COST, "run": RunInfo(train_seconds=123.0)}
    records = [make_record("baseline", variant="two-stream", **cost), make_record("agw", rerank="k-reciprocal", **cost)]
    (board,) = build_boards(records, [])
    text = io.StringIO()
    Console(width=width, file=text).print(terminal_table(board, width))
    lines = text.getvalue().splitlines()
    assert all(len(line) <= width for line in lines)
    assert not any("…" in line for line in lines)
    assert any("baseline" in line and "50.50 ± 0.50" in line and "123" in line for line in lines)
    assert any("agw" in line for line in lines)


def test_terminal_table_can_leave_out_published_rows_without_rank() -> None:
    boards = build_boards([real_record(leaking=True)], [replace(PRINTED, draw="unknown")])
    board = next(board for board in boards if board.draw == "seeded")

    def shown(whole: bool) -> str:
        console = Console(width=200, file=io.StringIO(), record=True)
        console.print(terminal_table(board, 200, whole=whole))
        return console.export_text()

    assert "leaking" in shown(False) and "draw unknown" not in shown(False)
    assert "and 1 published rows that hold no rank here" in shown(False)
    assert "leaking" in shown(True) and "draw unknown" in shown(True) and "hold no rank" not in shown(True)


@pytest.mark.parametrize("width", [80, 120])
def test_marks_and_differences_are_seen_at_any_width(width: int) -> None:
    text = _printed(small_board(), width)
    assert "+7.00" in text and "1 seed" in text
    assert "test-set-checkpoint" in " ".join(text.split())
    assert all(len(line) <= width for line in text.splitlines())


def test_what_all_rows_share_is_said_once_and_what_the_name_says_not_again() -> None:
    changed = ", ".join(f"loss_weights.{number}" for number in range(9))
    records = [
        replace(make_record(name, run=replace(seeded_run(seed), recipe=changed)), feature=feature)
        for name, feature in (("first", ""), ("second", "id"))
        for seed in range(2 if name == "first" else 1)
    ]
    (board,) = build_boards(records, [])
    text = _printed(board, 80)
    rows = [line for line in text.splitlines() if line.startswith((" 1", " –"))]
    assert text.count("recipe changed") == 1 and "every trained row: recipe changed" in text
    assert ["2 seeds" in row for row in rows] == [True, False] and text.count("feature id") == 1


def test_nothing_is_cut_where_there_is_little_room() -> None:
    run = replace(seeded_run(0), recipe="loss_weights.kd1, sampler.identities")
    records = [make_record("a-method", variant="of-very-many-words", cost=COST, run=run), make_record(leaking=True)]
    (board,) = build_boards(records, [])
    lines = _printed(board, 64).splitlines()
    place = next(line.index("marks") for line in lines if "marks" in line)
    assert "recipe:loss_weights.kd1,sampler.identities" in "".join(line[place:].replace(" ", "") for line in lines)


def test_a_line_parts_what_is_surely_better(tmp_path: Path) -> None:
    for name, skill in (("a", 0.9), ("b", 0.9), ("c", 0.3)):
        put(tmp_path, name, skill)
    records, _ = find_records(tmp_path)
    (board,) = build_boards(records.values(), [], certainty=Certainty(records, resampling=QUICK))
    lines = [" ".join(line.split()) for line in _printed(board, 80).splitlines()]
    rows = lines[next(at for at, line in enumerate(lines) if line.startswith("1–2")) :]
    assert [line[:3] for line in rows[:4]] == ["1–2", "1–2", "", "3 c"]
    assert "\n|        |" in to_markdown(board)


def test_seeds_unfold_on_request() -> None:
    records = [make_record(r1=0.4 + seed / 10, run=seeded_run(seed)) for seed in range(3)]
    (board,) = build_boards(records, [])
    folded, unfolded = _printed(board, 80), _printed(board, 80, unfold=True)
    assert "3 seeds" in folded and "50.50 ± 10.00" in folded and "seed 1" not in folded
    assert [f"seed {seed}" in unfolded for seed in range(4)] == [True, True, True, False]
    assert "40.50 ± 0.50" in unfolded and "40.50" not in folded


def test_cost_table_is_sorted_and_marks_the_front() -> None:
    records = [
        make_record("slow", 0.6, cost=COST, run=RunInfo(train_seconds=900.0)),
        make_record("quick", 0.4, cost=COST, run=RunInfo(train_seconds=100.0)),
        make_record("beaten", 0.3, cost=COST, run=RunInfo(train_seconds=200.0)),
    ]
    (board,) = build_boards(records, [])
    text = io.StringIO()
    Console(width=80, file=text).print(cost_terminal_table(board, cost_tables(board)[0], COSTS[0], 80))
    lines = text.getvalue().splitlines()
    assert "cpu_x" in lines[1] and all(len(line) <= 80 for line in lines)
    shown = [(line.split()[0], "◆" in line) for line in lines if "±" in line]
    assert shown == [("quick", True), ("beaten", False), ("slow", True)]


def test_timings_of_several_devices_do_not_share_a_column() -> None:
    records = [
        make_record(name, cost=replace(COST, device=device), run=RunInfo(train_seconds=777.0))
        for name, device in (("a", "A100"), ("b", "H200"))
    ]
    (board,) = build_boards(records, [])
    assert "777" not in _printed(board, 80)
    (board,) = build_boards(records[:1], [])
    assert "777" in _printed(board, 80)


def test_findings_are_listed_in_full() -> None:
    text = io.StringIO()
    console = Console(width=1000, file=text)
    published = load_published()
    for paragraph in conflict_list([CONFLICT]):
        console.print(paragraph)
    lines = [line for line in text.getvalue().splitlines() if line.strip()]
    assert lines[0].startswith("agw (sysu-all), value-mismatch: map 47.65 (a-2020 Table 1) against 46.75 (b-2021")
    assert len(conflict_list(published.conflicts)) == 145
