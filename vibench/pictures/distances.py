"""How far apart images of one identity are, and images of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import rankdata

from vibench.pictures.figure import DIFFERENT, SAME, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 60


@dataclass(frozen=True)
class PairDistances:
    """Distances of pairs of images."""

    label: str
    """Which pairs, such as ``visible to infrared``."""
    same: np.ndarray
    """(S,) of pairs of one identity."""
    different: np.ndarray
    """(D,) of pairs of two."""

    @property
    def separation(self) -> float:
        """How often a pair of one identity is nearer than one of two, from 0 to 1, ties counting half (the AUC)."""
        if not len(self.same) or not len(self.different):
            return float("nan")
        ranks = rankdata(np.concatenate([self.different, self.same]))[: len(self.different)]
        above = ranks.sum() - len(self.different) * (len(self.different) + 1) / 2
        return float(above / len(self.different) / len(self.same))


def distance_histograms(groups: Sequence[PairDistances], title: str = "", xlabel: str = "distance") -> Figure:
    """A histogram per group, one above the other on one axis of distances; each kind of pair has area 1.

    Same-identity pairs are filled, different-identity pairs are an outline; dotted lines mark their means.
    """
    figure = new_figure(6.4, 1.9 * len(groups) + 0.7)
    everything = np.concatenate([part for group in groups for part in (group.same, group.different)])
    low, high = float(everything.min()), float(everything.max())
    bins = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
    for axes, group in zip(np.atleast_1d(figure.subplots(len(groups), sharex=True)), groups, strict=True):
        looks = (
            ("same identity", group.same, SAME, {"histtype": "stepfilled", "alpha": 0.55}),
            ("different identities", group.different, DIFFERENT, {"histtype": "step", "linewidth": 1.8}),
        )
        for label, values, colour, look in looks:
            if len(values):
                axes.hist(values, bins, density=True, color=colour, label=f"{label} ({len(values):,} pairs)", **look)
                axes.axvline(values.mean(), color=colour, linestyle=":", linewidth=1.2)
        axes.set_title(f"{group.label}: same nearer than different in {group.separation:.1%}", fontsize=9, loc="left")
        axes.set_yticks([])
        axes.set_ylim(top=1.4 * axes.get_ylim()[1])
        axes.legend(fontsize=7, loc="upper right", ncols=2)
    figure.axes[-1].set_xlabel(xlabel)
    figure.suptitle(title, fontsize=10, x=0.01, ha="left")
    return figure
