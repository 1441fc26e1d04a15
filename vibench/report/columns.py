"""The columns of a board's table: what they show, how they sort, and which direction is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vibench.leaderboard import cost
from vibench.leaderboard.cells import METRIC_TITLES
from vibench.leaderboard.cost import CostKind, cost_of
from vibench.leaderboard.row import Row

Better = Literal["higher", "lower", ""]


@dataclass(frozen=True)
class Column:
    """A column of numbers or short texts about a row."""

    title: str
    meaning: str
    """In one sentence, with the unit."""
    value: Callable[[Row], float | str | None]
    digits: int = 0
    better: Better = ""
    """Which values are best; empty where none is."""
    timing: bool = False
    """Depends on the machine: compares only within one device."""
    signed: bool = False
    """Shown with its sign."""


def _cost_column(kind: CostKind) -> Column:
    better: Better = "higher" if kind.more_is_better else "lower"
    meaning = f"{kind.heading}{', on the device of the row' if kind.on_device else ''}."
    return Column(kind.heading, meaning, lambda row: cost_of(row, kind), kind.digits, better, timing=kind.on_device)


def _device(row: Row) -> str | None:
    return ", ".join(sorted({run.cost.device for run in row.single_runs if run.cost.device})) or None


DEVICE = Column("device", "GPU or CPU model of the timings.", _device)
COSTS = tuple(_cost_column(kind) for kind in cost.COSTS)
SETUP = (
    DEVICE,
    Column("input", "Height and width of the network's input.", lambda row: row.setup.input or None),
    Column("backbone", "Backbone network.", lambda row: row.setup.backbone or None),
    Column("pretraining", "What the backbone started from.", lambda row: row.setup.pretrained or None),
    Column("extra labels", "Labels in training beside identities.", lambda row: row.setup.extra_labels or None),
    Column("draw", "How the galleries were drawn.", lambda row: row.draw or None),
    Column("query mode", "May a ranking look at the other queries?", lambda row: row.setup.query_mode or None),
    Column("source", "Where the row comes from.", lambda row: row.source),
    Column("date", "Day of the evaluation, or year of the paper.", lambda row: row.date or None),
)


def difference_column(metric: str) -> Column:
    """Measured minus published."""
    title = f"{METRIC_TITLES[metric]} − printed"
    return Column(
        title,
        "Measured minus published, in percent points.",
        lambda row: row.difference(metric),
        2,
        signed=True,
    )
