"""Colours of page and charts by role, for light and dark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SERIES = tuple(f"series-{number}" for number in range(1, 8))
"""Roles of lines, points and bars: hues near those of Okabe and Ito ("Color Universal Design", 2008), which everybody
tells apart, moved until each stands out from the surface."""

_ROLES = {
    "surface": ("#ffffff", "#14171c"),
    "panel": ("#f3f5f8", "#1e232b"),
    "ink": ("#1a1d21", "#eceff4"),
    "muted": ("#565d68", "#abb3bf"),
    "grid": ("#d4d8de", "#3b424e"),
    "link": ("#0a56ab", "#86bdff"),
    "best": ("#dff0e3", "#1a3d27"),
    "banner": ("#fff0c2", "#3c2f00"),
    "banner-ink": ("#533f00", "#ffe8a3"),
    "series-1": ("#306fac", "#33b2ee"),
    "series-2": ("#ed6b15", "#fb8538"),
    "series-3": ("#039a66", "#02c996"),
    "series-4": ("#ce76a1", "#f79cc4"),
    "series-5": ("#7d6000", "#dcd40d"),
    "series-6": ("#499ad2", "#0174af"),
    "series-7": ("#373941", "#e3e5e7"),
    "heat-low": ("#eef5fc", "#1b2735"),
    "heat-high": ("#5aa3e0", "#2a629b"),
}
LIGHT, DARK = ({role: pair[scheme] for role, pair in _ROLES.items()} for scheme in (0, 1))


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
        "range": {
            "category": [palette[role] for role in SERIES],
            **{name: [palette["heat-low"], palette["heat-high"]] for name in ("heatmap", "ramp")},
        },
    }
