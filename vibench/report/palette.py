"""The colours of page and charts by role, for light and dark."""

from __future__ import annotations

from collections.abc import Mapping

SERIES = tuple(f"series-{number}" for number in range(1, 9))
"""Roles of lines, marks and bars, in the order in which they are given away."""
HEAT = tuple(f"heat-{number}" for number in range(1, 6))
"""Roles of matrix cells from low to high; ``ink`` is written on all of them."""

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
    "series-1": "#0b5cad",
    "series-2": "#b0430a",
    "series-3": "#1a7539",
    "series-4": "#a3246b",
    "series-5": "#6848bd",
    "series-6": "#755900",
    "series-7": "#0a6f7b",
    "series-8": "#5c636e",
    "heat-1": "#eef5fc",
    "heat-2": "#cfe3f7",
    "heat-3": "#a5cbf0",
    "heat-4": "#78b2e8",
    "heat-5": "#4a98dc",
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
    "series-1": "#6cb2ff",
    "series-2": "#ff9d5c",
    "series-3": "#63d18a",
    "series-4": "#f58ac4",
    "series-5": "#b9a2ff",
    "series-6": "#e0c24f",
    "series-7": "#4fd0dc",
    "series-8": "#b6bdc8",
    "heat-1": "#1b2735",
    "heat-2": "#1e3350",
    "heat-3": "#22446d",
    "heat-4": "#26548a",
    "heat-5": "#2a629b",
}


def style_rules() -> str:
    """The palettes as CSS variables, and for every role a class that fills and one that strokes with it."""

    def variables(palette: Mapping[str, str]) -> str:
        return "".join(f"--{role}:{colour};" for role, colour in palette.items())

    classes = "".join(
        f".fill-{role}{{fill:var(--{role})}}.stroke-{role}{{stroke:var(--{role});fill:none}}" for role in LIGHT
    )
    dark = f"@media (prefers-color-scheme:dark){{:root{{{variables(DARK)}}}}}"
    return f":root{{color-scheme:light dark;{variables(LIGHT)}}}{dark}{classes}"
