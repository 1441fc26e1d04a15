"""Drawings as PNG files, in the light palette, with matplotlib (the optional extra ``plots``)."""

from __future__ import annotations

import warnings
from pathlib import Path

from vibench.files.writing import atomic_path
from vibench.report.drawing import Circle, Drawing, Line, Mark, Polygon, Shape, Text, wrapped
from vibench.report.markup import displayable
from vibench.report.palette import LIGHT

PIXELS_PER_INCH = 100
SHARPNESS = 2
"""Pixels of the picture per pixel of the drawing."""
_TITLE_SIZE, _TITLE_LINE = 10.5, 15.0
"""Of the title, which on the page is the figure's caption, in pixels of the drawing."""


def have_matplotlib() -> bool:
    """Is matplotlib, and with it `write_png`, at hand?"""
    from importlib.util import find_spec

    return find_spec("matplotlib") is not None


def write_png(path: Path, drawing: Drawing) -> None:
    """Write the drawing; the same drawing gives the same bytes with one version of matplotlib."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Bold letters are wider.
    lines = wrapped(drawing.title, 0.85 * drawing.width, _TITLE_SIZE)
    above = 10 + _TITLE_LINE * len(lines)
    size = (drawing.width / PIXELS_PER_INCH, (drawing.height + above) / PIXELS_PER_INCH)
    figure = Figure(figsize=size, dpi=PIXELS_PER_INCH * SHARPNESS, facecolor=LIGHT["surface"])
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, drawing.width), ylim=(drawing.height, -above))
    axes.axis("off")
    title = (
        Text((10, _TITLE_LINE * (number + 1) - above), line, size=_TITLE_SIZE, bold=True)
        for number, line in enumerate(lines)
    )
    _draw(axes, (*title, *drawing.shapes))
    with atomic_path(path) as temporary, temporary.open("wb") as handle, warnings.catch_warnings():
        # Its own face has no Chinese letters, for instance; it draws a box instead.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        FigureCanvasAgg(figure).print_png(handle, metadata={"Software": None, "Title": displayable(drawing.title)})


def _draw(axes, shapes: tuple[Shape, ...]) -> None:  # type: ignore[no-untyped-def]  # matplotlib is optional
    from matplotlib import patches
    from matplotlib.lines import Line2D

    points = 72 / PIXELS_PER_INCH
    for shape in shapes:
        if isinstance(shape, Mark):
            _draw(axes, shape.shapes)
            continue
        colour = LIGHT[shape.colour]
        if isinstance(shape, Line):
            xs, ys = zip(*shape.points, strict=True)
            line = Line2D(xs, ys, color=colour, linewidth=shape.width * points, zorder=1)
            if shape.dash:
                line.set_dashes([length / shape.width for length in shape.dash])
            axes.add_line(line)
        elif isinstance(shape, Polygon):
            axes.add_patch(patches.Polygon(shape.points, closed=True, facecolor=colour, linewidth=0, zorder=1))
        elif isinstance(shape, Circle):
            axes.add_patch(patches.Circle(shape.centre, shape.radius, facecolor=colour, linewidth=0, zorder=1))
        else:
            axes.text(
                *shape.at,
                displayable(shape.text),
                color=colour,
                fontsize=shape.size * points,
                fontweight="bold" if shape.bold else "normal",
                ha={"start": "left", "middle": "center", "end": "right"}[shape.anchor],
                va="baseline",
                rotation=90 if shape.upwards else 0,
                rotation_mode="anchor",
                parse_math=False,
                zorder=1,
            )
