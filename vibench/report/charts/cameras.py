"""The per-camera matrix: which camera's queries a method gets right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vibench.report.axes import WIDTH
from vibench.report.charts.chart import Chart, ChartRow, Subject, left_out, says
from vibench.report.drawing import Drawing, Mark, Shape, Text, box, shortened
from vibench.report.numbers import ABSENT, percent
from vibench.report.palette import HEAT

ROWS = 24
_LEFT, _TOP, _CELL = 158.0, 46.0, 26.0


@dataclass(frozen=True)
class CameraScore:
    """Scores of the queries of one camera, or of one pair of cameras, in percent."""

    r1: float
    map: float


@dataclass(frozen=True)
class CameraRow:
    """One method's scores, by the matrix' columns."""

    subject: Subject
    scores: tuple[CameraScore | None, ...]
    """One per column; None where no query has a reachable match there."""


@dataclass(frozen=True)
class CameraColumns:
    """What the columns of a matrix stand for."""

    name: str
    """Part of a file name."""
    title: str
    """What the columns are, as the head of the drawing says."""
    labels: tuple[str, ...]
    note: str


def cameras_chart(rows: Sequence[CameraRow], columns: CameraColumns, title: str) -> Chart:
    """Rank-1 of each method (row) for the queries of each camera or pair (column), for the first `ROWS` methods."""
    cameras = columns.labels
    drawn = rows[:ROWS]
    width = (WIDTH - _LEFT - 14) / len(cameras)
    values = [score.r1 for row in drawn for score in row.scores if score is not None]
    low, high = min(values), max(values)
    shapes: list[Shape] = [
        Text((_LEFT + width * (at + 0.5), _TOP - 10), shortened(camera, width - 4, 11), anchor="middle")
        for at, camera in enumerate(cameras)
    ]
    shapes.append(Text((_LEFT + (WIDTH - _LEFT - 14) / 2, 16), f"{columns.title}, rank-1 (%)", anchor="middle"))
    for number, row in enumerate(drawn):
        top = _TOP + _CELL * number
        label = Text((_LEFT - 8, top + 17), shortened(row.subject.label, _LEFT - 14, 11), anchor="end")
        shapes.append(Mark(row.subject.label, row.subject.records, (label,)))
        for at, (camera, score) in enumerate(zip(cameras, row.scores, strict=True)):
            left = _LEFT + width * at
            if score is None:
                shapes.append(Text((left + width / 2, top + 17), ABSENT, "muted", anchor="middle"))
                continue
            heat = HEAT[min(int(len(HEAT) * (score.r1 - low) / (high - low or 1.0)), len(HEAT) - 1)]
            spoken = says(row.subject, f"{camera}, rank-1 {percent(score.r1)} %, mAP {percent(score.map)} %")
            cell = box(left + 1, top + 1, width - 2, _CELL - 2, heat)
            text = Text((left + width / 2, top + 17), f"{score.r1:.1f}", anchor="middle")
            shapes.append(Mark(spoken, row.subject.records, (cell, text)))
    return Chart(
        columns.name,
        Drawing(
            f"Rank-1 by {columns.title}, {title}",
            f"A matrix of methods against {columns.title} {', '.join(cameras)}; darker cells of a light page, or "
            f"brighter ones of a dark page, are higher, from {percent(low)} % to {percent(high)} %.",
            WIDTH,
            _TOP + _CELL * len(drawn) + 10,
            tuple(shapes),
        ),
        ("method", *(f"{camera}, {metric}" for metric in ("rank-1", "mAP") for camera in cameras)),
        tuple(
            ChartRow(
                row.subject,
                tuple(
                    ABSENT if score is None else percent(getattr(score, metric))
                    for metric in ("r1", "map")
                    for score in row.scores
                ),
            )
            for row in drawn
        ),
        " ".join(part for part in (left_out(len(drawn), len(rows)), columns.note) if part),
    )
