"""Colours that everybody tells apart, and charts that Vega-Lite accepts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pytest

pytest.importorskip("altair", reason="charts need the libraries of the page (pip install vibench[report])")

import altair as alt

from vibench.report.charts import (
    ablation_chart,
    cameras_chart,
    cmc_chart,
    cost_chart,
    duel_chart,
    filled,
    form,
    overview_chart,
    severity_chart,
    timeline_chart,
    training_chart,
)
from vibench.report.theme import DARK, LIGHT, SERIES, config, style_rules

TEXT_PAIRS = (
    *((role, surface) for role in ("ink", "muted", "link") for surface in ("surface", "panel")),
    *(("ink", role) for role in ("best", "heat-low", "heat-high")),
    ("banner-ink", "banner"),
)
"""Every pair of roles in which the first is written on the second."""
PALETTES = pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
FORMS: tuple[tuple[Callable[..., Any], tuple[Any, ...]], ...] = (
    (overview_chart, ()),
    (timeline_chart, (("regdb-v2t", "sysu-all"),)),
    (cost_chart, ("training s", False)),
    (cost_chart, ("training s", True)),
    (cmc_chart, ()),
    (cameras_chart, ()),
    (duel_chart, ()),
    (severity_chart, (("one", "two"),)),
    (ablation_chart, ()),
    (training_chart, ()),
)
CHARTS = pytest.mark.parametrize(
    ("chart", "arguments"), FORMS, ids=[f"{chart.__name__}-{at}" for at, (chart, _) in enumerate(FORMS)]
)
# Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency", 2009.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def linear(colour: str) -> np.ndarray:
    """The light of ``#rrggbb``, three numbers from 0 to 1."""
    parts = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two colours, from 1 to 21 (WCAG 2.2, relative luminance)."""
    darker, brighter = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (first, second))
    return (brighter + 0.05) / (darker + 0.05)


def lab(light: np.ndarray) -> np.ndarray:
    """CIELAB of linear sRGB."""
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = np.cbrt(np.maximum(matrix @ light / [0.9505, 1.0, 1.089], 0.0))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_contrast_of_known_colours() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)


@PALETTES
def test_every_text_is_readable_and_every_mark_is_seen(palette: Mapping[str, str]) -> None:
    found = {(front, back): contrast(palette[front], palette[back]) for front, back in TEXT_PAIRS}
    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}
    assert {
        role: contrast(palette[role], palette["surface"])
        for role in SERIES
        if contrast(palette[role], palette["surface"]) < 3
    } == {}


@PALETTES
@pytest.mark.parametrize("sight", list(BLINDNESS))
def test_colours_are_told_apart_without_red_or_green(palette: Mapping[str, str], sight: str) -> None:
    seen = {role: lab(np.clip(BLINDNESS[sight] @ linear(palette[role]), 0, 1)) for role in SERIES}
    apart = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in combinations(SERIES, 2)}
    assert min(apart.values()) > 13.9, sorted(apart.items(), key=lambda item: item[1])[:3]


def test_both_palettes_have_the_same_roles_which_the_page_may_use() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert all(f"--{role}:{colour};" in style_rules() for palette in (LIGHT, DARK) for role, colour in palette.items())


@CHARTS
def test_vega_lite_accepts_every_chart_whose_names_are_its_own(
    chart: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    alt.Chart.from_dict(filled(form(chart, *arguments), {}, LIGHT)).to_dict()
    form.cache_clear()
    first = form(chart, *arguments)
    form.cache_clear()
    assert form(chart, *arguments) == first, "names that are counted up would differ from page to page"


def test_a_palette_is_a_configuration_of_vega_lite() -> None:
    alt.Config.from_dict(config(DARK))
    assert config(LIGHT)["range"]["category"] == [LIGHT[role] for role in SERIES]
