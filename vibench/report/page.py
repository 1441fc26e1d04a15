"""The page: one HTML file that holds everything it needs, and asks no network for anything.

The same records give the same bytes. A content security policy allows the page's own style and script, by their
hashes, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vibench.leaderboard.board import Board
from vibench.leaderboard.cells import board_title
from vibench.report.board_table import board_table
from vibench.report.charts.chart import Chart, ChartRow, Subject
from vibench.report.entries import EntrySection, Outcome
from vibench.report.markup import Markup, element, join
from vibench.report.palette import style_rules
from vibench.report.svg import to_svg
from vibench.report.tables import scrolling

SYNTHETIC = "Synthetic people."
_WARNING = (
    "The images of these boards are rendered. Their numbers compare methods with each other on these images; they "
    "say nothing about scores on the real data set and stand on no board with them."
)


@dataclass(frozen=True)
class BoardPart:
    """One board with its charts."""

    board: Board
    sections: tuple[EntrySection, ...]
    charts: tuple[Chart, ...]

    @property
    def identity(self) -> str:
        """Unique on the page; neither part holds a slash."""
        return f"{self.board.dataset}/{self.board.name}"


def to_html(
    parts: Sequence[BoardPart], training: Sequence[Chart], outcomes: Mapping[str, Outcome], profiles: Markup
) -> str:
    """The page of boards with their charts, of training curves and of profiles, an empty text where there are none.

    ``outcomes`` by record id gives the links.
    """
    real = [part for part in parts if not part.board.synthetic]
    twins = [part for part in parts if part.board.synthetic]
    # Where something is measured, what is only printed stands behind a click.
    unfolded = not any(part.board.measured for part in parts)
    groups = [
        _group("real", "Real data", [], real, outcomes, unfolded),
        _group("twins", "Synthetic twins", [_banner()], twins, outcomes, unfolded),
        *([_training(training, outcomes)] if training else []),
        profiles,
    ]
    style, script = style_rules() + _own("page.css"), _own("page.js")
    policy = (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src {_hash(style)}; script-src {_hash(script)}"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", "vibench report"),
        element("style", Markup(style)),
    )
    body = element(
        "body",
        element("a", "Skip to the boards", href="#boards", class_="skip"),
        element(
            "header",
            element("h1", "vibench report"),
            element("p", _summary(parts, outcomes)),
            _contents(real, twins, bool(training), bool(profiles)),
        ),
        element("main", *groups, id="boards"),
        element("footer", element("p", _READING, class_="note")),
        element("p", id="status", class_="unseen", aria_live="polite"),
        element("script", Markup(script)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


_READING = (
    "Scores in percent. Measured rows: mean ± standard deviation over trials, or over seeds where several are folded "
    "into one row. Published rows as printed; * marks a number that papers contradict. Ranks count within a section. "
    "Green cells are the best ranked ones of their section and column; timings have a best only within one device. "
    "A matrix by query camera stands where queries come from several cameras. Every measured number links to its "
    "record, by which it can be traced to model, data, rules and machine."
)


def _summary(parts: Sequence[BoardPart], outcomes: Mapping[str, Outcome]) -> str:
    days = sorted(outcome.record.created[:10] for outcome in outcomes.values())
    boards = f"{len(parts)} board{'' if len(parts) == 1 else 's'}"
    if not days:
        return f"{boards} of published numbers; nothing measured yet."
    span = days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"
    return f"{boards}, {len(days)} evaluation record{'' if len(days) == 1 else 's'} of {span}."


def _banner() -> Markup:
    return element("p", element("strong", SYNTHETIC), f" {_WARNING}", class_="banner", role="note")


def _contents(real: Sequence[BoardPart], twins: Sequence[BoardPart], training: bool, profiles: bool) -> Markup:
    """Links to the boards with measured rows, or to all where none has any."""
    parts = [part for part in (*real, *twins) if part.board.measured] or [*real, *twins]
    items = [element("li", element("a", board_title(part.board), href=f"#{part.identity}")) for part in parts]
    items += [element("li", element("a", "Training curves", href="#training"))] if training else []
    items += [element("li", element("a", "Profiles", href="#profiles"))] if profiles else []
    return element("nav", element("ul", *items), aria_label="Boards")


def _group(
    identity: str,
    title: str,
    before: Sequence[Markup],
    parts: Sequence[BoardPart],
    outcomes: Mapping[str, Outcome],
    unfolded: bool,
) -> Markup:
    if not parts:
        return Markup("")
    measured = [_board(part, outcomes) for part in parts if part.board.measured]
    printed = [_board(part, outcomes) for part in parts if not part.board.measured]
    if printed:
        summary = element("summary", f"{len(printed)} boards of published numbers alone")
        measured.append(element("details", summary, *printed, open=unfolded))
    return element("section", element("h2", title, id=identity), *before, *measured, aria_labelledby=identity)


def _board(part: BoardPart, outcomes: Mapping[str, Outcome]) -> Markup:
    title, board = board_title(part.board), part.board
    rules = f"Protocol {board.protocol}, draw {board.draw}, fingerprint {board.fingerprint[:16]}."
    table = board_table(part.sections, part.identity, title)
    return element(
        "section",
        element("h3", title, id=part.identity),
        element("p", rules, class_="note"),
        scrolling(table, f"Board: {title}"),
        _charts(part.charts, part.identity, outcomes),
        aria_labelledby=part.identity,
    )


def _training(charts: Sequence[Chart], outcomes: Mapping[str, Outcome]) -> Markup:
    return element(
        "section",
        element("h2", "Training curves", id="training"),
        _charts(charts, "training", outcomes),
        aria_labelledby="training",
    )


def _charts(charts: Sequence[Chart], identity: str, outcomes: Mapping[str, Outcome]) -> Markup:
    shown = [_chart(chart, f"{identity}/{chart.name}", outcomes) for chart in charts]
    return element("div", *shown, class_="charts") if shown else Markup("")


def _chart(chart: Chart, identity: str, outcomes: Mapping[str, Outcome]) -> Markup:
    title = chart.drawing.title
    table = element(
        "table",
        element("caption", f"{title}: the numbers"),
        element("thead", element("tr", *(element("th", head, scope="col") for head in (*chart.header, "evidence")))),
        element("tbody", *(_chart_row(row, outcomes) for row in chart.rows)),
    )
    return element(
        "figure",
        element("figcaption", title),
        scrolling(to_svg(chart.drawing, identity), f"Chart: {title}"),
        *([element("p", chart.note, class_="note")] if chart.note else []),
        element("details", element("summary", "The numbers and their records"), scrolling(table, f"Numbers: {title}")),
    )


def _chart_row(row: ChartRow, outcomes: Mapping[str, Outcome]) -> Markup:
    ids = " ".join(row.subject.records) or None
    cells = [element("td", cell, class_="number", data_record=ids) for cell in row.cells]
    return element(
        "tr",
        element("th", row.subject.label, scope="row"),
        *cells,
        element("td", _evidence(row.subject, outcomes), class_="evidence"),
    )


def _evidence(subject: Subject, outcomes: Mapping[str, Outcome]) -> Markup:
    links = [element("a", name, href=outcomes[name].link) for name in subject.records]
    return join([*links, *([subject.origin] if subject.origin else [])], ", ")


@cache
def _own(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The source expression of a content security policy that allows exactly this text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}'"
