"""Published rows, records on real data and a small board for the tests of this folder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.records.made import make_record
from vibench.leaderboard.audits import Audit, parse_selector
from vibench.leaderboard.board import Board, build_boards, protocol_fingerprint
from vibench.leaderboard.consensus import PublishedRow
from vibench.leaderboard.published import Conflict
from vibench.leaderboard.rank import Rank
from vibench.leaderboard.row import Row
from vibench.records.schema import Cost, Record, RunInfo
from vibench.runtime.memory import PeakMemory

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
    extraction_images_per_second=40.0,
    matching_ms_per_query=0.25,
    training_memory=PeakMemory(resident=3 * 2**30),
)


def make_audit(
    severity: str = "minor", kind: str = "test-set-checkpoint", methods: tuple[str, ...] = ("agw",)
) -> Audit:
    """A finding about all rows of its methods."""
    return Audit(methods, kind, (parse_selector("*:*"),), f"finding of {kind}", "official code", severity)


def real_record(method: str = "agw", r1: float = 0.5, mean_ap: float = 0.4, **changes: Any) -> Record:
    """A complete record on SYSU-MM01, single-shot all-search."""
    settings = {"dataset": "sysu-mm01", "fingerprint": REAL, "complete": True, "trial_count": 10, **changes}
    return make_record(method, r1, mean_ap, **settings)


def small_board() -> Board:
    """One measured row, its published one with a contradiction, and one of an unknown draw."""
    run = RunInfo(id="run-1", seed=0, train_seconds=61.4, images_per_second=130.6, input="288x144")
    printed = replace(PRINTED, conflicts=(("map", CONFLICT),), audits=(make_audit(),))
    unknown = replace(PRINTED, method="cal", draw="unknown", values={"r1": "74.66"}, sources=("cal|x",))
    boards = build_boards([real_record(run=run, cost=COST)], [printed, unknown])
    return next(board for board in boards if board.draw == "seeded")


def lines_of(board: Board) -> list[tuple[str, int | str | None, str]]:
    """Section, rank (a whole number where it is plain) and method of every row."""
    return [(section.title, _shown(rank), row.method) for section in board.sections for rank, row in section.rows]


def _shown(rank: Rank | None) -> int | str | None:
    return rank if rank is None else rank.low if rank.low == rank.high else str(rank)


def rows_of(board: Board) -> dict[str, Row]:
    """The rows by method."""
    return {row.method: row for row in board.rows}
