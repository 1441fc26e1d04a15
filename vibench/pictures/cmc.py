"""Cumulative matching characteristics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vibench.pictures.figure import BLUE, GREY, IDENTITY_COLOURS, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLES = ("-", "--", "-.", ":")


def cmc_figure(curves: Mapping[str, np.ndarray], title: str = "", trials: np.ndarray | None = None) -> Figure:
    """Share of queries whose first true match is at a rank or before, against the rank, in percent.

    ``curves`` maps labels to (R,) fractions at ranks 1, 2, ...; ``trials`` (T, R) are drawn thin behind them.
    """
    figure = new_figure(6.0, 4.2)
    axes = figure.subplots()
    for curve in () if trials is None else trials:
        axes.plot(np.arange(1, len(curve) + 1), 100 * curve, color=GREY, linewidth=0.6, alpha=0.7)
    if trials is not None and len(trials):
        axes.lines[0].set_label(f"single trials ({len(trials)})")
    for number, (label, curve) in enumerate(curves.items()):
        ranks = np.arange(1, len(curve) + 1)
        colour = IDENTITY_COLOURS[number % len(IDENTITY_COLOURS)] if len(curves) > 1 else BLUE
        axes.plot(ranks, 100 * np.asarray(curve), _STYLES[number % 4], color=colour, linewidth=2.0, label=label)
    if len(curves) == 1:
        (curve,) = curves.values()
        for rank in (rank for rank in (1, 5, 10, 20) if rank <= len(curve)):
            value = 100 * float(curve[rank - 1])
            axes.plot([rank], [value], "o", color=BLUE, markersize=4)
            axes.annotate(f"{value:.1f}", (rank, value), xytext=(4, -11), textcoords="offset points", fontsize=8)
    axes.set(xlabel="rank", ylabel="queries matched up to this rank (%)", ylim=(0, 101))
    axes.set_title(title, fontsize=10, loc="left")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    return figure
