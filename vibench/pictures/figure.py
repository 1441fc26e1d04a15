"""Empty figures, finished files and the colours between: the one place that imports matplotlib."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vibench.errors import UsageError
from vibench.files.writing import atomic_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, VERMILION, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#E69F00", "#009E73", "#CC79A7", "#8A8A8A"
"""Colours that people with any common colour vision tell apart (Okabe and Ito, "Color Universal Design", 2008)."""

OF_MODALITY = {"visible": BLUE, "infrared": VERMILION}
SAME, DIFFERENT = BLUE, VERMILION

IDENTITY_COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, "#56B4E9", "#000000", "#B8AD00", "#7A3E9D", GREY)

DPI = 130


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, that belongs to no window; `UsageError` where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise UsageError("pictures need matplotlib, which is not installed: pip install 'vibench[plots]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def require_matplotlib() -> None:
    """Raise `UsageError` where matplotlib is not installed."""
    new_figure(1.0, 1.0)


def write_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG, atomically; equal figures give equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        figure.savefig(handle, format="png", dpi=DPI, metadata={"Software": "vibench"})
