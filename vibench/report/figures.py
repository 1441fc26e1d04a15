"""Which charts stand on the page, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from vibench.leaderboard.ablations import AblationBoard
from vibench.leaderboard.board import Board
from vibench.leaderboard.cells import board_title
from vibench.report import charts, frames
from vibench.report.frames import Line, identities
from vibench.report.methods import MethodPart


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
        rounded = self.frame.round(5)
        # NaN alone differs from itself.
        return {str(name): [one if one == one else None for one in rounded[name].tolist()] for name in rounded}


def overview_figures(lines: Sequence[Line]) -> Iterator[Figure]:
    """Charts over all boards; twins never stand beside real data, nor scores of corrupted images beside clean ones."""
    clean = [line for line in lines if line.board.corruption is None]
    real, twins = ([line for line in clean if line.board.synthetic is kind] for kind in (False, True))
    if len(frame := frames.timeline_frame(real)):
        note = (
            "The staircase joins the best so far of those that look at nothing but the query and each gallery image, "
            "as far as papers say, have no major audit finding and stand in a paper's own table. Nobody may know which "
            "draw a paper used."
        )
        protocols = (tuple(sorted(frame["protocol"].unique())),)
        yield Figure("timeline", "Rank-1 over the years", charts.timeline_chart, frame, protocols, note)
    for name, group in (("real data", real), ("synthetic twins", twins)):
        if len(frame := frames.scores_frame(group)):
            key, title = f"overview-{name.replace(' ', '-')}", f"Rank-1 by protocol: {name}"
            yield Figure(key, title, charts.overview_chart, frame, wide=True)
    if len(frame := frames.severity_frame(lines)):
        note = f"The same models on the same galleries; at most the {frames.MOST_CURVES} best by their mean."
        settings, title = (tuple(frame["setting"].unique()),), "Rank-1 over the severity of corruptions"
        yield Figure("severity", title, charts.severity_chart, frame, settings, note)


def board_figures(board: Board, lines: Sequence[Line], key: str) -> Iterator[Figure]:
    """Charts of one board, as far as there is something to draw; ``key`` begins their ids."""
    for number, cost in enumerate(frames.cost_frames(lines, board)):
        title = f"Rank-1 against {cost.kind.heading}" + (f" ({cost.device})" if cost.device else "")
        note = "Bubbles grow with parameters in testing. The staircase joins what nothing of equal information beats."
        arguments = (cost.kind.heading, cost.logarithmic)
        yield Figure(f"{key}-cost-{cost.kind.name}-{number}", title, charts.cost_chart, cost.frame, arguments, note)
    if len(frame := frames.cmc_frame(lines)):
        note = f"At most the {frames.MOST_CURVES} best by rank-1."
        yield Figure(f"{key}-cmc", "Cumulative matching", charts.cmc_chart, frame, note=note)
    if len(frame := frames.cameras_frame(lines)):
        note = (
            "Left by query camera; right of it by pairs, where only the matches of that gallery camera are sought, "
            "among the wrong images of all cameras. Records of older versions do not tell gallery cameras apart."
        )
        yield Figure(f"{key}-cameras", "Rank-1 by camera", charts.cameras_chart, frame, note=note, wide=True)


def method_figures(
    part: MethodPart,
    ablations: Sequence[AblationBoard],
    ids: Mapping[int, str],
    training: Mapping[tuple[str, str], pd.DataFrame],
) -> Iterator[Figure]:
    """Ablations and training curves of a method; ``ids`` gives what a board is called in ids, by its ``id()``."""
    for one in ablations:
        if one.method == part.name and len(frame := frames.ablation_frame(one)) > 1:
            title = f"Variants, {board_title(one.board)}"
            yield Figure(f"{part.id}-ablation-{ids[id(one.board)]}", title, charts.ablation_chart, frame)
    datasets = [dataset for method, dataset in training if method == part.name]
    for key, dataset in zip(identities(datasets), datasets, strict=True):
        curves = training[part.name, dataset]
        yield Figure(f"{part.id}-training-{key}", f"Training, {dataset}", charts.training_chart, curves)
