"""Which charts stand on the page, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vibench.leaderboard.ablations import AblationBoard
from vibench.leaderboard.board import Board
from vibench.leaderboard.cells import board_title
from vibench.report.charts.boards import cameras_chart, cmc_chart, cost_chart, trials_chart
from vibench.report.charts.methods import ablation_chart, training_chart
from vibench.report.charts.overview import overview_chart, timeline_chart
from vibench.report.charts.robustness import severity_chart
from vibench.report.frames import (
    MOST_CURVES,
    Line,
    ablation_frame,
    cameras_frame,
    cmc_frame,
    cost_frames,
    identities,
    scores_frame,
    severity_frame,
    timeline_frame,
    trials_frame,
)
from vibench.report.methods_page import MethodPart


@dataclass(frozen=True)
class Figure:
    """A chart on the page."""

    id: str
    """Fit for a file."""
    title: str
    chart: Callable[..., Any]
    """A function of `vibench.report.charts`."""
    frame: pd.DataFrame
    arguments: tuple[Any, ...] = ()
    note: str = ""
    wide: bool = False
    """Scrolls sideways where there is no room for all of its columns."""

    @property
    def form(self) -> str:
        """The name of the chart function with its arguments: figures of one form differ in nothing but their data."""
        return f"{self.chart.__name__}{self.arguments}"

    @property
    def columns(self) -> dict[str, list[Any]]:
        """The frame as JSON has it: five decimals, None for what is not known."""
        rounded = self.frame.round(5).astype(object).where(self.frame.notna(), None)
        return {str(name): rounded[name].tolist() for name in rounded}


def overview_figures(lines: Sequence[Line]) -> Iterator[Figure]:
    """Charts over all boards; twins never stand beside real data, nor scores of corrupted images beside clean ones."""
    every, lines = lines, [line for line in lines if line.board.corruption is None]
    real, twins = ([line for line in lines if line.board.synthetic is kind] for kind in (False, True))
    if len(frame := timeline_frame(real)):
        protocols = (tuple(sorted(frame["protocol"].unique())),)
        yield Figure("timeline", "Rank-1 over the years", timeline_chart, frame, protocols, _TIMELINE)
    for name, group in (("real data", real), ("synthetic twins", twins)):
        if len(frame := scores_frame(group)):
            yield Figure(
                f"overview-{name.replace(' ', '-')}", f"Rank-1 by protocol: {name}", overview_chart, frame, wide=True
            )
    if len(frame := severity_frame(every)):
        settings = (tuple(frame["setting"].unique()),)
        yield Figure("severity", "Rank-1 over the severity of corruptions", severity_chart, frame, settings, _SEVERITY)


def board_figures(board: Board, lines: Sequence[Line], key: str) -> Iterator[Figure]:
    """Charts of one board, as far as there is something to draw; ``key`` begins their ids."""
    for number, cost in enumerate(cost_frames(lines, board)):
        title = f"Rank-1 against {cost.kind.heading}" + (f" ({cost.device})" if cost.device else "")
        arguments = (cost.kind.heading, cost.logarithmic)
        yield Figure(f"{key}-cost-{cost.kind.name}-{number}", title, cost_chart, cost.frame, arguments, _COST)
    if len(frame := cmc_frame(lines)):
        yield Figure(f"{key}-cmc", "Cumulative matching", cmc_chart, frame, note=_CMC)
    if len(frame := cameras_frame(lines, board)):
        yield Figure(f"{key}-cameras", "Rank-1 by camera", cameras_chart, frame, note=_CAMERAS, wide=True)
    if len(frame := trials_frame(lines)):
        yield Figure(f"{key}-trials", "Rank-1 over trials and seeds", trials_chart, frame, note=_TRIALS)


def method_figures(
    part: MethodPart,
    ablations: Sequence[AblationBoard],
    ids: Mapping[int, str],
    training: Mapping[tuple[str, str], pd.DataFrame],
) -> Iterator[Figure]:
    """Ablations and training curves of a method; ``ids`` gives what a board is called in ids, by its ``id()``."""
    for one in ablations:
        if one.method == part.name and len(frame := ablation_frame(one)) > 1:
            title = f"Variants, {board_title(one.board)}"
            yield Figure(f"{part.id}-ablation-{ids[id(one.board)]}", title, ablation_chart, frame)
    datasets = [dataset for method, dataset in training if method == part.name]
    for key, dataset in zip(identities(datasets), datasets, strict=True):
        curves = training[part.name, dataset]
        yield Figure(f"{part.id}-training-{key}", f"Training, {dataset}", training_chart, curves)


_TIMELINE = (
    "The staircase joins the best so far of those that look at nothing but the query and each gallery image, as far as "
    "papers say, have no major audit finding and stand in a paper's own table. Nobody may know which draw a paper used."
)
_SEVERITY = f"The same models on the same galleries; at most the {MOST_CURVES} best by their mean over severities."
_COST = "Bubbles grow with the parameters of testing. The staircase joins what nothing of equal information beats."
_CMC = f"At most the {MOST_CURVES} best by rank-1."
_CAMERAS = (
    "Left by query camera; right of it by pairs, where only the matches of that gallery camera are sought, among the "
    "wrong images of all cameras. Records of older versions do not tell gallery cameras apart."
)
_TRIALS = "Boxes hold half of the trials."
