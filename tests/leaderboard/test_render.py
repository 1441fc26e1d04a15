"""Boards as files: the text of a small one, to the byte; the same bytes again; nothing stale left behind."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from tests.leaderboard.records import make_per_query, make_record
from tests.leaderboard.test_board import PRINTED, REAL
from vibench.leaderboard.board import Board, build_boards
from vibench.leaderboard.consensus import published_rows
from vibench.leaderboard.published import Conflict, load_published
from vibench.leaderboard.record import Cost, Record, RunInfo
from vibench.leaderboard.render import INDEX, terminal_table, to_csv, to_markdown, write_boards
from vibench.leaderboard.store import read_records, write_record
from vibench.profiling.memory import PeakMemory

CONFLICT = Conflict(
    methods=("agw",),
    dataset="sysu-mm01",
    protocols=("sysu-all",),
    metrics=("map",),
    value_a="47.65",
    source_a="a-2020 Table 1",
    value_b="46.75",
    source_b="b-2021 Table 2",
    kind="value-mismatch",
    comment="plausible swap of digits",
)
COST = Cost(
    device="cpu_x",
    parameters_train=23_500_000,
    parameters_test=22_750_000,
    flops_per_image=10_400_000_000,
    embedding_size=2048,
    extraction_images_per_second=42.0,
    matching_ms_per_query=0.25,
    training_memory=PeakMemory(resident=3 * 2**30),
)


def _measured(**changes: object) -> Record:
    settings = {
        "dataset": "sysu-mm01",
        "fingerprint": REAL,
        "complete": True,
        "run": RunInfo(id="run-1", seed=0, train_seconds=61.4, images_per_second=130.6, input="288x144"),
        "cost": COST,
        **changes,
    }
    return make_record("agw", **settings)


def _board() -> Board:
    printed = replace(PRINTED, conflicts=(("map", CONFLICT),))
    unknown = replace(PRINTED, method="cal", draw="unknown", values={"r1": "74.66"}, sources=("cal|x",))
    boards = build_boards([_measured()], [printed, unknown])
    return next(board for board in boards if board.draw == "seeded")


def test_markdown_of_a_small_board() -> None:
    record = _measured()
    expected = f"""\
# sysu-mm01: sysu-all, seeded draw

Protocol `sysu-all`, draw `seeded`, fingerprint `{REAL[:16]}`. Scores in percent; measured rows as mean ± standard \
deviation over trials, published rows as printed (–: not printed or not measured). Ranks count within a section, by \
r1, then mAP. Timings compare only within one device.

## Test-time information: none

| rank | method | variant | source | test-time information | r1 | r5 | r10 | r20 | mAP | mINP | train s \
| train images/s | peak MiB | extract images/s | match ms/query | train M params | test M params | GFLOPs/image \
| dimensions | device | date | evidence | marks |
| 1 | agw | – | trained | none | 50.50 ± 0.50 | 90.00 ± 0.00 | 95.00 ± 0.00 | 99.00 ± 0.00 | 40.00 ± 0.00 \
| 20.00 ± 0.00 | 61 | 131 | 3072 | 42 | 0.250 | 23.50 | 22.75 | 10.40 | 2048 | cpu\\_x | 2025-01-31 | {record.id} | |
| 2 | agw | – | published | none | 47.50 | – | – | – | 47.65 [1] | – | – | – | – | – | – | – | – | – | – | – \
| 2021 | a-2020 Table 1 | |

## Shown, not ranked

| rank | method | variant | source | test-time information | r1 | r5 | r10 | r20 | mAP | mINP | train s \
| train images/s | peak MiB | extract images/s | match ms/query | train M params | test M params | GFLOPs/image \
| dimensions | device | date | evidence | marks |
| – | cal | – | published | none | 74.66 | – | – | – | – | – | – | – | – | – | – | – | – | – | – | – \
| 2021 | cal\\|x | draw unknown |

## Where papers contradict each other

- [1] agw, value-mismatch: map 47.65 (a-2020 Table 1) against 46.75 (b-2021 Table 2). plausible swap of digits.
"""
    lines = to_markdown(_board()).splitlines()
    # The padding of tabulate's columns is not a promise.
    found = [" ".join(line.split()) for line in lines if not line.startswith("|:")]
    assert found == expected.splitlines()


def test_csv_holds_plain_numbers_and_printed_precision() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(_board()))))
    measured, printed, unknown = rows
    assert (measured["rank"], measured["r1"], measured["r1_std"]) == ("1", "50.5000", "0.5000")
    assert (measured["peak_memory_mib"], measured["gflops_per_image"], measured["run"]) == ("3072", "10.4", "run-1")
    assert (printed["rank"], printed["r1"], printed["r1_std"], printed["r5"]) == ("2", "47.50", "", "")
    assert printed["conflicts"] == "map: value-mismatch"
    assert (unknown["rank"], unknown["not_ranked_because"]) == ("", "draw unknown")


def test_board_of_published_rows_has_no_cost_columns() -> None:
    (board,) = build_boards([], [PRINTED])
    assert "GFLOPs" not in to_markdown(board)
    assert "gflops_per_image" in to_csv(board)


def test_twin_boards_say_that_they_are_synthetic() -> None:
    (board,) = build_boards([make_record()], [])
    text = to_markdown(board)
    assert text.startswith("# sysu-mm01-twin tiny-s0-r1 (synthetic data): sysu-all, seeded draw\n")
    assert "**The images are synthetic.**" in text
    (real,) = build_boards([_measured()], [])
    assert "synthetic" not in to_markdown(real)


def test_rendering_again_gives_the_same_bytes(tmp_path: Path) -> None:
    def snapshot() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in sorted(tmp_path.rglob("*")) if path.is_file()}

    for method, r1 in (("agw", 0.5), ("baseline", 0.4), ("caj", 0.4)):
        write_record(tmp_path, make_record(method, r1), (make_per_query(0), make_per_query(1)))
    printed = published_rows(load_published())
    write_boards(tmp_path, build_boards(read_records(tmp_path)[0], printed))
    before = snapshot()
    write_boards(tmp_path, build_boards(reversed(read_records(tmp_path)[0]), reversed(printed)))
    assert snapshot() == before
    assert (tmp_path / "sysu-mm01-twin" / "sysu-all-seeded-tiny-s0-r1.md") in before


def test_index_links_every_board_and_stale_boards_go(tmp_path: Path) -> None:
    boards = build_boards([make_record(), make_record(dataset_version="small-s0-r1"), _measured()], [])
    written = write_boards(tmp_path, boards)
    index = (tmp_path / INDEX).read_text(encoding="utf-8")
    for path in written[:-1]:
        assert f"({path.relative_to(tmp_path).as_posix()})" in index
    own = tmp_path / "sysu-mm01-twin" / "my-notes.md"
    own.write_text("mine")
    (tmp_path / INDEX).write_text(index + "\n- [x](../outside/x.md) [y](published/../../y.md)\n")
    write_boards(tmp_path, boards[:1])
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    kept = f"{boards[0].dataset}/{boards[0].name}"
    assert left == {INDEX, f"{kept}.md", f"{kept}.csv", "sysu-mm01-twin/my-notes.md"}


def test_foreign_text_cannot_break_the_table() -> None:
    (board,) = build_boards([make_record("a|b_c*d<e>`f`")], [])
    line = next(line for line in to_markdown(board).splitlines() if line.startswith("| 1"))
    assert "a\\|b\\_c\\*d\\<e\\>\\`f\\`" in line


def test_terminal_table_bolds_the_best_ranked_score() -> None:
    records = [make_record("first", 0.6, 0.3), make_record("second", 0.5, 0.4), make_record("leak", 0.9, leaking=True)]
    (board,) = build_boards(records, [])
    console = Console(width=160, record=True, file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(terminal_table(board))
    text = console.export_text(styles=True)
    assert "\x1b[1m60.50 ± 0.50\x1b[0m" in text
    assert "\x1b[1m40.00 ± 0.00\x1b[0m" in text
    assert "\x1b[1m90.50" not in text
    assert "leaking" in text
