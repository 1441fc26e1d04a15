"""What a method costs: time and memory by phase, throughput by batch size, matching by gallery size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vibench.pictures.figure import BLUE, VERMILION, new_figure
from vibench.profiling.profile import EmbeddingCost, MatchingCost, PhaseCost, Profile

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MODES = {"all": (BLUE, "o", "-"), "single": (VERMILION, "s", "--")}
_MEMORY = {"reserved": "#C4C4C4", "allocated": BLUE, "resident": BLUE}
_GIB = 2**30


def profile_figure(profile: Profile) -> Figure:
    """A panel for each part that was measured, and none for the others."""
    panels: list[Callable[[Axes], None]] = []
    phases = profile.phases()
    if phases:
        panels += [lambda axes: _times(axes, phases), lambda axes: _memory(axes, phases)]
    if profile.embedding:
        embedding = profile.embedding
        panels.append(lambda axes: _throughput(axes, embedding))
    if profile.matching:
        panels.append(lambda axes: _matching(axes, profile.matching))
    rows = -(-len(panels) // 2)
    figure = new_figure(9.0, 0.6 + 3.0 * max(rows, 1))
    for place, panel in enumerate(panels):
        panel(figure.add_subplot(rows, 2, place + 1))
    subject = f"{profile.label}, {profile.input}, {profile.precision}, {profile.device}"
    counts = (
        f"{profile.parameters_train / 1e6:.1f} M parameters in training, {profile.parameters_test / 1e6:.1f} M in "
        f"testing, {profile.embedding_size} numbers per image"
    )
    figure.suptitle(f"{subject}\n{counts}", fontsize=10, x=0.01, ha="left")
    return figure


def _times(axes: Axes, phases: Sequence[PhaseCost]) -> None:
    """Points on a logarithmic axis, which bars have no foot on: an update is a hundredth of a backward pass."""
    for row, phase in enumerate(phases):
        time = phase.duration
        axes.plot([time.lower_quartile, time.upper_quartile], [row, row], color=BLUE, linewidth=2.0)
        axes.plot([time.median], [row], "o", color=BLUE)
        axes.annotate(
            f"{time.median:.3g}", (time.median, row), (0, 6), textcoords="offset points", ha="center", fontsize=8
        )
    axes.set_yticks(range(len(phases)), [phase.name for phase in phases])
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_ylim(len(phases) - 0.5, -0.8)
    _finish(axes, "time per phase, median and quartiles", "ms")


def _memory(axes: Axes, phases: Sequence[PhaseCost]) -> None:
    """What is allocated lies in front of what is reserved, of which it is a part."""
    kinds = [kind for kind in ("reserved", "allocated", "resident") if getattr(phases[0].memory, kind) is not None]
    sizes = {kind: [(getattr(phase.memory, kind) or 0) / _GIB for phase in phases] for kind in kinds}
    bars = [axes.barh([phase.name for phase in phases], sizes[kind], color=_MEMORY[kind], label=kind) for kind in kinds]
    if bars:
        figures = zip(*(sizes[kind] for kind in reversed(kinds)), strict=True)
        axes.bar_label(bars[0], [" of ".join(f"{size:.2f}" for size in row) for row in figures], fontsize=8, padding=3)
    axes.margins(x=0.25)
    axes.invert_yaxis()
    if len(kinds) > 1:
        axes.legend(fontsize=8, loc="lower right")
    _finish(axes, f"peak memory per phase, {' of '.join(reversed(kinds))}", "GiB")


def _throughput(axes: Axes, cost: EmbeddingCost) -> None:
    sizes = [batch.images for batch in cost.batches]
    axes.plot(sizes, [batch.images_per_second for batch in cost.batches], "o-", color=BLUE)
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes], fontsize=8)
    axes.minorticks_off()
    axes.set_ylim(bottom=0.0)
    axes.set_ylabel("images/s", fontsize=8)
    _finish(axes, f"embedding; one image takes {cost.latency.median:.3g} ms", "images per batch")


def _matching(axes: Axes, costs: Sequence[MatchingCost]) -> None:
    for cost in costs:
        colour, marker, line = _MODES[cost.query_mode]
        axes.plot(
            [gallery.rows for gallery in cost.galleries],
            [cost.milliseconds_per_query(gallery) for gallery in cost.galleries],
            marker=marker,
            linestyle=line,
            color=colour,
            label=f"query mode {cost.query_mode}",
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylabel("ms per query", fontsize=8)
    if len(costs) > 1:
        axes.legend(fontsize=8)
    _finish(axes, f"matching, {costs[0].distance} distance, blocks of {costs[0].queries} queries", "gallery rows")


def _finish(axes: Axes, title: str, xlabel: str) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlabel(xlabel, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
