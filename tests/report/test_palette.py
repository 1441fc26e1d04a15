"""Contrast of everything that is written or drawn, in light and dark."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from vibench.report.palette import DARK, HEAT, LIGHT, SERIES, style_rules

TEXT_PAIRS = (
    *((role, surface) for role in ("ink", "muted", "link") for surface in ("surface", "panel")),
    *((role, "surface") for role in SERIES),
    *(("ink", role) for role in (*HEAT, "best")),
    ("banner-ink", "banner"),
)
"""Every pair of roles in which the first is written, or drawn as a mark, on the second."""


def contrast(first: str, second: str) -> float:
    """Contrast ratio of two ``#rrggbb`` colours, from 1 to 21 (WCAG 2.2, relative luminance)."""
    brighter, darker = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_of_known_colours() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#ffffff", "#ffffff") == pytest.approx(1.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_every_pair_is_readable(palette: Mapping[str, str]) -> None:
    found = {(front, back): contrast(palette[front], palette[back]) for front, back in TEXT_PAIRS}
    assert {pair: ratio for pair, ratio in found.items() if ratio < 4.5} == {}


def test_both_palettes_have_the_same_roles_and_every_role_is_checked() -> None:
    assert LIGHT.keys() == DARK.keys()
    assert LIGHT.keys() - {role for pair in TEXT_PAIRS for role in pair} == {"grid"}
    for palette in (LIGHT, DARK):
        assert len({palette[role] for role in SERIES}) == len(SERIES)
        assert len({palette[role] for role in HEAT}) == len(HEAT)


def test_style_has_a_class_for_every_role() -> None:
    rules = style_rules()
    for role in LIGHT:
        assert f".fill-{role}{{fill:var(--{role})}}" in rules and f".stroke-{role}{{" in rules
