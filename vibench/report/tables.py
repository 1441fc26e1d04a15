"""The table of all rows of all boards, as columns and cells for DataTables, which comes with itables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vibench.evaluation.result import METRICS
from vibench.leaderboard import cost
from vibench.leaderboard.cells import (
    METRIC_TITLES,
    comparison_remarks,
    cost_text,
    dataset_text,
    protocol_text,
    row_conflicts,
    score_text,
    section_title,
    signed,
)
from vibench.leaderboard.cost import CostKind, cost_of
from vibench.leaderboard.footnotes import audit_sentence
from vibench.leaderboard.sections import Section
from vibench.report.frames import Line

_YES = {True: "yes", False: "no"}
SOURCES = {"trained": "measured", "imported": "imported", "features": "features", "published": "printed"}

Cell = Any
"""A text; ``[number, text]``, with a 1 for the best of its section; a table of texts; None: unknown."""


@dataclass(frozen=True)
class Column:
    """One column of the table."""

    key: str
    """In the URL's hash."""
    title: str
    meaning: str
    """In one sentence, with the unit."""
    value: Callable[[Line], Cell]
    group: str = ""
    """The column set: ``accuracy`` | ``cost`` | ``setup``; empty: always shown."""
    filter: bool = False
    first: str = "asc"
    """The direction that the first click sorts in."""


_MEANINGS = {
    "r1": "Rank-1: share of queries whose first match is right, in percent.",
    **{f"r{k}": f"Share of queries with a match among the first {k} identities, in percent." for k in (5, 10, 20)},
    "map": "Mean average precision, in percent.",
    "minp": "Mean inverse negative penalty, in percent.",
}


def columns(with_code: Collection[str]) -> tuple[Column, ...]:
    """All columns in order; ``with_code`` names the methods whose authors' code is known."""
    seen, source = "May a ranking see other queries?", "Measured here, imported weights, features, or printed."
    code, weights = "The authors' code is known.", "Measured from the authors' weights."
    place = "Place among rows of equal test-time information."
    return (
        Column("dataset", "data set", "With its version, for a twin.", lambda line: dataset_text(line.board), "", True),
        Column("protocol", "protocol", "With the draw of galleries.", lambda line: protocol_text(line.board), "", True),
        Column("information", "test-time information", "What a ranking may look at.", _information, "", True),
        Column("rank", "rank", place, _rank),
        Column("method", "method", "Method and variant; unfolds into seeds.", lambda line: line.name),
        *(Column(one, METRIC_TITLES[one], _MEANINGS[one], _metric(one), "accuracy", first="desc") for one in METRICS),
        *(_difference_column(one) for one in ("r1", "map")),
        *(_cost_column(kind) for kind in cost.COSTS),
        Column("device", "device", "GPU or CPU model of the timings.", _device, "cost"),
        Column("supervision", "supervision", "What training is told.", _of("supervision"), "setup", True),
        Column("backbone", "backbone", "Backbone network.", _setup("backbone"), "setup", True),
        Column("input", "input", "Height and width of the network's input.", _setup("input"), "setup", True),
        Column("pretraining", "pretraining", "Start of the backbone.", _setup("pretrained"), "setup", True),
        Column("labels", "extra labels", "Labels beside identities.", _setup("extra_labels"), "setup"),
        Column("queries", "query mode", seen, _setup("query_mode"), "setup"),
        Column("code", "code", code, lambda line: _YES[line.row.method in with_code], "setup", True),
        Column("weights", "weights", weights, lambda line: _YES[line.row.source == "imported"], "setup", True),
        Column("reproduction", "reproduction", "How far the print is reproduced here.", _reproduction, "setup"),
        Column("source", "source", source, lambda line: SOURCES[line.row.source], "", True),
        Column("date", "date", "Day of the evaluation, or year of the paper.", _of("date")),
        Column("evidence", "evidence", "The records of a measured row, or where a printed one stands.", _evidence),
        Column("remarks", "remarks", "Why a row is not ranked, and what else to know.", _remarks),
    )


def table(lines: Sequence[Line], with_code: Collection[str], links: Mapping[str, str]) -> dict[str, Any]:
    """Columns and rows for the page's script; ``links`` gives URLs by record id and printed source."""
    best = _best(lines)
    # A column of nothing but unknowns says nothing.
    kept = [one for one in columns(with_code) if any(one.value(line) is not None for line in lines)]

    def cells(line: Line) -> list[Cell]:
        found = [column.value(line) for column in kept]
        marks = [[1] if (id(line.row), column.key) in best else [] for column in kept]
        return [cell + mark if isinstance(cell, list) else cell for cell, mark in zip(found, marks, strict=True)]

    heads = [{name: value for name, value in vars(one).items() if name != "value"} for one in kept]
    rows = [[*cells(line), [cells(run) for run in line.folded]] for line in lines]
    return {"columns": heads, "rows": rows, "links": dict(links)}


def _best(lines: Sequence[Line]) -> set[tuple[int, str]]:
    """Rows, by their ``id()``, and metrics in which no ranked row of the same section of the board has more."""
    groups: dict[tuple[Any, ...], list[Line]] = {}
    for line in lines:
        for metric in line.row.scores if line.rank is not None else ():
            groups.setdefault((line.board.fingerprint, line.board.name, line.section, metric), []).append(line)
    found = set()
    for (*_, metric), group in groups.items():
        top = max(line.row.scores[metric].value for line in group)
        found |= {(id(one.row), metric) for one in group if len(group) > 1 and one.row.scores[metric].value == top}
    return found


def _information(line: Line) -> str:
    return section_title(Section(line.section, ())).removeprefix("Test-time information: ")


def _rank(line: Line) -> Cell:
    return None if line.rank is None else [line.rank.low, str(line.rank)]


def _metric(name: str) -> Callable[[Line], Cell]:
    def value(line: Line) -> Cell:
        score = line.row.scores.get(name)
        return score and [round(score.value, 4), score_text(score) + "*" * bool(score.conflicts)]

    return value


def _number(value: Callable[[Line], float | None], text: Callable[[float], str]) -> Callable[[Line], Cell]:
    def cell(line: Line) -> Cell:
        found = value(line)
        return None if found is None else [round(found, 6), text(found)]

    return cell


def _difference_column(metric: str) -> Column:
    cell = _number(lambda line: line.row.difference(metric), signed)
    return Column(f"d{metric}", f"{METRIC_TITLES[metric]} − printed", "In percent points.", cell, "accuracy")


def _cost_column(kind: CostKind) -> Column:
    cell = _number(lambda line: cost_of(line.row, kind), lambda value: cost_text(kind, value))
    meaning = f"{kind.heading}{', on the device of the row' if kind.on_device else ''}."
    return Column(kind.name, kind.heading, meaning, cell, "cost", first="desc" if kind.more_is_better else "asc")


def _device(line: Line) -> Cell:
    return ", ".join(sorted({run.cost.device for run in line.row.single_runs if run.cost.device})) or None


def _setup(name: str) -> Callable[[Line], Cell]:
    return lambda line: getattr(line.row.setup, name) or None


def _of(name: str) -> Callable[[Line], Cell]:
    return lambda line: getattr(line.row, name, "") or None


def _reproduction(line: Line) -> Cell:
    return "; ".join(line.row.reproduction) or None


def _evidence(line: Line) -> Cell:
    ids = [outcome.id for outcome in line.outcomes]
    return {"records": ids} if ids else {"sources": line.row.evidence.split("; ")}


def _remarks(line: Line) -> Cell:
    row = line.row
    found = row_conflicts(row)
    conflicts = [f"* {METRIC_TITLES.get(metric, 'row')}: {one.kind}, {one.comment}" for metric, one in found]
    printed = comparison_remarks(row, row.published) if row.published else []
    marks = [mark for mark in row.marks if mark not in row.evaluated]
    audits = [audit_sentence(audit) for audit in row.audits]
    remarks = list(dict.fromkeys([*row.obstacles, *marks, *printed, *audits, *conflicts, *row.notes]))
    return {"remarks": remarks, "audits": audits} if remarks else None
