"""A board as an HTML table that sorts and unfolds."""

from __future__ import annotations

from collections.abc import Sequence

from vibench.evaluation.result import METRICS
from vibench.leaderboard.cells import METRIC_TITLES, comparison_remarks, row_conflicts, section_title
from vibench.leaderboard.footnotes import audit_sentence
from vibench.leaderboard.row import Row, Score
from vibench.report.columns import COSTS, DEVICE, SETUP, Column, difference_column
from vibench.report.entries import Entry, EntrySection
from vibench.report.markup import Markup, element, escape, join
from vibench.report.numbers import ABSENT, amount, with_deviation
from vibench.report.tables import head

_LONGEST_REMARK = 80
"""Characters of remarks that stand in the open."""
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
    entries = [entry for section in sections for entry in section.entries]
    metrics = [_metric_column(metric) for metric in METRICS]
    differences = [difference_column(metric) for metric in ("r1", "map")]
    known = (*metrics, *differences, *COSTS, *SETUP)
    columns = [column for column in known if any(column.value(entry.row) is not None for entry in entries)]
    heads = [
        head("rank", "Place within the section, by rank-1, then mAP.", "number", "ascending"),
        head("method", "Method, variant and seeds.", "text", "ascending"),
        *(_column_head(column, entries) for column in columns),
        head("evidence", "The record of a measured row, or where a published one is printed.", "", ""),
        head("remarks", "Why a row is not ranked, and what else to know.", "", ""),
    ]
    bodies = [_body(section, columns, f"{identity}/{at}", len(heads)) for at, section in enumerate(sections)]
    return element(
        "table",
        element("caption", caption, class_="unseen"),
        element("thead", element("tr", *heads)),
        *bodies,
        class_="board",
    )


def _metric_column(metric: str) -> Column:
    def value(row: Row) -> float | None:
        return row.scores[metric].value if metric in row.scores else None

    return Column(METRIC_TITLES[metric], _MEANINGS[metric], value, better="higher")


def _column_head(column: Column, entries: Sequence[Entry]) -> Markup:
    text = any(isinstance(column.value(entry.row), str) for entry in entries)
    first = "descending" if column.better == "higher" else "ascending"
    return head(column.title, column.meaning, "text" if text else "number", first)


def _body(section: EntrySection, columns: Sequence[Column], identity: str, width: int) -> Markup:
    ranked = [entry for entry in section.entries if entry.rank is not None]
    best = {column.title: _best_value(column, ranked) for column in columns}
    # A span of its own, which stays in sight where the row is wider than the screen.
    title = element("span", section_title(section.section))
    lines = [element("tr", element("th", title, scope="rowgroup", colspan=width), class_="section")]
    for number, entry in enumerate(section.entries):
        lines += _lines(entry, columns, best, f"{identity}/{number}")
    return element("tbody", *lines)


def _best_value(column: Column, entries: Sequence[Entry]) -> float | None:
    """The best number of a column; None where nothing is better, or where devices differ and matter."""
    having = [entry for entry in entries if isinstance(column.value(entry.row), (int, float))]
    devices = {DEVICE.value(entry.row) for entry in having}
    if not column.better or len(having) < 2 or (column.timing and len(devices) > 1):
        return None
    values = [float(column.value(entry.row) or 0.0) for entry in having]
    return max(values) if column.better == "higher" else min(values)


def _lines(entry: Entry, columns: Sequence[Column], best: dict[str, float | None], identity: str) -> list[Markup]:
    """The line of an entry, and behind it one for each run that it folds."""
    marked = best if entry.rank is not None else {}
    if not entry.folded:
        return [_line(entry, _name(entry.row), columns, marked)]
    ids = [f"{identity}/{at}" for at in range(len(entry.folded))]
    fold = element(
        "button",
        _runs(entry),
        type="button",
        class_="fold",
        aria_expanded="true",
        aria_controls=" ".join(ids),
    )
    lines = [_line(entry, [*_name(entry.row), " ", fold], columns, marked)]
    for one, run in zip(ids, entry.folded, strict=True):
        name = [*_name(run.row), f", seed {run.row.run.seed}"]
        lines.append(_line(run, name, columns, {}, one))
    return lines


def _runs(entry: Entry) -> str:
    left_out = len(entry.folded) - len(entry.outcomes)
    seeds = f"{len(entry.outcomes)} seed{'' if len(entry.outcomes) == 1 else 's'}"
    return f"{seeds} + {left_out} superseded" if left_out else seeds


def _name(row: Row) -> list[str]:
    """Method and variant, and what tells the row from the same runs evaluated in other ways."""
    further = [row.variant, *row.evaluated]
    return [row.method, *(part for text in further if text for part in (" ", element("span", text, class_="variant")))]


def _line(
    entry: Entry,
    name: Sequence[str],
    columns: Sequence[Column],
    best: dict[str, float | None],
    identity: str | None = None,
) -> Markup:
    ids = " ".join(entry.subject.records) or None
    origin = f"{'record' if len(entry.outcomes) == 1 else 'records'} {ids}" if ids else entry.row.evidence
    rank = ABSENT if entry.rank is None else str(entry.rank)
    # The cell's number stands in data-value, so that sorting never has to read "54.50 ± 2.87".
    cells = [element("td", rank, class_="number", data_value=entry.rank.low if entry.rank else None, data_record=ids)]
    cells.append(element("th", *name, scope="row"))
    for column in columns:
        value = column.value(entry.row)
        if value is None:
            cells.append(element("td", ABSENT, class_="number" if column.better else None))
        elif isinstance(value, str):
            cells.append(element("td", value))
        else:
            shown = _shown(entry.row, column, value)
            top = value == best.get(column.title)
            content = [element("strong", shown), element("span", " best", class_="unseen")] if top else [shown]
            class_ = "number best" if top else "number"
            plain = repr(float(value))
            cells.append(element("td", *content, class_=class_, data_value=plain, data_record=ids, title=origin))
    cells.append(element("td", _evidence(entry), class_="evidence"))
    cells.append(element("td", _remarks(entry.row), class_="remarks"))
    return element("tr", *cells, class_="seed" if identity else None, id=identity)


def _shown(row: Row, column: Column, value: float) -> str:
    metric = next((name for name, title in METRIC_TITLES.items() if title == column.title), "")
    score: Score | None = row.scores.get(metric)
    if score is None:
        return f"{value:+.{column.digits}f}" if column.signed else amount(value, column.digits)
    flag = "*" if score.conflicts else ""
    return (score.printed or with_deviation(score.value, score.deviation)) + flag


def _evidence(entry: Entry) -> Markup:
    if not entry.outcomes:
        return escape(entry.row.evidence)
    return join([element("a", outcome.record.id, href=outcome.link) for outcome in entry.outcomes], ", ")


def _remarks(row: Row) -> Markup:
    """As a text where they are short, else folded: a row is no higher for them until somebody asks."""
    conflicts = [
        f"* {METRIC_TITLES.get(metric, 'row')}: {found.kind}, {found.comment}" for metric, found in row_conflicts(row)
    ]
    audits = [audit_sentence(audit) for audit in row.audits]
    printed = comparison_remarks(row, row.published) if row.published else []
    marks = [mark for mark in row.marks if mark not in row.evaluated]
    remarks = list(dict.fromkeys([*row.obstacles, *marks, *printed, *audits, *conflicts, *row.notes]))
    text = "; ".join(remarks)
    if len(text) <= _LONGEST_REMARK:
        return escape(text)
    count = f"{len(remarks)} remarks" if len(remarks) > 1 else "1 remark"
    listed = element("ul", *(element("li", remark) for remark in remarks))
    return element("details", element("summary", count), listed)
