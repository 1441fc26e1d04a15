"""The table of all rows of all boards, as columns and cells for DataTables, which comes with itables."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vibench.evaluation.result import METRICS
from vibench.leaderboard import cost
from vibench.leaderboard.board import Board
from vibench.leaderboard.cells import (
    METRIC_TITLES,
    comparison_remarks,
    cost_text,
    row_conflicts,
    score_text,
    section_title,
    signed,
)
from vibench.leaderboard.cost import CostKind, cost_of
from vibench.leaderboard.footnotes import audit_sentence
from vibench.leaderboard.sections import Section
from vibench.report.frames import Line

SOURCES = {"trained": "measured", "imported": "imported", "features": "features", "published": "printed"}

Cell = Any
"""A text; ``[number, text]``, or ``[number, text, 1]`` for the best of its section; a table of texts; None: unknown."""


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
    **{
        f"r{k}": f"Share of queries with a right match among the first {k} identities, in percent." for k in (5, 10, 20)
    },
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
        *(
            Column(f"d{one}", f"{METRIC_TITLES[one]} − printed", "In percent points.", _difference(one), "accuracy")
            for one in ("r1", "map")
        ),
        *(_cost_column(kind) for kind in cost.COSTS),
        Column("device", "device", "GPU or CPU model of the timings.", _device, "cost"),
        Column("supervision", "supervision", "What training is told.", _of("supervision"), "setup", True),
        Column("backbone", "backbone", "Backbone network.", _setup("backbone"), "setup", True),
        Column("input", "input", "Height and width of the network's input.", _setup("input"), "setup", True),
        Column("pretraining", "pretraining", "Start of the backbone.", _setup("pretrained"), "setup", True),
        Column("labels", "extra labels", "Labels beside identities.", _setup("extra_labels"), "setup"),
        Column("queries", "query mode", seen, _setup("query_mode"), "setup"),
        Column("code", "code", code, lambda line: _yes(line.row.method in with_code), "setup", True),
        Column("weights", "weights", weights, lambda line: _yes(line.row.source == "imported"), "setup", True),
        Column("reproduction", "reproduction", "How far the print is reproduced here.", _reproduction, "setup"),
        Column("source", "source", source, lambda line: SOURCES[line.row.source], "", True),
        Column("date", "date", "Day of the evaluation, or year of the paper.", _of("date")),
        Column("evidence", "evidence", "The records of a measured row, or where a printed one stands.", _evidence),
        Column("remarks", "remarks", "Why a row is not ranked, and what else to know.", _remarks),
    )


def table(lines: Sequence[Line], with_code: Collection[str], links: Mapping[str, str]) -> dict[str, Any]:
    """Columns and rows for the page's script; ``links`` gives URLs by record id and printed source."""
    known = columns(with_code)
    best = _best(lines)

    def cells(line: Line, marked: bool = True) -> list[Cell]:
        found = [column.value(line) for column in known]
        for at, column in enumerate(known):
            if marked and isinstance(found[at], list) and (id(line.row), column.key) in best:
                found[at] = [*found[at], 1]
        return found

    rows = [[*cells(line), [cells(run, False) for run in line.folded]] for line in lines]
    # A column of nothing but unknowns says nothing.
    kept = [at for at in range(len(known)) if any(row[at] is not None for row in rows)]
    return {
        "columns": [
            {"key": one.key, "title": one.title, "meaning": one.meaning, "group": one.group, "filter": one.filter,
             "first": one.first} for one in (known[at] for at in kept)
        ],
        "rows": [[*(row[at] for at in kept), [[run[at] for at in kept] for run in row[-1]]] for row in rows],
        "links": dict(links),
    }  # fmt: skip


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


def dataset_text(board: Board) -> str:
    """The data set of a board, as its rows say it."""
    origin = f"{board.trained_on} → " if board.trained_on else ""
    return f"{origin}{board.dataset} {board.dataset_version}".strip()


def protocol_text(board: Board) -> str:
    """Its protocol and draw, likewise."""
    corrupted = "" if board.corruption is None else f", corrupted ({board.corruption.label})"
    return board.protocol + ("" if board.draw == "none" else f", {board.draw} draw") + corrupted


def _information(line: Line) -> str:
    return section_title(Section(line.section, ())).removeprefix("Test-time information: ")


def _rank(line: Line) -> Cell:
    return None if line.rank is None else [line.rank.low, str(line.rank)]


def _metric(name: str) -> Callable[[Line], Cell]:
    def value(line: Line) -> Cell:
        score = line.row.scores.get(name)
        return score and [round(score.value, 4), score_text(score) + "*" * bool(score.conflicts)]

    return value


def _difference(name: str) -> Callable[[Line], Cell]:
    def value(line: Line) -> Cell:
        found = line.row.difference(name)
        return None if found is None else [round(found, 4), signed(found)]

    return value


def _cost_column(kind: CostKind) -> Column:
    def value(line: Line) -> Cell:
        found = cost_of(line.row, kind)
        return None if found is None else [found, cost_text(kind, found)]

    meaning = f"{kind.heading}{', on the device of the row' if kind.on_device else ''}."
    return Column(kind.name, kind.heading, meaning, value, "cost", first="desc" if kind.more_is_better else "asc")


def _device(line: Line) -> Cell:
    return ", ".join(sorted({run.cost.device for run in line.row.single_runs if run.cost.device})) or None


def _setup(name: str) -> Callable[[Line], Cell]:
    return lambda line: getattr(line.row.setup, name) or None


def _of(name: str) -> Callable[[Line], Cell]:
    return lambda line: getattr(line.row, name, "") or None


def _reproduction(line: Line) -> Cell:
    return "; ".join(line.row.reproduction) or None


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"


def _evidence(line: Line) -> Cell:
    ids = [outcome.id for outcome in line.outcomes]
    return {"records": ids} if ids else {"sources": line.row.evidence.split("; ")}


def _remarks(line: Line) -> Cell:
    row = line.row
    conflicts = [
        f"* {METRIC_TITLES.get(metric, 'row')}: {found.kind}, {found.comment}" for metric, found in row_conflicts(row)
    ]
    printed = comparison_remarks(row, row.published) if row.published else []
    marks = [mark for mark in row.marks if mark not in row.evaluated]
    audits = [audit_sentence(audit) for audit in row.audits]
    remarks = list(dict.fromkeys([*row.obstacles, *marks, *printed, *audits, *conflicts, *row.notes]))
    return {"remarks": remarks, "audits": audits} if remarks else None
