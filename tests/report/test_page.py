"""The page as a text: well-formed, self-contained, traceable, and unmoved by what names try to do to it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

pytest.importorskip("altair", reason="the page needs its libraries (pip install vibench[report])")

from tests.records.made import make_record
from tests.report.scenes import REAL, cost, put, seeded
from vibench.errors import UsageError
from vibench.leaderboard.published import load_published
from vibench.records.record_json import from_json, to_json
from vibench.records.schema import Record
from vibench.records.store import record_path
from vibench.report.write import displayable, relative_link, render_report, write_report

VOID = {"meta", "input"}


class Page(HTMLParser):
    """Elements in order with their attributes, what they say, and what is not well-formed."""

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

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self._open), data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str) -> list[str]:
        return [data for opened, data in self.texts if tag in opened]

    @property
    def data(self) -> dict[str, Any]:
        """What the script reads."""
        at = [attributes for tag, attributes in self.elements if tag == "script"].index(
            {"type": "application/json", "id": "data"}
        )
        found: dict[str, Any] = json.loads(self.scripts[at])
        for _, columns in found["charts"].values():
            packed = {name: column for name, column in columns.items() if isinstance(column, dict)}
            columns |= {name: [one["texts"][row] for row in one["rows"]] for name, one in packed.items()}
        return found

    @property
    def scripts(self) -> list[str]:
        return [data for opened, data in self.texts if opened[-1:] == ("script",)]


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
    rendered, files = write_report(folder, page, published=load_published())
    assert not rendered.problems and not files
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
        assert set(attributes.get("aria-labelledby", "").split()) <= set(ids)
        href = attributes.get("href", "")
        assert not href.startswith("#") or href[1:] in ids or "=" in href
    drawn = [attributes["data-chart"] for _, attributes in page.elements if "data-chart" in attributes]
    assert set(drawn) == {*page.data["charts"], "duel"}
    assert {form for form, _ in page.data["charts"].values()} <= page.data["forms"].keys()


def test_self_contained(page: Page) -> None:
    assert not {tag for tag, _ in page.elements} & {"img", "link", "iframe", "object", "embed", "base", "use"}
    for tag, attributes in page.elements:
        assert not {"src", "srcset", "style", "action", "background"} & attributes.keys(), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        for name, value in attributes.items():
            address = re.search(r"\b(https?|ftp|file|javascript):", value)
            assert not address or (tag, name, attributes.get("rel")) == ("a", "href", "noreferrer"), value
    styles = "".join(page.text("style"))
    assert "@import" not in styles and not re.search(r"url\((?!\s*[\"']?data:)", styles)


def test_policy_allows_the_own_scripts_and_styles_alone(page: Page) -> None:
    (policy,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:" and "unsafe" not in policy

    def digests(texts: list[str]) -> str:
        return " ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in texts)

    assert rules["style-src"] == digests(page.text("style"))
    *_, vega, tables, own = page.scripts
    assert rules["script-src"] == digests([vega, tables, own])
    assert "vegaEmbed=" in vega and "window.DataTable=" in tables and "ast: true" in own


def test_what_is_there_can_be_read_aloud(page: Page) -> None:
    assert page.all("html")[0]["lang"] == "en" and "width=device-width" in str(page.all("meta"))
    plain = [table for table in page.all("table") if "plain" in table.get("class", "")]
    assert len(plain) == len(page.all("caption")) > 0
    assert all(head.get("scope") in ("col", "row") for head in page.all("th"))
    boxes = [box for box in page.all("div") if box.get("class") == "scroll"]
    assert len(boxes) == len(plain) + sum("data-chart" in box for box in page.all("div"))
    assert all(box["tabindex"] == "0" and box["aria-label"] and box["role"] == "group" for box in boxes)
    assert all(button["type"] == "button" for button in page.all("button"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(after <= before + 1 for before, after in pairwise(levels))


def test_every_measured_row_names_its_records_and_every_link_leads_to_one(page: Page, folder: Path) -> None:
    known = {path.stem[-12:]: path for path in (folder / "records").rglob("[!.]*.json")}
    table = page.data["table"]
    links = {name: link for name, link in table["links"].items() if not link.startswith("https://")}
    assert {name: (folder.parent / link).resolve() for name, link in links.items()} == {
        name: path.resolve() for name, path in known.items()
    }
    evidence, source = ([column["key"] for column in table["columns"]].index(key) for key in ("evidence", "source"))
    named = [row[evidence]["records"] for row in table["rows"] if row[source] != "printed"]
    assert sorted(one for records in named for one in records) == sorted(known)
    links = [anchor["href"] for anchor in page.all("a") if anchor["href"].startswith("./leaderboards")]
    assert {(folder.parent / link).resolve() for link in links} == {path.resolve() for path in known.values()}
    for name, (_, columns) in page.data["charts"].items():
        assert columns["records"] and all(columns["records"]), name


def test_twins_are_marked_and_kept_apart(page: Page) -> None:
    assert sum("Synthetic people." in text for text in page.text("strong")) == 1
    names = {key: set(frame["name"]) for key, (_, frame) in page.data["charts"].items() if key.startswith("overview")}
    assert "agw" in names["overview-real-data"] and "leak" not in names["overview-real-data"]
    assert names["overview-synthetic-twins"] >= {"agw", "leak", "baseline two-stream"}
    assert page.data["dataset"] == "sysu-mm01", "what is seen first is real"


def test_a_page_of_real_data_has_no_banner(tmp_path: Path) -> None:
    put(tmp_path, make_record("ddag", 0.5, **REAL))
    assert "Synthetic people" not in "".join(Page(render_report(tmp_path, tmp_path / "report.html").html).text("p"))


@pytest.mark.parametrize("printed", [True, False])
def test_nothing_measured_is_still_a_page(tmp_path: Path, printed: bool) -> None:
    published = load_published() if printed else None
    rendered = render_report(tmp_path / "absent", tmp_path / "report.html", published=published)
    found = Page(rendered.html)
    assert rendered.records == 0 and found.problems == [] and "nothing measured yet" in rendered.html
    assert bool(found.data["table"]["rows"]) == bool(found.data["charts"]) == printed
    assert found.data["dataset"] == ("sysu-mm01" if printed else "")


def test_a_board_without_a_ranked_row_says_why_it_has_no_chart(tmp_path: Path) -> None:
    said = "No row here holds a rank"
    put(tmp_path, make_record("leak", leaking=True))
    assert said in render_report(tmp_path, tmp_path / "report.html").html
    put(tmp_path, make_record("agw"))
    assert said not in render_report(tmp_path, tmp_path / "report.html").html


def test_the_page_of_a_method_tells_paper_code_parity_and_what_was_measured(html: str) -> None:
    part = html.split('id="method-ddag"')[1].split('<details id="method-')[0]
    for said in ("ECCV 2020", "https://github.com/", "largest relative differences", "b-p", "training s: 80"):
        assert said in part, said
    assert "No official training code was compared" in html.split('id="method-baseline"')[1]
    assert "Known from its records alone" in html.split('id="method-leak"')[1].split("</details>")[0]


def test_the_same_records_give_the_same_bytes(folder: Path, html: str) -> None:
    assert render_report(folder, folder.parent / "report.html", published=load_published()).html == html


def test_charts_are_files_where_asked_for(tmp_path: Path) -> None:
    put(tmp_path, make_record("agw", **cost(60.0)), make_record("baseline", 0.4, **cost(90.0)))
    rendered, files = write_report(tmp_path, tmp_path / "page.html", charts="svg")
    assert {file.stem for file in files} == {one.id for one in rendered.figures} and len(files) >= 5
    assert all(file.parent == tmp_path / "page-charts" for file in files)
    texts = {file.stem: file.read_text(encoding="utf-8") for file in files}
    assert all(text.startswith("<svg") for text in texts.values())
    assert "Rank-1 by protocol: synthetic twins" in texts["overview-synthetic-twins"]
    _, files = write_report(tmp_path, tmp_path / "page.html", charts="png")
    assert files[0].read_bytes().startswith(b"\x89PNG")


def test_printed_rows_bring_their_papers_and_where_their_sources_are(tmp_path: Path) -> None:
    put(tmp_path, make_record("agw"))
    published = load_published()
    hostile = {**published.bibliography["agw"], "title": "A </script> B"}
    published = replace(published, bibliography={**published.bibliography, "agw": hostile})
    data = Page(render_report(tmp_path, tmp_path / "p.html", published=published).html).data
    assert data["bibtex"]["agw"].startswith("@") and "title = {A </script> B}" in data["bibtex"]["agw"]
    assert data["table"]["links"]["ddag-eccv2020"] == "https://github.com/mangye16/DDAG"
    assert all(link.startswith(("https://", "./", "records/")) for link in data["table"]["links"].values())


def test_unusable_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder; name the file"):
        write_report(tmp_path, tmp_path)
    for option, what in (("runs", "training runs"), ("images", "data sets")):
        with pytest.raises(UsageError, match=f"is no folder of {what}; name one with --{option}"):
            write_report(tmp_path, tmp_path / "report.html", **{option: tmp_path / "absent"})


@pytest.mark.parametrize("module", ["altair", "vl_convert", "itables", "jinja2"])
def test_without_its_libraries_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    from importlib.util import find_spec

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == module else find_spec(name))
    with pytest.raises(UsageError, match=r"the page needs .*, not installed here: pip install 'vibench\[report\]'$"):
        write_report(tmp_path, tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def _skeleton(page: Page) -> Counter[tuple[str, tuple[str, ...]]]:
    # Methods stand in the order of their names.
    return Counter((tag, tuple(attributes)) for tag, attributes in page.elements)


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
    [
        "<",
        ">",
        "&",
        '"',
        "'",
        "</script>",
        "<script>",
        "<!--",
        "]]>",
        "&lt;",
        " onload=",
        "`",
        "{{",
        "{%",
        "\\u003c",
        "${",
    ]
)
# A page takes a moment to render, and shrinking renders thousands.
_QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
_HOSTILE = st.lists(_MARKUP, min_size=1, max_size=6).map("".join)


@settings(max_examples=12, phases=_QUICK, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_PRINTABLE | _HOSTILE, _ANY | _HOSTILE)
def test_no_text_of_a_record_changes_the_page_s_structure(tmp_path: Path, name: str, note: str) -> None:
    def written(record: Record, place: str) -> Page:
        folder = tmp_path / place
        for old in folder.rglob("*.json"):
            old.unlink()
        put(folder, record)
        return Page(render_report(folder, folder / "report.html").html)

    found, plain = written(_named(name, note), "found"), written(_named("plain", "n" * len(note)), "plain")
    assert found.problems == [] and _skeleton(found) == _skeleton(plain)
    (row,) = found.data["table"]["rows"]
    assert f"{displayable(name)} {displayable(name)}".strip() in row
    assert any(isinstance(cell, dict) and displayable(note) in cell.get("remarks", ()) for cell in row)


def test_what_cannot_be_shown_is_not_shown_outside_of_the_data_either(tmp_path: Path) -> None:
    put(tmp_path, *(make_record(name, r1, **cost(60.0, "GPU \u202e<b>")) for name, r1 in (("a", 0.4), ("b", 0.5))))
    found = Page(render_report(tmp_path, tmp_path / "report.html").html)
    assert any("GPU \ufffd<b>" in text for text in found.text("figcaption")) and found.problems == []


def test_characters_that_turn_the_direction_of_text_are_not_shown() -> None:
    assert displayable("a\u202eb\x00c\ud800") == "a\ufffdb\ufffdc\ufffd"


def test_links_lead_from_the_page_to_the_record(tmp_path: Path) -> None:
    target = record_path(tmp_path / "my boards #1", make_record("<b>'\"&"))
    for page in (tmp_path / "report.html", tmp_path / "deep" / "er" / "report.html", target.with_name("x.html")):
        link = relative_link(target, page)
        assert (page.parent / unquote(link)).resolve() == target.resolve()
        assert "#" not in link and " " not in link


def test_a_folder_cannot_pose_as_a_scheme(tmp_path: Path) -> None:
    link = relative_link(tmp_path / "javascript:alert(1)" / "a.json", tmp_path / "report.html")
    assert link.startswith("./") and ":" not in link
