"""The training log: one CSV row per epoch."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

from vibench.errors import UsageError
from vibench.files.reading import read_text
from vibench.files.writing import write_text


@dataclass(frozen=True)
class EpochReport:
    """What one epoch, or the part of it since the last interruption, came to."""

    epoch: int
    """From 0."""
    lr: float
    losses: dict[str, float]
    """Mean of every loss over all steps of the epoch, unweighted, and their weighted sum as ``total``."""
    images: int
    """Images trained on since the start of the epoch or the last interruption; the three below belong to them."""
    seconds: float
    """Wall seconds, waiting for data included."""
    data_wait_seconds: float
    """Seconds of these in which the network waited for its next batch."""
    complete: bool
    """False where the epoch was interrupted."""

    @property
    def images_per_second(self) -> float:
        """Images per wall second."""
        return self.images / self.seconds if self.seconds > 0 else 0.0

    @property
    def data_wait(self) -> float:
        """Share of the wall time spent waiting for data."""
        return self.data_wait_seconds / self.seconds if self.seconds > 0 else 0.0


class TrainingLog:
    """``log.csv``: epoch, lr, every loss, images per second, share of data wait, seconds."""

    def __init__(self, path: Path, next_epoch: int = 0) -> None:
        """Open the log of a run whose next epoch is ``next_epoch``; rows of that epoch and later are dropped.

        Such rows stand in a log whose run was killed before the epoch's checkpoint was written.
        """
        self._path = path
        self._rows = [row for row in _read(path) if int(row["epoch"]) < next_epoch]

    def append(self, report: EpochReport) -> None:
        """Add an epoch. The file is replaced as a whole, so that it never holds half a row."""
        self._rows.append(
            {
                "epoch": str(report.epoch),
                "lr": f"{report.lr:.8g}",
                **{name: f"{value:.6f}" for name, value in report.losses.items()},
                "images_per_second": f"{report.images_per_second:.2f}",
                "data_wait": f"{report.data_wait:.4f}",
                "seconds": f"{report.seconds:.2f}",
            }
        )
        # A loss may come in late; its column is then empty for the epochs before.
        columns = list(dict.fromkeys(name for row in reversed(self._rows) for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self._path, text.getvalue())


def read_log(path: Path) -> list[dict[str, float]]:
    """The rows of a ``log.csv``, column -> number; a loss that an epoch did not have is NaN."""
    return [{name: float(value) if value else math.nan for name, value in row.items()} for row in _read(path)]


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(path), newline="")))
        for row in rows:
            # Longer ones are no number of an epoch, and as floats they could be infinite.
            if not re.fullmatch(r"[0-9]{1,9}", row["epoch"]):
                raise ValueError(f"no epoch: {row['epoch']}")
            float(row["total"])
            for value in row.values():
                float(value or 0)
    except (OSError, ValueError, TypeError, KeyError, csv.Error):
        raise UsageError(
            f"{path}: is not a training log that vibench wrote; move it away, the run goes on without it."
        ) from None
    return rows
