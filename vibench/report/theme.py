"""Colours of page and charts by role, for light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SERIES = tuple(f"series-{number}" for number in range(1, 8))
"""Roles of lines, points and bars: hues near those of Okabe and Ito ("Color Universal Design", 2008), which everybody
tells apart, moved until each stands out from the surface."""

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
