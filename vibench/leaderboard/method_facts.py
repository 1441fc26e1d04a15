"""What is known of printed methods beside their numbers: ``methods.csv`` of the published files.

A row is about a method on all data sets, or on one; or about an ablation, as ``METHOD/VARIANT``. An empty cell says
what the more general row says: an ablation's row falls back on its method's, one of a data set on that of all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vibench.leaderboard.csv_schema import ANY, TEXT, YEAR, Fail, matching, one_of, read_rows, refuse

SUPERVISED = "supervised"
SUPERVISION = (
    SUPERVISED,
    "semi-supervised",
    "noisy labels",
    "weakly supervised",
    "unsupervised",
    "text-assisted",
)
"""Kinds of supervision, in the order of a board's sections."""
DATASETS = ("sysu-mm01", "regdb", "llcm", "hitsz-vcm", "buptcampus")
UNDRAWN = ("regdb", "hitsz-vcm", "buptcampus")
"""Data sets that are tested on their whole gallery."""
UNKNOWN = "unknown"
OTHER_DRAW = "other"
"""A draw that is known and is none of the protocols'."""

_KINDS = r"[a-z]+(-[a-z]+)*(\+[a-z]+(-[a-z]+)*)*"
_COLUMNS = {
    "method": matching(r"[a-z0-9][a-z0-9-]*(/[a-z0-9-]+)?", "a slug, or METHOD/VARIANT of an ablation"),
    "dataset": one_of(*DATASETS, ""),
    "label": ANY,
    "venue": ANY,
    "year": YEAR,
    "paper": matching(r"[a-z0-9-]*", "a key of papers.bib or empty"),
    "supervision": one_of(*SUPERVISION, ""),
    "backbone": matching(r"[a-z0-9-]*", "a slug or empty"),
    "input": matching(r"(\d+x\d+)?", "height and width such as 288x144, or empty"),
    "pretrained": matching(rf"({_KINDS})?", "kinds joined by '+', such as imagenet, or empty"),
    "extra_labels": matching(rf"({_KINDS})?", "none, kinds joined by '+', or empty"),
    "query_mode": one_of("all", "single", ""),
    "test_time_information": matching(rf"({_KINDS})?", "none, unknown, kinds joined by '+', or empty"),
    "information_evidence": ANY,
    "draw": one_of("seeded", "official", OTHER_DRAW, UNKNOWN, ""),
    "draw_evidence": ANY,
    "checkpoint_selection": ANY,
    "code": matching(r"([\w.-]+/[\w.-]+)?", "a repository as OWNER/NAME, or empty"),
    "weights": ANY,
    "not_reproducible": ANY,
    "evidence": ANY,
}


@dataclass(frozen=True)
class Practice:
    """How a method's authors tested it on one data set."""

    draw: str
    """``seeded`` | ``official`` | ``other`` | ``none`` | ``unknown``."""
    test_time_information: str
    """As in a record, or ``text``, ``re-ranking`` or ``unknown``."""


@dataclass(frozen=True)
class Setup:
    """What a method was trained and ranked with on one data set; an empty text where no source says."""

    input: str = ""
    """Height and width of the network input, such as ``288x144``."""
    backbone: str = ""
    pretrained: str = ""
    """What the weights started from, several joined by ``+``: ``imagenet``, ``clip`` ..."""
    extra_labels: str = ""
    """Labels in training beside identities: ``none``, or kinds joined by ``+``."""
    query_mode: str = ""
    """Whether the ranking of one query saw the others: ``all`` | ``single``."""


@dataclass(frozen=True)
class MethodFacts:
    """What is known of a method on one data set; an empty text where no source says."""

    label: str
    """Its name as the field writes it."""
    venue: str
    year: str
    paper: str
    """Its key in ``papers.bib``."""
    supervision: str
    """One of `SUPERVISION`."""
    practice: Practice
    setup: Setup
    checkpoint_selection: str
    """Which weights its authors kept."""
    code: str
    """``OWNER/NAME`` of its repository."""
    weights: str
    """Whether its authors released them: ``yes``, ``no``, or in words."""
    not_reproducible: str
    """Why nobody can repeat it, where that is so."""


@dataclass(frozen=True)
class MethodTable:
    """The rows of ``methods.csv``, cells by column."""

    rows: Mapping[tuple[str, str], Mapping[str, str]] = field(default_factory=dict)
    """By method (or METHOD/VARIANT) and data set, which is empty for all."""

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, ablations apart, in the order of the file."""
        return tuple(dict.fromkeys(method for method, _ in self.rows if "/" not in method))

    def cell(self, column: str, method: str, variant: str = "", dataset: str = "") -> str:
        """One cell, of the most special row that fills it."""
        names = ((f"{method}/{variant}",) if variant else ()) + (method,)
        places = ((name, where) for name in names for where in (*((dataset,) if dataset else ()), ""))
        return next((text for place in places if (text := self.rows.get(place, {}).get(column, ""))), "")

    def facts(self, method: str, variant: str, dataset: str) -> MethodFacts:
        """What is known of a method, or an ablation of it, on a data set."""

        def cell(column: str) -> str:
            return self.cell(column, method, variant, dataset)

        draw = cell("draw") or UNKNOWN
        return MethodFacts(
            label=cell("label") or method,
            venue=cell("venue"),
            year=cell("year"),
            paper=cell("paper"),
            supervision=cell("supervision") or SUPERVISED,
            practice=Practice("none" if dataset in UNDRAWN else draw, cell("test_time_information") or UNKNOWN),
            setup=Setup(cell("input"), cell("backbone"), cell("pretrained"), cell("extra_labels"), cell("query_mode")),
            checkpoint_selection=cell("checkpoint_selection"),
            code=cell("code"),
            weights=cell("weights"),
            not_reproducible=cell("not_reproducible"),
        )


def read_methods(path: Path, fail: Fail = refuse) -> MethodTable:
    """The checked rows of a ``methods.csv``; ``fail`` is told what is wrong, and where."""
    rows: dict[tuple[str, str], Mapping[str, str]] = {}
    for where, row in read_rows(path, _COLUMNS, fail):
        method, dataset = key = (row["method"], row["dataset"])
        on = f" on {dataset}" if dataset else ""
        if key in rows:
            fail(f"{where}: '{method}'{on} is listed twice; keep one row.")
            continue
        general = dataset == "" and "/" not in method
        if not general and (method.partition("/")[0], "") not in rows:
            fail(f"{where}: '{method}'{on} must follow a row of '{method.partition('/')[0]}' for all data sets.")
        for column in ("label", "supervision") if general else ():
            if not TEXT.accepts(row[column]):
                fail(f"{where}: column '{column}' must be filled in a method's row for all data sets.")
        for column, evidence in (("draw", "draw_evidence"), ("test_time_information", "information_evidence")):
            if row[column] and not row[evidence]:
                fail(f"{where}: column '{evidence}' must say how '{row[column]}' of column '{column}' is known.")
        if dataset in UNDRAWN and row["draw"]:
            fail(f"{where}: column 'draw' must be empty on {dataset}, which is tested on its whole gallery.")
        rows[key] = row
    return MethodTable(rows)
