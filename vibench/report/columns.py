"""The columns of a board's table: what they show, how they sort, and which direction is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from vibench.leaderboard.board import Row

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
    of_row: bool = False
    """A row over several runs has a value of its own; else the runs have, and the row shows what they come to."""


def _megabytes(size: int | None) -> float | None:
    return None if size is None else size / 2**20


def _millions(count: int | None) -> float | None:
    return None if count is None else count / 1e6


def _extraction_milliseconds(row: Row) -> float | None:
    speed = row.cost.extraction_images_per_second
    return 1000.0 / speed if speed else None


DEVICE = Column("device", "GPU or CPU model of the timings.", lambda row: row.cost.device or None)
COSTS = (
    Column("train s", "Wall seconds of training.", lambda row: row.run.train_seconds, 0, "lower", timing=True),
    Column("train img/s", "Training images per second.", lambda row: row.run.images_per_second, 0, "higher", True),
    Column(
        "peak MiB", "Peak memory of training, else of extraction.", lambda row: _megabytes(row.cost.peak_memory), 0,
        "lower", timing=True,
    ),
    Column("extract ms/img", "Milliseconds to embed one image.", _extraction_milliseconds, 2, "lower", timing=True),
    Column(
        "match ms/query", "Milliseconds to match one query.", lambda row: row.cost.matching_ms_per_query, 3, "lower",
        timing=True,
    ),
    Column(
        "train M params", "Million parameters in training.", lambda row: _millions(row.cost.parameters_train), 2,
        "lower",
    ),
    Column(
        "test M params", "Million parameters in testing.", lambda row: _millions(row.cost.parameters_test), 2,
        "lower",
    ),
    Column(
        "GFLOPs/img", "Billion floating-point operations per image; a multiply-accumulate counts as two.",
        lambda row: None if row.cost.flops_per_image is None else row.cost.flops_per_image / 1e9, 2, "lower",
    ),
    Column("dimensions", "Numbers in one embedding.", lambda row: row.cost.embedding_size, 0, "lower"),
)  # fmt: skip
SETUP = (
    DEVICE,
    Column("input", "Height and width of the network's input.", lambda row: row.run.input or None),
    Column("backbone", "Backbone network.", lambda row: row.run.backbone or None),
    Column("pretraining", "What the backbone started from.", lambda row: row.run.pretrained or None),
    Column("precision", "Number format of training.", lambda row: row.run.precision or None),
    Column("source", "Where the row comes from.", lambda row: row.source, of_row=True),
    Column("date", "Day of the evaluation, or year of the paper.", lambda row: row.date or None, of_row=True),
)
