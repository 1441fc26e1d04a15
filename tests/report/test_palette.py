"""Contrast of everything that is written or drawn, in light and dark."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from vibench.report.palette import DARK, HEAT, LIGHT, SERIES, TEXT_PAIRS, contrast, style_rules


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
