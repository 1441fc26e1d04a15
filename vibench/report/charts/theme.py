"""Colours of page and charts by role, for light and dark, and what most charts share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import altair as alt
from altair.utils.schemapi import debug_mode

SERIES = tuple(f"series-{number}" for number in range(1, 8))
"""Roles of lines, points and bars: hues near those of Okabe and Ito ("Color Universal Design", 2008), which everybody
tells apart, moved until each stands out from the surface."""
DASHES = ([1, 0], [7, 3], [2, 3], [9, 3, 2, 3], [12, 4])
"""As many as have no divisor in common with the colours, so that few lines look alike."""

LIGHT: Mapping[str, str] = {
    "surface": "#ffffff",
    "panel": "#f3f5f8",
    "ink": "#1a1d21",
    "muted": "#565d68",
    "grid": "#d4d8de",
    "link": "#0a56ab",
    "best": "#dff0e3",
    "banner": "#fff0c2",
    "banner-ink": "#533f00",
    **dict(zip(SERIES, ("#306fac", "#ed6b15", "#039a66", "#ce76a1", "#7d6000", "#499ad2", "#373941"), strict=True)),
    "heat-low": "#eef5fc",
    "heat-high": "#5aa3e0",
}
DARK: Mapping[str, str] = {
    "surface": "#14171c",
    "panel": "#1e232b",
    "ink": "#eceff4",
    "muted": "#abb3bf",
    "grid": "#3b424e",
    "link": "#86bdff",
    "best": "#1a3d27",
    "banner": "#3c2f00",
    "banner-ink": "#ffe8a3",
    **dict(zip(SERIES, ("#33b2ee", "#fb8538", "#02c996", "#f79cc4", "#dcd40d", "#0174af", "#e3e5e7"), strict=True)),
    "heat-low": "#1b2735",
    "heat-high": "#2a629b",
}
FRAME = alt.NamedData("frame")
HEIGHT = 280
"""Pixels of a chart that does not grow with its rows; the page chooses widths."""


def style_rules() -> str:
    """The palettes as CSS variables."""
    light, dark = ("".join(f"--{role}:{colour};" for role, colour in palette.items()) for palette in (LIGHT, DARK))
    return f":root{{color-scheme:light dark;{light}}}@media (prefers-color-scheme:dark){{:root{{{dark}}}}}"


def config(palette: Mapping[str, str]) -> dict[str, Any]:
    """The Vega-Lite configuration that draws in a palette."""
    ink, muted, grid = palette["ink"], palette["muted"], palette["grid"]
    axis = {"labelColor": muted, "titleColor": ink, "domainColor": muted, "tickColor": muted, "gridColor": grid}
    return {
        "background": "transparent",
        "font": "system-ui, sans-serif",
        "axis": {**axis, "titleFontWeight": "normal", "labelFontSize": 11, "titleFontSize": 12},
        "legend": {"labelColor": ink, "titleColor": muted, "labelLimit": 125, "labelFontSize": 11, "symbolSize": 70},
        "title": {"color": ink, "anchor": "start"},
        "view": {"stroke": None},
        "text": {"fill": ink, "fontSize": 11},
        "mark": {"color": palette["series-1"]},
        "rule": {"color": muted},
        "tick": {"color": ink},
        "boxplot": {"median": {"color": ink}},
        "range": {
            "category": [palette[role] for role in SERIES],
            **{name: [palette["heat-low"], palette["heat-high"]] for name in ("heatmap", "ramp")},
        },
    }


def zoom(*axes: Literal["x", "y"]) -> alt.Parameter:
    """Shift and the wheel zoom along the axes, dragging moves, a double click shows all again."""
    return alt.selection_interval("zoom", bind="scales", encodings=axes or ("x", "y"), zoom="wheel![event.shiftKey]")


def picked(field: str) -> tuple[alt.Parameter, alt.OpacityValue]:
    """A selection by clicking into the legend, and the opacity that follows it."""
    return alt.selection_point("pick", fields=[field], bind="legend"), where({"param": "pick"}, 1.0, 0.1)


def where(test: Mapping[str, str], value: float, otherwise: float) -> alt.OpacityValue:
    """One opacity where a parameter or a test holds, and another elsewhere."""
    return alt.OpacityValue(otherwise, condition={**test, "value": value})


def tip(*fields: str, **numbers: str) -> list[alt.Tooltip]:
    """What a mark says: texts, then numbers with their formats, ``r1=".2f"``; the record last."""
    formatted = [alt.Tooltip(f"{name}:Q", format=form, title=_TITLES.get(name, name)) for name, form in numbers.items()]
    return [*(alt.Tooltip(f"{name}:N", title=_TITLES.get(name, name)) for name in fields), *formatted, _RECORDS]


_TITLES = {"r1": "rank-1 %", "r1_text": "rank-1 %", "map": "mAP %", "share": "share %", "parameters": "M parameters"}
_RECORDS = alt.Tooltip("records:N")


@cache
def form(chart: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """The Vega-Lite specification of a chart function, whose data set ``frame`` is still to be filled in."""
    with debug_mode(False):
        # Tests validate every form; at each building that would take longer than all the rest.
        spec: dict[str, Any] = chart(*arguments).to_dict(validate=False)
    del spec["config"], spec["$schema"]
    return {**spec, "autosize": {"type": "fit-x", "contains": "padding"}}


def filled(spec: Mapping[str, Any], columns: Mapping[str, Sequence[Any]], palette: Mapping[str, str]) -> dict[str, Any]:
    """A form with its data by columns, as a file shows it: of fixed width, on the surface of a palette."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    whole = {**spec, "config": {**config(palette), "background": palette["surface"]}}
    datasets = {**spec.get("datasets", {}), "frame": rows}
    return {**whole, "datasets": datasets, "width": 640, "padding": 8}
