"""The training log."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from vibench.errors import UsageError
from vibench.training.log import EpochReport, TrainingLog, read_log


def report(epoch: int, **losses: float) -> EpochReport:
    return EpochReport(epoch, 0.1, {**losses, "total": 2.0}, 640, 4.0, 1.0, complete=True)


def test_rows_come_back_as_numbers(tmp_path: Path):
    log = TrainingLog(tmp_path / "log.csv")
    log.append(report(0, identity=2.0))
    log.append(report(1, identity=1.5, late=0.5))
    first, second = read_log(tmp_path / "log.csv")
    assert first["images_per_second"] == 160 and first["data_wait"] == 0.25 and first["seconds"] == 4.0
    assert math.isnan(first["late"]) and second["late"] == 0.5
    assert (tmp_path / "log.csv").read_text().splitlines()[0] == (
        "epoch,lr,identity,late,total,images_per_second,data_wait,seconds"
    )


def test_reopening_drops_what_will_be_trained_again(tmp_path: Path):
    log = TrainingLog(tmp_path / "log.csv")
    for epoch in range(3):
        log.append(report(epoch, identity=float(epoch)))
    TrainingLog(tmp_path / "log.csv", next_epoch=1).append(report(1, identity=9.0))
    assert [(row["epoch"], row["identity"]) for row in read_log(tmp_path / "log.csv")] == [(0, 0), (1, 9)]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "epoch,lr\nzero,1\n", "epoch,lr\n0\n1,2,3\n", "epoch,lr\n0,fast\n"])
def test_a_foreign_file_is_refused(tmp_path: Path, text: str):
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(UsageError, match=r"log\.csv: is not a training log"):
        TrainingLog(tmp_path / "log.csv")
