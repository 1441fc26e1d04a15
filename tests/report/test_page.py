"""The page: well-formed, self-contained, accessible, traceable, and unmoved by what names try to do to it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.records.made import make_record
from tests.report.scenes import REAL, cost, put, seeded
from vibench.errors import UsageError
from vibench.leaderboard.published import load_published
from vibench.records.record_json import from_json, to_json
from vibench.records.schema import Record
from vibench.report.markup import displayable
from vibench.report.write import render_report, write_report

VOID = {"meta"}


class Page(HTMLParser):
    """Elements in order with their attributes, and what is not well-formed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.problems: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if len({name for name, _ in attrs}) < len(attrs):
            self.problems.append(f"<{tag}> has an attribute twice")
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self._open), data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str) -> list[str]:
        return [data for opened, data in self.texts if tag in opened]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A leaderboards folder with a twin's board, a board of real data, seeds, and names with markup."""
    folder = tmp_path_factory.mktemp("report") / "leaderboards"
    put(
        folder,
        *(seeded("agw", seed, r1) for seed, r1 in ((0, 0.5), (1, 0.6), (2, 0.4))),
        make_record("baseline", 0.45, **cost(60.0)),
        make_record("baseline", 0.47, variant="two-stream", **cost(90.0)),
        make_record("<script>alert(1)</script>", 0.3, variant='"><img src=x onerror=alert(1)>', **cost(30.0)),
        make_record("other", 0.4, rerank="k-reciprocal", **cost(600.0, "GPU B")),
        make_record("leak", 0.9, leaking=True),
        make_record("ddag", 0.5, **REAL, variant="b", **cost(70.0)),
        make_record("ddag", 0.55, **REAL, variant="b-p", **cost(80.0)),
    )
    return folder


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    """The text of its page."""
    page = folder.parent / "report.html"
    assert not write_report(folder, page, published=load_published()).rendered.problems
    return page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    """The parsed page."""
    return Page(html)


def test_well_formed_with_unique_ids_and_whole_references(page: Page) -> None:
    assert page.problems == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) and not any(re.search(r"\s", identity) for identity in ids)
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "aria-describedby", "aria-controls"):
            assert set(attributes.get(name, "").split()) <= set(ids)
        href = attributes.get("href", "")
        assert not href.startswith("#") or href[1:] in ids


def test_self_contained(page: Page, html: str) -> None:
    assert {tag for tag, _ in page.elements} & {
        "img",
        "link",
        "iframe",
        "object",
        "embed",
        "base",
        "form",
        "use",
    } == set()
    for tag, attributes in page.elements:
        assert not {"src", "srcset", "style", "action", "background"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        for name, value in attributes.items():
            assert not re.search(r"\b(https?|ftp|file|data|javascript):", value) or name in ("title", "content"), value
    assert (
        "url(" not in html and "@import" not in html and "http" not in "".join(page.text("style") + page.text("script"))
    )


def test_policy_allows_the_own_script_and_style_alone(page: Page) -> None:
    from base64 import b64encode
    from hashlib import sha256

    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    for tag in ("style", "script"):
        assert len(page.all(tag)) == 1
        digest = b64encode(sha256("".join(page.text(tag)).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


def test_tables_and_charts_can_be_read_aloud(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en" and "width=device-width" in str(page.all("meta"))
    assert len(page.all("table")) == len(page.all("caption")) > 2
    assert all(head.get("scope") in ("col", "row", "rowgroup") for head in page.all("th"))
    assert all({"role", "aria-labelledby", "aria-describedby"} <= svg.keys() for svg in page.all("svg"))
    boxes = [box for box in page.all("div") if box.get("class") == "scroll"]
    assert len(boxes) == len(page.all("table")) + len(page.all("svg"))
    assert all(box["tabindex"] == "0" and box["aria-label"] and box["role"] == "group" for box in boxes)
    assert all(button["type"] == "button" for button in page.all("button"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in pairwise(levels))


def test_every_measured_number_names_its_record_and_every_link_leads_to_one(page: Page, folder: Path) -> None:
    known = {path.stem[-12:]: path for path in (folder / "records").rglob("*.json")}
    assert len(known) == 10
    named = [value for _, attributes in page.elements if (value := attributes.get("data-record"))]
    assert {name for value in named for name in value.split()} == set(known)
    links = [anchor["href"] for anchor in page.all("a") if not anchor["href"].startswith("#")]
    assert {(folder.parent / link).resolve() for link in links} == {path.resolve() for path in known.values()}
    row: list[dict[str, str]] = []
    measured = published = 0
    for tag, attributes in page.elements:
        if tag == "tr":
            row = []
        if tag == "td" and "number" in attributes.get("class", ""):
            row.append(attributes)
        if tag == "td" and attributes.get("class") == "remarks":
            with_values = [cell for cell in row if "data-value" in cell]
            records = {cell.get("data-record") for cell in with_values}
            assert len(records) <= 1, "a row's numbers come from the same records"
            measured += None not in records and bool(records)
            published += None in records
            assert all(cell["title"] for cell in with_values if "title" in cell)
    assert measured == 11 and published > 20


def test_seeds_are_folded_and_unfold(page: Page) -> None:
    (button,) = [button for button in page.all("button") if button.get("class") == "fold"]
    rows = [row["id"] for row in page.all("tr") if row.get("class") == "seed"]
    assert button["aria-controls"].split() == rows and len(rows) == 3
    assert button["aria-expanded"] == "true", "without the script everything is open"


def test_best_marks_are_in_ranked_rows_of_each_section(html: str) -> None:
    board = html.split("<h3")[-1].split("</table>")[0]
    bodies = board.split("<tbody>")[1:]
    marks = [re.findall(r"<strong>([^<]*)</strong>", body) for body in bodies]
    assert [section[0] for section in marks if section] == ["50.50 ± 10.00"]
    assert not any("best" in body for body in bodies if "Shown, not ranked" in body)


def test_twins_are_marked_and_kept_apart(html: str, page: Page) -> None:
    assert sum("Synthetic people." in text for text in page.text("strong")) == 1
    real, twins = html.split(">Synthetic twins<")
    assert "<details open>" not in html
    assert "sysu-mm01-twin" not in re.sub(r"<nav.*?</nav>", "", real)
    assert "<td>published</td>" in real and "<td>published</td>" not in twins


def test_a_page_of_real_data_has_no_banner(tmp_path: Path) -> None:
    put(tmp_path, make_record("ddag", 0.5, **REAL))
    write_report(tmp_path, tmp_path / "report.html")
    assert "Synthetic people" not in (tmp_path / "report.html").read_text()


def test_nothing_measured_is_still_a_page_and_its_boards_are_open(tmp_path: Path) -> None:
    report = write_report(tmp_path / "absent", tmp_path / "report.html", published=load_published())
    text = (tmp_path / "report.html").read_text()
    assert report.rendered.records == 0 and Page(text).problems == [] and "nothing measured yet" in text
    boards = [attributes["id"] for attributes in Page(text).all("h3")]
    assert [link["href"] for link in Page(text).all("a")[1:] if link["href"].startswith("#")] == [
        f"#{board}" for board in boards
    ]
    assert "open" in Page(text).all("details")[0]


def test_long_remarks_are_folded_and_short_ones_are_not(html: str) -> None:
    cells = re.findall(r'<td class="remarks">(.*?)</td>', html)
    folded = [cell for cell in cells if "<details>" in cell]
    shown = [cell for cell in cells if cell and "<details>" not in cell]
    assert folded and shown and max(map(len, shown)) < 120
    for cell in folded:
        (count,) = re.findall(r"<summary>(\d+) remarks?</summary>", cell)
        assert cell.count("<li>") == int(count)


def test_the_same_records_give_the_same_bytes(folder: Path, html: str, tmp_path: Path) -> None:
    again = folder.parent / "report.html"
    write_report(folder, again, published=load_published())
    assert again.read_text(encoding="utf-8") == html


def test_unusable_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder; name the file"):
        write_report(tmp_path, tmp_path)
    with pytest.raises(UsageError, match="is no folder of training runs"):
        write_report(tmp_path, tmp_path / "report.html", runs=tmp_path / "runs")


def _skeleton(page: Page) -> list[tuple[str, tuple[str, ...]]]:
    return [(tag, tuple(attributes)) for tag, attributes in page.elements]


def _named(name: str, note: str) -> Record:
    record = make_record("m", 0.5, variant="v", **cost(60.0))
    run = replace(record.run, input=note, backbone=note, pretrained=note)
    changed = replace(
        record, method=name, variant=name, notes=(note,), run=run, profile=replace(record.profile, device=note)
    )
    return from_json(to_json(changed))


_PRINTABLE = st.text(min_size=1, max_size=30).filter(str.isprintable)
_ANY = st.text(min_size=1, max_size=30)
_MARKUP = st.sampled_from(
    ["<", ">", "&", '"', "'", "</script>", "<script>", "<!--", "]]>", "&lt;", " onload=", "`", "{{"]
)
_HOSTILE = st.lists(_MARKUP, min_size=1, max_size=6).map("".join)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_PRINTABLE | _HOSTILE, _ANY | _HOSTILE)
def test_no_text_of_a_record_changes_the_page_s_structure(tmp_path: Path, name: str, note: str) -> None:
    def written(record: Record, place: str) -> Page:
        folder = tmp_path / place
        for old in folder.rglob("*.json"):
            old.unlink()
        put(folder, record)
        return Page(render_report(folder, folder / "report.html").html)

    # Of the same length: long remarks are folded.
    found, plain = written(_named(name, note), "found"), written(_named("plain", "n" * len(note)), "plain")
    assert found.problems == [] and _skeleton(found) == _skeleton(plain)
    assert displayable(name).strip() in " ".join(found.text("th"))
