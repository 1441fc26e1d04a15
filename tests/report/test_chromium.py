"""The page in a real browser: real clicks and keys, a phone's width, the dark scheme."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.records.made import make_record
from tests.report.chromium import NAMES, Tab, find_chromium
from tests.report.scenes import cost, put, seeded
from vibench.leaderboard.published import load_published
from vibench.report.palette import DARK, LIGHT
from vibench.report.write import render_report

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason=f"needs one of {', '.join(NAMES)} on the PATH")

_BOARD = "document.querySelector('h3[id^=\"sysu-mm01-twin/\"]').parentNode.querySelector('.board')"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    """The page of a few records and all published numbers, in a window as narrow as a phone."""
    folder = tmp_path_factory.mktemp("report")
    put(
        folder,
        *(seeded("agw", seed, r1) for seed, r1 in ((0, 0.5), (1, 0.6), (2, 0.4))),
        make_record("best-of-all-methods-with-a-long-name", 0.7, 0.1, **cost(90.0)),
        make_record("m10", 0.3, 0.3, **cost(100.0)),
    )
    page = folder / "report.html"
    page.write_text(render_report(folder, page, published=load_published()).html, encoding="utf-8")
    with Tab(str(CHROMIUM), tmp_path_factory.mktemp("profile")) as opened:
        opened.call("Emulation.setDeviceMetricsOverride", width=360, height=780, deviceScaleFactor=2, mobile=True)
        opened.open(page.as_uri())
        yield opened


def _methods(tab: Tab) -> list[str]:
    rows = (
        f"[...{_BOARD}.querySelectorAll('tr')].filter(r => r.offsetParent !== null && r.querySelector('th[scope=row]'))"
    )
    found: list[str] = tab.evaluate(f"{rows}.map(r => r.querySelector('th').firstChild.textContent)")
    return found


def _head(title: str) -> str:
    return f"[...{_BOARD}.querySelectorAll('button.sort')].find(b => b.textContent === '{title}')"


def test_a_click_sorts_and_the_return_key_sorts_back(tab: Tab) -> None:
    start = _methods(tab)
    tab.click(_head("mAP"))
    assert tab.evaluate(f"{_head('mAP')}.parentNode.getAttribute('aria-sort')") == "descending"
    assert _methods(tab)[-1].startswith("best-of-all")
    tab.press_enter()
    assert tab.evaluate(f"{_head('mAP')}.parentNode.getAttribute('aria-sort')") == "ascending"
    assert _methods(tab)[0].startswith("best-of-all")
    tab.press_enter()
    assert _methods(tab) == start


def test_a_click_unfolds_the_seeds(tab: Tab) -> None:
    folded = _methods(tab)
    tab.click(f"{_BOARD}.querySelector('button.fold')")
    assert len(_methods(tab)) == len(folded) + 3
    tab.click(f"{_BOARD}.querySelector('button.fold')")
    assert _methods(tab) == folded


def test_the_page_never_scrolls_sideways_and_its_tables_do(tab: Tab) -> None:
    tab.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= 360
    assert tab.evaluate(f"(b => b.scrollWidth > b.clientWidth)({_BOARD}.parentNode)")


def test_charts_fit_a_phone(tab: Tab) -> None:
    too_wide = "[...document.querySelectorAll('figure > .scroll')].filter(box => box.scrollWidth > box.clientWidth)"
    assert tab.evaluate("document.querySelectorAll('figure > .scroll svg').length") > 0
    assert tab.evaluate(f"{too_wide}.length") == 0


def test_methods_and_sections_stay_in_sight_of_a_phone_s_user(tab: Tab) -> None:
    box = f"{_BOARD}.parentNode"
    tab.evaluate(f"{box}.scrollLeft = 400")
    assert tab.evaluate(f"{box}.scrollLeft") == 400
    for kept in ("tbody th[scope=row]", "tr.section span", "thead th:nth-child(2)"):
        place = f"(e => e.getBoundingClientRect().left - {box}.getBoundingClientRect().left)"
        assert 0 <= tab.evaluate(f"{place}({_BOARD}.querySelector('{kept}'))") < 20, kept
    assert tab.evaluate(f"{_BOARD}.querySelector('tbody th[scope=row]').offsetWidth") <= 180
    tab.evaluate(f"{box}.scrollLeft = 0")


def test_a_click_opens_remarks_and_the_return_key_closes_them(tab: Tab) -> None:
    tab.evaluate("document.querySelectorAll('main > section > details').forEach(d => d.open = true)")
    tab.evaluate("document.querySelectorAll('td.remarks details').forEach(d => d.open = false)")
    remarks = "document.querySelector('td.remarks details')"
    height = tab.evaluate(f"{remarks}.closest('tr').offsetHeight")
    # Its middle may lie below the column that stays in sight; its end never does.
    tab.evaluate(f"{remarks}.closest('.scroll').scrollLeft = 1e6")
    tab.click(f"{remarks}.querySelector('summary')")
    assert tab.evaluate(f"{remarks}.open") is True
    assert tab.evaluate(f"{remarks}.closest('tr').offsetHeight") > height
    tab.press_enter()
    assert tab.evaluate(f"{remarks}.open") is False


@pytest.mark.parametrize(("scheme", "palette"), [("light", LIGHT), ("dark", DARK)])
def test_the_colours_follow_the_scheme(tab: Tab, scheme: str, palette: dict[str, str]) -> None:
    tab.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    for element, role, style in (("body", "surface", "backgroundColor"), ("svg text", "muted", "fill")):
        expected = tuple(int(palette[role][at : at + 2], 16) for at in (1, 3, 5))
        found = tab.evaluate(f"getComputedStyle(document.querySelector('{element}')).{style}")
        assert found == f"rgb({expected[0]}, {expected[1]}, {expected[2]})", element
