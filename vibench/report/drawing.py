"""A chart as shapes: what `vibench.report.svg` writes into the page and `vibench.report.png` into a picture.

Coordinates are pixels from the upper left corner. Colours are roles of `vibench.report.palette`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """An open line through points."""

    points: tuple[Point, ...]
    colour: str
    width: float = 1.0
    dash: tuple[float, ...] = ()
    """Lengths of strokes and gaps; empty for a solid line."""


@dataclass(frozen=True)
class Polygon:
    """A filled area."""

    points: tuple[Point, ...]
    colour: str


@dataclass(frozen=True)
class Circle:
    """A filled circle."""

    centre: Point
    radius: float
    colour: str


@dataclass(frozen=True)
class Text:
    """One line of text at its baseline."""

    at: Point
    text: str
    colour: str = "ink"
    size: float = 11.0
    anchor: str = "start"
    """``start`` | ``middle`` | ``end``."""
    bold: bool = False
    upwards: bool = False
    """Written from bottom to top."""


@dataclass(frozen=True)
class Mark:
    """Shapes that stand for numbers of records: a screen reader and a resting pointer hear what they say."""

    says: str
    records: tuple[str, ...]
    shapes: tuple[Line | Polygon | Circle | Text, ...]


Shape = Line | Polygon | Circle | Text | Mark


@dataclass(frozen=True)
class Drawing:
    """A chart."""

    title: str
    description: str
    """What a reader who cannot see it should know."""
    width: float
    height: float
    shapes: tuple[Shape, ...]


def box(left: float, top: float, width: float, height: float, colour: str) -> Polygon:
    """A filled rectangle."""
    right, bottom = left + width, top + height
    return Polygon(((left, top), (right, top), (right, bottom), (left, bottom)), colour)


SYMBOLS = ("circle", "square", "diamond", "triangle", "wedge")


def symbol(shape: str, centre: Point, colour: str, size: float = 4.0) -> Circle | Polygon:
    """A mark of one of `SYMBOLS` around a point; shapes tell apart what colours alone would not."""
    x, y = centre
    if shape == "circle":
        return Circle(centre, size, colour)
    corners: dict[str, Sequence[Point]] = {
        "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "diamond": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
        "triangle": [(0, -1.2), (1.15, 0.9), (-1.15, 0.9)],
        "wedge": [(0, 1.2), (1.15, -0.9), (-1.15, -0.9)],
    }
    return Polygon(tuple((x + size * dx, y + size * dy) for dx, dy in corners[shape]), colour)


def text_width(text: str, size: float) -> float:
    """About how wide a text is in a sans-serif face, rather too wide than too narrow."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return size * (0.6 * (len(text) - wide) + wide)


def wrapped(text: str, width: float, size: float) -> list[str]:
    """The text in lines of about ``width`` at most, broken between words."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def shortened(text: str, width: float, size: float) -> str:
    """The text, cut with an ellipsis where it would be wider than ``width``."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}…", size) > width:
        text = text[:-1]
    return f"{text}…"
