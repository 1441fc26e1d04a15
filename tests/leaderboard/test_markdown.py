"""Boards as Markdown: the text of a small one, and what must not be lost in it."""

from __future__ import annotations

from dataclasses import replace

from tests.leaderboard.boards import COST, PRINTED, REAL, make_audit, real_record, small_board
from tests.records.made import make_record, seeded_run
from vibench.leaderboard.ablations import ablation_boards
from vibench.leaderboard.board import build_boards
from vibench.leaderboard.cells import row_name
from vibench.leaderboard.markdown import ablation_markdown, to_markdown
from vibench.leaderboard.published import load_published


def _squeezed(text: str) -> list[str]:
    # The padding of tabulate's columns is not a promise.
    return [" ".join(line.split()) for line in text.splitlines() if not line.startswith("|:")]


def test_markdown_of_a_small_board() -> None:
    board = small_board()
    record = next(row.evidence for row in board.rows if row.source == "trained")
    header = (
        "| rank | method | source | seeds | r1 | r5 | r10 | r20 | mAP | mINP | test-time information | draw "
        "| query mode | input | extra labels | date | evidence | marks |"
    )
    scores = "54.50 ± 2.87 | 90.00 ± 0.00 | 95.00 ± 0.00 | 99.00 ± 0.00 | 40.00 ± 0.00 | 20.00 ± 0.00"
    expected = f"""\
# sysu-mm01: sysu-all, seeded draw

Protocol `sysu-all`, draw `seeded`, fingerprint `{REAL[:16]}`. Scores in percent, published rows as printed (–: not \
printed, not measured or not known). Measured rows as mean ± standard deviation, over seeds where there are several \
(n - 1), else over trials.

Ranks count within a section, by r1. A measured row holds the places from one plus the rows that are surely better to \
the rows that are not surely worse, itself included. Sure is what neither other test identities (Holm over the \
section) nor other seeds, where a row has several, would turn over; an empty line shows where a section parts for \
sure. Printed rows rank among themselves, by r1, then mAP. Printed rows with an audit finding (minor) rank below every \
row without, those with a grave one (major) hold no rank; no finding means that none is known, not that the number was \
checked.

## Test-time information: none

{header}
| 1 | agw | trained | 1 | {scores} | none | seeded | all | 288x144 | none | 2025-01-31 | {record} | 1 seed |
| | | | | | | | | | | | | | | | | | |
| 1 | agw | published | – | 47.50 | – | – | – | 47.65 [1] | – | none | seeded | – | – | – | 2021 | a-2020 Table 1 \
| test-set-checkpoint [A1] |

## Shown, not ranked

{header}
| – | cal | published | – | 74.66 | – | – | – | – | – | none | unknown | – | – | – | 2021 | cal\\|x | draw unknown |

## Measured beside published

Differences in percent points: measured minus published.

| method | published as | r1 | r1 published | r1 difference | mAP | mAP published | mAP difference | printed in \
| evidence | marks |
| agw | agw | 54.50 ± 2.87 | 47.50 | +7.00 | 40.00 ± 0.00 | 47.65 [1] | -7.65 | a-2020 Table 1 | {record} \
| test-set-checkpoint [A1] |

## Cost on cpu\\_x

◆: no ranked row of the same section has more r1 for no more of this cost, or as much for less. Query time is that of \
embedding one image at full throughput and matching it. Costs of several seeds are means; timings and memory compare \
only within one device model.

| method | section | r1 | mAP | training s | query ms | extraction images/s | peak memory MiB | runs |
| agw | none | 54.50 ± 2.87 | 40.00 ± 0.00 | 61 ◆ | 25.25 ◆ | 40 ◆ | 3072 ◆ | 1 |

## Cost on any device

| method | section | r1 | mAP | embedding numbers | test parameters M | GFLOPs per image | runs |
| agw | none | 54.50 ± 2.87 | 40.00 ± 0.00 | 2048 ◆ | 22.75 ◆ | 10.40 ◆ | 1 |

## What is wrong or unfair with printed numbers

- [A1] agw, test-set-checkpoint, minor: finding of test-set-checkpoint. Evidence: official code.

## Where papers contradict each other

- [1] agw, value-mismatch: map 47.65 (a-2020 Table 1) against 46.75 (b-2021 Table 2). plausible swap of digits.
"""
    assert _squeezed(to_markdown(board)) == expected.splitlines()


def test_board_of_published_rows_has_no_cost_columns() -> None:
    (board,) = build_boards([], [PRINTED])
    assert "GFLOPs" not in to_markdown(board)


def test_twin_boards_say_that_they_are_synthetic() -> None:
    (board,) = build_boards([make_record()], [])
    text = to_markdown(board)
    assert text.startswith("# sysu-mm01-twin tiny-s0-r1 (synthetic data): sysu-all, seeded draw\n")
    assert "**The images are synthetic.**" in text
    (real,) = build_boards([real_record()], [])
    assert "synthetic" not in to_markdown(real)


def test_foreign_text_cannot_break_the_table() -> None:
    (board,) = build_boards([make_record("a|b_c*d<e>`f`")], [])
    line = next(line for line in to_markdown(board).splitlines() if line.startswith("| 1"))
    assert "a\\|b\\_c\\*d\\<e\\>\\`f\\`" in line


def test_what_speaks_against_a_comparison_is_said_beside_it() -> None:
    printed = replace(
        PRINTED,
        method="paenet",
        draw="unknown",
        test_time_information="attributes",
        audits=(make_audit("major", "attributes-at-test", ("paenet",)),),
    )
    board = next(board for board in build_boards([real_record("paenet")], [printed]) if board.draw == "seeded")
    text = to_markdown(board)
    line = next(line for line in text[text.index("## Measured beside") :].splitlines() if line.startswith("| paenet"))
    assert "draw unknown, published with test-time information attributes, attributes-at-test [A1]" in line


def test_ablations_stand_beside_their_prints() -> None:
    prints = [
        replace(PRINTED, method="ddag", variant=variant, values={"r1": r1}, sources=("ddag-eccv2020 Table 1",))
        for variant, r1 in (("b", "48.18"), ("b-p", "53.69"))
    ]
    records = [real_record("ddag", 0.45, variant="b", run=seeded_run(0), cost=COST), real_record("ddag", variant="b-g")]
    boards = build_boards(records, prints)
    found = {found.method: found for found in ablation_boards(boards, load_published().papers)}
    lines = _squeezed(ablation_markdown(found["ddag"]))
    assert lines[0] == "# Ablations of ddag, sysu-mm01: sysu-all, seeded draw"
    rows = [line for line in lines if line.startswith("| ddag")]
    assert rows[0].startswith("| ddag b | 48.18 | ddag b | 1 | 49.50 ± 2.87 |") and "| +1.32 |" in rows[0]
    assert rows[1].startswith("| ddag b-p | 53.69 | – | – | – |")
    assert rows[2].startswith("| ddag b-g | – | – | 1 | 54.50 ± 2.87 |")
    assert len(rows) == 3


def test_evaluations_of_the_same_runs_stand_apart_by_name() -> None:
    kinds = [{}, {"feature": "id"}, {"query_mode": "single"}, {"variant": "v", "test_attributes": "const"}]
    (board,) = build_boards([replace(make_record("pose"), **kind) for kind in kinds], [])
    text = to_markdown(board)
    names = {row_name(row) for row in board.rows}
    assert names == {"pose", "pose (feature id)", "pose (single queries)", "pose v (attributes const)"}
    assert all(f"| {shown} " in text for shown in ("(feature id)", "(single queries)", "v (attributes const)"))
