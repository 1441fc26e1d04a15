"""Drawings as inline SVG, coloured by the classes of the page's style."""

from __future__ import annotations

from vibench.report.drawing import Circle, Drawing, Line, Mark, Point, Polygon, Shape
from vibench.report.markup import Markup, element


def to_svg(drawing: Drawing, identity: str) -> Markup:
    """The drawing as one ``<svg>`` element; ``identity`` makes the ids of its title and description."""
    title, description = f"{identity}-title", f"{identity}-description"
    return element(
        "svg",
        element("title", drawing.title, id=title),
        element("desc", drawing.description, id=description),
        *(_shape(shape) for shape in drawing.shapes),
        viewBox=f"0 0 {_number(drawing.width)} {_number(drawing.height)}",
        role="img",
        aria_labelledby=title,
        aria_describedby=description,
    )


def _shape(shape: Shape) -> Markup:
    if isinstance(shape, Mark):
        inner = [_shape(part) for part in shape.shapes]
        return element("g", element("title", shape.says), *inner, data_record=" ".join(shape.records) or None)
    if isinstance(shape, Line):
        return element(
            "polyline",
            points=_points(shape.points),
            class_=f"stroke-{shape.colour}",
            stroke_width=_number(shape.width),
            stroke_dasharray=" ".join(_number(length) for length in shape.dash) or None,
        )
    if isinstance(shape, Polygon):
        return element("polygon", points=_points(shape.points), class_=f"fill-{shape.colour}")
    if isinstance(shape, Circle):
        x, y = shape.centre
        return element("circle", cx=_number(x), cy=_number(y), r=_number(shape.radius), class_=f"fill-{shape.colour}")
    left, base = (_number(part) for part in shape.at)
    return element(
        "text",
        shape.text,
        x=left,
        y=base,
        font_size=_number(shape.size),
        text_anchor=None if shape.anchor == "start" else shape.anchor,
        font_weight="bold" if shape.bold else None,
        transform=f"rotate(-90 {left} {base})" if shape.upwards else None,
        class_=f"fill-{shape.colour}",
    )


def _points(points: tuple[Point, ...]) -> str:
    return " ".join(f"{_number(x)},{_number(y)}" for x, y in points)


def _number(value: float) -> str:
    """Two decimals at most: less than a pixel shows, and the same on every machine."""
    return f"{round(value, 2) + 0.0:.2f}".rstrip("0").rstrip(".")
