"""The charts of one board, from its ranked measured rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vibench.leaderboard.board import Board
from vibench.leaderboard.cells import board_title
from vibench.leaderboard.cost import cost_tables
from vibench.protocols import load_protocol, protocol_names
from vibench.report.charts.cameras import CameraColumns, CameraRow, CameraScore, cameras_chart
from vibench.report.charts.chart import Chart
from vibench.report.charts.cmc import Curve, cmc_chart
from vibench.report.charts.cost import CostAxis, CostPoint, cost_chart
from vibench.report.charts.trials import Strip, Trial, trials_chart
from vibench.report.entries import Entry, EntrySection, measured_entries

_COSTS = ("train-time", "latency", "parameters", "flops")
"""Names of the costs that have a chart."""
MOST_PAIRS = 12
"""More pairs of cameras than this do not fit beside one another."""
_PAIRS = (
    "Of each pair only the matches of that gallery camera are sought, among the wrong images of all cameras. Records "
    "of older versions do not tell gallery cameras apart."
)


def board_charts(board: Board, sections: Sequence[EntrySection]) -> list[Chart]:
    """CMC curves, accuracy against costs, per-camera matrix and trial spread, as far as there is something to draw."""
    entries = measured_entries(sections)
    title = board_title(board)
    charts = []
    curves = [curve for entry in entries if len((curve := _curve(entry)).values) > 1]
    if curves:
        charts.append(cmc_chart(curves, title))
    charts += _cost_charts(board, entries, title)
    charts += _camera_charts(board, entries, title)
    if any(len(outcome.record.trials) > 1 for entry in entries for outcome in entry.outcomes):
        charts.append(trials_chart([_strip(entry) for entry in entries], title))
    return charts


def _curve(entry: Entry) -> Curve:
    ranks = min(len(outcome.record.cmc) for outcome in entry.outcomes)
    mean = np.mean([outcome.record.cmc[:ranks] for outcome in entry.outcomes], axis=0)
    return Curve(entry.subject, tuple(float(100.0 * value) for value in mean))


def _cost_charts(board: Board, entries: Sequence[Entry], title: str) -> list[Chart]:
    subjects = {id(entry.row): entry.subject for entry in entries}
    charts = []
    for number, table in enumerate(cost_tables(board), start=1):
        lines = [line for line in table.lines if id(line.row) in subjects]
        for kind in table.kinds:
            points = [
                CostPoint(
                    subjects[id(line.row)],
                    line.row.section,
                    cost,
                    line.row.scores["r1"].value,
                    kind.name in line.pareto,
                )
                for line in lines
                if (cost := line.value(kind)) is not None
            ]
            if kind.name in _COSTS and len(points) > 1:
                name = f"{kind.name}-{number}" if table.device else kind.name
                heading = f"{kind.heading} ({table.device})" if table.device else kind.heading
                charts.append(cost_chart(points, CostAxis(name, heading, kind.digits), title))
    return charts


def _camera_charts(board: Board, entries: Sequence[Entry], title: str) -> list[Chart]:
    """The matrices by query camera and by pairs of cameras, each where there are at least two columns."""
    queries = [[outcome.cameras for outcome in entry.outcomes] for entry in entries]
    cameras = sorted({camera for found in queries for scores in found for camera in scores})
    labels = tuple(_camera_name(camera, board.protocol) for camera in cameras)
    charts = []
    if len(cameras) > 1:
        rows = [
            CameraRow(entry.subject, tuple(_mean([scores.get(camera) for scores in found]) for camera in cameras))
            for entry, found in zip(entries, queries, strict=True)
        ]
        charts.append(cameras_chart(rows, CameraColumns("cameras", "query camera", labels, ""), title))
    matrix = [[outcome.pairs for outcome in entry.outcomes] for entry in entries]
    pairs = sorted({pair for found in matrix for scores in found for pair in scores})
    if 1 < len(pairs) <= MOST_PAIRS:
        rows = [
            CameraRow(entry.subject, tuple(_mean([scores.get(pair) for scores in found]) for pair in pairs))
            for entry, found in zip(entries, matrix, strict=True)
        ]
        arrows = tuple(f"{query} → {gallery}" for query, gallery in pairs)
        charts.append(cameras_chart(rows, CameraColumns("pairs", "query → gallery camera", arrows, _PAIRS), title))
    return charts


def _mean(scores: Sequence[CameraScore | None]) -> CameraScore | None:
    """The mean over seeds; None where one has no valid query there."""
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
