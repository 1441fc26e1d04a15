"""A board as an HTML table that sorts and unfolds."""

from __future__ import annotations

from collections.abc import Sequence

from vibench.evaluation.result import METRICS
from vibench.leaderboard.board import UNRANKED, Row, Score
from vibench.leaderboard.published import Conflict
from vibench.leaderboard.render import METRIC_TITLES
from vibench.report.columns import COSTS, SETUP, Column, best_value, filled
from vibench.report.entries import Entry, EntrySection
from vibench.report.markup import Markup, element, join
from vibench.report.numbers import ABSENT, amount, with_deviation

_MEANINGS = {
    "r1": "Rank-1: share of queries whose first match is right, in percent.",
    "r5": "Share of queries with a right match among the first 5 identities, in percent.",
    "r10": "Share of queries with a right match among the first 10 identities, in percent.",
    "r20": "Share of queries with a right match among the first 20 identities, in percent.",
    "map": "Mean average precision, in percent.",
    "minp": "Mean inverse negative penalty, in percent.",
}


def board_table(sections: Sequence[EntrySection], identity: str, caption: str) -> Markup:
    """The table of a board; ``identity`` begins the ids of rows that unfold."""
    rows = [entry.row for section in sections for entry in section.entries]
    metrics = [_metric_column(metric) for metric in METRICS]
    columns = [*filled(metrics, rows), *filled(COSTS, rows), *filled(SETUP, rows)]
    heads = [
        _head("rank", "Place within the section, by rank-1, then mAP.", "number", "ascending"),
        _head("method", "Method, variant and seeds.", "text", "ascending"),
        *(_column_head(column, rows) for column in columns),
        _head("evidence", "The record of a measured row, or where a published one is printed.", "", ""),
        _head("remarks", "Why a row is not ranked, and what else to know.", "", ""),
    ]
    bodies = [_body(section, columns, f"{identity}/{at}", len(heads)) for at, section in enumerate(sections)]
    return element(
        "table", element("caption", caption), element("thead", element("tr", *heads)), *bodies, class_="board"
    )


def _metric_column(metric: str) -> Column:
    def value(row: Row) -> float | None:
        return row.scores[metric].value if metric in row.scores else None

    return Column(METRIC_TITLES[metric], _MEANINGS[metric], value, better="higher")


def _column_head(column: Column, rows: Sequence[Row]) -> Markup:
    text = any(isinstance(column.value(row), str) for row in rows)
    first = "descending" if column.better == "higher" else "ascending"
    return _head(column.title, column.meaning, "text" if text else "number", first)


def _head(title: str, meaning: str, kind: str, first: str) -> Markup:
    """A column's head; with a ``kind`` it sorts, first in the direction ``first``."""
    if not kind:
        return element("th", title, scope="col", title=meaning)
    button = element("button", title, type="button", class_="sort", title=meaning)
    return element("th", button, scope="col", data_kind=kind, data_first=first)


def _body(section: EntrySection, columns: Sequence[Column], identity: str, width: int) -> Markup:
    ranked = [entry.row for entry in section.entries if entry.rank is not None]
    best = {column.title: best_value(column, ranked) for column in columns}
    lines = [
        element("tr", element("th", section_title(section.title), scope="rowgroup", colspan=width), class_="section")
    ]
    for number, entry in enumerate(section.entries):
        lines += _lines(entry, columns, best, f"{identity}/{number}")
    return element("tbody", *lines)


def section_title(title: str) -> str:
    """What the heading of a section says."""
    if title == UNRANKED:
        return "Shown, not ranked"
    return f"Test-time information: {'not stated' if title == 'unknown' else title}"


def _lines(entry: Entry, columns: Sequence[Column], best: dict[str, float | None], identity: str) -> list[Markup]:
    seeds = [f"{identity}/{at}" for at in range(len(entry.seeds))]
    records = [(outcome.record.id, outcome.link) for outcome in entry.outcomes]
    fold = element(
        "button",
        f"{len(seeds)} seeds",
        type="button",
        class_="fold",
        aria_expanded="true",
        aria_controls=" ".join(seeds),
    )
    name = [*_name(entry.row), *([" ", fold] if seeds else [])]
    marked = best if entry.rank is not None else {}
    lines = [_line(entry.row, name, entry.rank, records, columns, marked)]
    for one, row, record in zip(seeds, entry.seeds, records, strict=False):
        lines.append(_line(row, [*_name(row), f", seed {row.run.seed}"], None, [record], columns, {}, one))
    return lines


def _name(row: Row) -> list[str]:
    return [row.method, *([" ", element("span", row.variant, class_="variant")] if row.variant else [])]


def _line(
    row: Row,
    name: Sequence[str],
    rank: int | None,
    records: Sequence[tuple[str, str]],
    columns: Sequence[Column],
    best: dict[str, float | None],
    identity: str | None = None,
) -> Markup:
    ids = " ".join(record for record, _ in records) or None
    origin = f"{'record' if len(records) == 1 else 'records'} {ids}" if ids else row.evidence
    # The cell's number stands in data-value, so that sorting never has to read "54.50 ± 2.87".
    cells = [element("td", ABSENT if rank is None else str(rank), class_="number", data_value=rank, data_record=ids)]
    cells.append(element("th", *name, scope="row"))
    for column in columns:
        value = column.value(row)
        if isinstance(value, str) or (value is None and not column.better):
            cells.append(element("td", value or ABSENT))
            continue
        shown = _shown(row, column, value)
        top = value is not None and value == best.get(column.title)
        content = join([element("strong", shown), element("span", " best", class_="unseen")]) if top else shown
        cells.append(
            element(
                "td",
                content,
                class_="number best" if top else "number",
                data_value=None if value is None else repr(float(value)),
                data_record=ids if value is not None else None,
                title=origin if value is not None else None,
            )
        )
    cells += [element("td", _evidence(row, records), class_="evidence"), element("td", _remarks(row), class_="remarks")]
    return element("tr", *cells, class_="seed" if identity else None, id=identity)


def _shown(row: Row, column: Column, value: float | None) -> str:
    metric = next((name for name, title in METRIC_TITLES.items() if title == column.title), "")
    score: Score | None = row.scores.get(metric)
    if score is None:
        return amount(value, column.digits)
    flag = "*" if score.conflicts else ""
    return (score.printed or with_deviation(score.value, score.deviation)) + flag


def _evidence(row: Row, records: Sequence[tuple[str, str]]) -> Markup:
    if not records:
        return join([row.evidence])
    return join([element("a", record, href=link) for record, link in records], ", ")


def _remarks(row: Row) -> str:
    conflicts = [f"* {metric or 'row'}: {found.kind}, {found.comment}" for metric, found in _conflicts(row)]
    return "; ".join([*row.obstacles, *row.marks, *dict.fromkeys(conflicts), *row.notes])


def _conflicts(row: Row) -> list[tuple[str, Conflict]]:
    cells = [(METRIC_TITLES[metric], found) for metric, score in row.scores.items() for found in score.conflicts]
    return [*cells, *(("", found) for found in row.conflicts)]
