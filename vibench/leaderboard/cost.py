"""What accuracy costs: cost tables of a board, one for each device model, and who is beaten by nobody at his cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vibench.errors import UsageError, suggestion
from vibench.leaderboard.board import Board
from vibench.leaderboard.row import Row

ALL_COSTS = "cost"
"""Name under which the command line asks for the tables of all costs."""
UNKNOWN_DEVICE = "unknown device"
ANY_DEVICE = ""
"""Device of the table of costs that are the same on every device."""


@dataclass(frozen=True)
class CostKind:
    """One cost of a run."""

    name: str
    title: str
    unit: str
    value: Callable[[Row], float | None]
    """Of the row of a single run; None where it was not measured."""
    digits: int
    on_device: bool = True
    """Depends on the device model, and so compares within one only."""
    more_is_better: bool = False

    @property
    def heading(self) -> str:
        """Title with its unit."""
        return f"{self.title} {self.unit}".strip()


def _milliseconds_per_query(row: Row) -> float | None:
    """Milliseconds until one query is ranked: its image embedded at full throughput, then matched."""
    speed, matching = row.cost.extraction_images_per_second, row.cost.matching_ms_per_query
    return None if not speed or matching is None else 1000.0 / speed + matching


def _training_seconds(row: Row) -> float | None:
    """Seconds of training on one process; those of several together compare with nothing."""
    return None if (row.run.processes or 1) > 1 else row.run.train_seconds


def _scaled(value: int | None, unit: float) -> float | None:
    return None if value is None else value / unit


COSTS = (
    CostKind("train-time", "training", "s", _training_seconds, 0),
    CostKind("latency", "query", "ms", _milliseconds_per_query, 2),
    CostKind("throughput", "extraction", "images/s", lambda row: row.cost.extraction_images_per_second, 0, True, True),
    CostKind("memory", "peak memory", "MiB", lambda row: _scaled(row.cost.peak_memory, 2**20), 0),
    CostKind("embedding", "embedding", "numbers", lambda row: row.cost.embedding_size, 0, False),
    CostKind("parameters", "test parameters", "M", lambda row: _scaled(row.cost.parameters_test, 1e6), 2, False),
    CostKind("flops", "GFLOPs per image", "", lambda row: _scaled(row.cost.flops_per_image, 1e9), 2, False),
)


@dataclass(frozen=True)
class CostLine:
    """A row's costs on one device, means over its runs there."""

    row: Row
    values: tuple[float | None, ...]
    """One per `COSTS`."""
    runs: int
    pareto: frozenset[str]
    """Names of the costs at which no row of the same section has more r1 for no more, or as much for less."""

    def value(self, kind: CostKind) -> float | None:
        """The row's cost of one kind."""
        return self.values[COSTS.index(kind)]


@dataclass(frozen=True)
class CostTable:
    """The measured rows of a board on one device model."""

    device: str
    """`ANY_DEVICE` where only costs stand that no device changes."""
    lines: tuple[CostLine, ...]
    """By falling r1."""

    @property
    def kinds(self) -> tuple[CostKind, ...]:
        """The costs to compare here that at least one line has."""
        return tuple(
            kind
            for kind in COSTS
            if kind.on_device == bool(self.device) and any(line.value(kind) is not None for line in self.lines)
        )

    def sorted_by(self, kind: CostKind) -> list[CostLine]:
        """The lines that have this cost, cheapest first, of equals the higher r1."""
        sign = -1.0 if kind.more_is_better else 1.0
        known = [(sign * value, line) for line in self.lines if (value := line.value(kind)) is not None]
        return [line for _, line in sorted(known, key=lambda pair: pair[0])]


def cost_of(row: Row, kind: CostKind) -> float | None:
    """Mean over the runs of a row; None where they were timed on several device models."""
    runs = row.single_runs
    if kind.on_device and len({run.cost.device for run in runs}) > 1:
        return None
    return _mean(kind, runs)


def cost_kinds(name: str) -> tuple[CostKind, ...]:
    """The cost of that name, or all for `ALL_COSTS`; `UsageError` with a suggestion for an unknown name."""
    if name == ALL_COSTS:
        return COSTS
    known = {kind.name: kind for kind in COSTS}
    if name not in known:
        names = (ALL_COSTS, *known)
        raise UsageError(f"--by {name}: there is no such cost{suggestion(name, names)}; choose {', '.join(names)}.")
    return (known[name],)


def cost_tables(board: Board) -> list[CostTable]:
    """A table for each device model that runs were timed on, by name, and one of the costs that no device changes."""
    rows = [row for row in board.rows if row.source != "published"]
    devices = sorted({run.cost.device or UNKNOWN_DEVICE for row in rows for run in row.single_runs})
    return [_table(device, rows) for device in (*devices, ANY_DEVICE)] if rows else []


def pareto(board: Board) -> dict[int, set[str]]:
    """Per measured row, by its ``id()``: the costs at which nothing beats it, on any of its devices."""
    fronts: dict[int, set[str]] = {}
    for table in cost_tables(board):
        shown = {kind.name for kind in table.kinds}
        for line in table.lines:
            fronts.setdefault(id(line.row), set()).update(line.pareto & shown)
    return fronts


def _table(device: str, rows: Sequence[Row]) -> CostTable:
    lines = []
    for row in rows:
        runs = [run for run in row.single_runs if device in (ANY_DEVICE, run.cost.device or UNKNOWN_DEVICE)]
        if runs:
            lines.append(CostLine(row, tuple(_mean(kind, runs) for kind in COSTS), len(runs), frozenset()))
    lines.sort(key=lambda line: (-line.row.scores["r1"].value, line.row.order))
    return CostTable(device, tuple(with_front(lines)))


def with_front(lines: Sequence[CostLine]) -> list[CostLine]:
    """The lines, with the costs at which each is on the Pareto front of r1 among those of its section.

    Rows without rank neither get the mark nor take it from others.
    """
    marked = []
    for line in lines:
        rivals = [other for other in lines if other.row.section == line.row.section and not other.row.obstacles]
        front = {
            kind.name
            for kind in COSTS
            if not line.row.obstacles
            and line.value(kind) is not None
            and not any(_beats(other, line, kind) for other in rivals)
        }
        marked.append(CostLine(line.row, line.values, line.runs, frozenset(front)))
    return marked


def _beats(one: CostLine, other: CostLine, kind: CostKind) -> bool:
    """At least as good in r1 and in cost, and better in one of them."""
    mine, theirs = one.value(kind), other.value(kind)
    if mine is None or theirs is None:
        return False
    if kind.more_is_better:
        mine, theirs = -mine, -theirs
    r1, other_r1 = one.row.scores["r1"].value, other.row.scores["r1"].value
    return r1 >= other_r1 and mine <= theirs and (r1 > other_r1 or mine < theirs)


def _mean(kind: CostKind, runs: Iterable[Row]) -> float | None:
    known = [value for run in runs if (value := kind.value(run)) is not None]
    return math.fsum(known) / len(known) if known else None
