"""The charts of one board, from its ranked measured rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vibench.leaderboard.board import Board
from vibench.leaderboard.render import board_title
from vibench.protocols import load_protocol, protocol_names
from vibench.report.charts.cameras import CameraRow, CameraScore, cameras_chart
from vibench.report.charts.chart import Chart
from vibench.report.charts.cmc import Curve, cmc_chart
from vibench.report.charts.cost import CostAxis, CostPoint, cost_chart
from vibench.report.charts.trials import Strip, Trial, trials_chart
from vibench.report.columns import COSTS, DEVICE, Column
from vibench.report.entries import Entry, EntrySection, measured_entries

_COST_AXES = {
    "train s": CostAxis("training", "seconds of training", 0),
    "extract ms/img": CostAxis("extraction", "milliseconds to embed an image", 2),
    "GFLOPs/img": CostAxis("flops", "GFLOPs per image", 2),
    "test M params": CostAxis("parameters", "million parameters in testing", 2),
}
"""By the title of the board's column."""


def board_charts(board: Board, sections: Sequence[EntrySection]) -> list[Chart]:
    """CMC curves, accuracy against costs, per-camera matrix and trial spread, as far as there is something to draw."""
    entries = measured_entries(sections)
    title = board_title(board)
    charts = []
    curves = [curve for entry in entries if len((curve := _curve(entry)).values) > 1]
    if curves:
        charts.append(cmc_chart(curves, title))
    charts += _cost_charts(entries, title)
    cameras = sorted({camera for entry in entries for outcome in entry.outcomes for camera in outcome.cameras})
    if len(cameras) > 1:
        rows = [CameraRow(entry.subject, tuple(_camera(entry, camera) for camera in cameras)) for entry in entries]
        charts.append(cameras_chart(rows, [_camera_name(camera, board.protocol) for camera in cameras], title))
    if any(len(outcome.record.trials) > 1 for entry in entries for outcome in entry.outcomes):
        charts.append(trials_chart([_strip(entry) for entry in entries], title))
    return charts


def _curve(entry: Entry) -> Curve:
    ranks = min(len(outcome.record.cmc) for outcome in entry.outcomes)
    mean = np.mean([outcome.record.cmc[:ranks] for outcome in entry.outcomes], axis=0)
    return Curve(entry.subject, tuple(float(100.0 * value) for value in mean))


def _cost_charts(entries: Sequence[Entry], title: str) -> list[Chart]:
    charts = []
    for column in COSTS:
        if column.title not in _COST_AXES:
            continue
        axis = _COST_AXES[column.title]
        points = _points(entries, column)
        devices = sorted({device for device, _ in points}) if column.timing else [""]
        for number, device in enumerate(devices, start=1):
            chosen = [point for found, point in points if not column.timing or found == device]
            if len(chosen) < 2:
                continue
            named = CostAxis(
                axis.name if len(devices) == 1 else f"{axis.name}-{number}",
                f"{axis.title} ({device or 'unknown device'})" if column.timing else axis.title,
                axis.digits,
            )
            charts.append(cost_chart(chosen, named, title))
    return charts


def _points(entries: Sequence[Entry], column: Column) -> list[tuple[str, CostPoint]]:
    """Device and point of every entry that has the cost."""
    return [
        (
            str(entry.value(DEVICE) or ""),
            CostPoint(entry.subject, entry.row.test_time_information, float(cost), entry.row.scores["r1"].value),
        )
        for entry in entries
        if (cost := entry.value(column)) is not None
    ]


def _camera(entry: Entry, camera: int) -> CameraScore | None:
    """The mean over seeds; None where a seed has no valid query of the camera."""
    scores = [outcome.cameras.get(camera) for outcome in entry.outcomes]
    known = [score for score in scores if score is not None]
    if len(known) < len(scores):
        return None
    return CameraScore(*(float(np.mean([getattr(score, name) for score in known])) for name in ("r1", "map")))


def _camera_name(camera: int, protocol: str) -> str:
    """``camera 3``, and its modality where the protocol knows the camera among the queries'."""
    if protocol in protocol_names():
        query = load_protocol(protocol).query
        if camera in query.cameras:
            return f"camera {camera}, {query.modality}"
    return f"camera {camera}"


def _strip(entry: Entry) -> Strip:
    several = len(entry.outcomes) > 1
    return Strip(
        entry.subject,
        tuple(
            Trial(
                outcome.record.id,
                f"seed {outcome.record.run.seed}, trial {trial.trial}" if several else f"trial {trial.trial}",
                100.0 * trial.r1,
            )
            for outcome in entry.outcomes
            for trial in outcome.record.trials
        ),
    )
