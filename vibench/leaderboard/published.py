"""Published numbers: the files of ``leaderboards/published/``, read strictly.

``results.csv`` and ``ablations.csv`` hold what papers, repositories and lists print, each print in one row, and
``transfer.csv`` what they print of models that were trained on other data sets than they are tested on;
``sources.csv`` where that is, ``methods.csv`` what is known of a method beside its numbers
(`vibench.leaderboard.method_facts`), ``conflicts.csv`` where prints contradict each other, ``audits.csv`` what is wrong
or unfair with a printed number, ``papers.bib`` the papers of the methods (`vibench.leaderboard.papers_bib`). Printed
numbers stay texts: precision is information.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vibench.evaluation.result import METRICS
from vibench.files.shipped import published_folder
from vibench.leaderboard.audits import Audit, read_audits
from vibench.leaderboard.csv_schema import (
    ANY,
    SLUG,
    SLUGS,
    TEXT,
    YEAR,
    Column,
    Fail,
    matching,
    one_of,
    read_rows,
    refuse,
)
from vibench.leaderboard.method_facts import DATASETS, MethodFacts, MethodTable, read_methods
from vibench.leaderboard.papers_bib import Bibliography, read_papers

PAPER, REPOSITORY, SECOND_HAND, WITHHELD = "paper", "repository", "second-hand", "withheld"
"""Kinds of sources: tables of a paper; an authors' README or log; quoted by somebody who is neither; not to be shown
until it is confirmed."""


@dataclass(frozen=True)
class PrintedRow:
    """One row of a printed table, in one setting."""

    method: str
    variant: str
    label: str
    """The method's name as printed."""
    venue: str
    year: str
    dataset: str
    protocol: str
    values: Mapping[str, str]
    """Percent as printed, per metric; a metric that was not printed is absent."""
    source: str
    """Source and place in it, such as ``cal-iccv2023 Table 1``."""
    own: bool
    """Printed by whoever measured it."""
    secondary: bool
    """Quoted from somewhere that is no paper's table; never ranked."""
    note: str
    trained_on: str = ""
    """The data sets of the training, as records say them, where they are others than that of the test."""


@dataclass(frozen=True)
class Conflict:
    """One contradiction between or inside papers."""

    methods: tuple[str, ...]
    dataset: str
    """Empty: every data set."""
    protocols: tuple[str, ...]
    """Empty: every protocol of the data set."""
    metrics: tuple[str, ...]
    """Empty: the row as a whole, its label or its protocol."""
    value_a: str
    source_a: str
    value_b: str
    source_b: str
    kind: str
    comment: str


@dataclass(frozen=True)
class Paper:
    """A paper, repository or list whose numbers were transcribed."""

    kind: str
    """`PAPER`, `REPOSITORY`, `SECOND_HAND` or `WITHHELD`."""
    title: str
    venue: str
    year: str
    address: str
    """Where a person finds it; empty where that was not noted, which ``remark`` then says."""
    own_methods: tuple[str, ...]
    """Those whose numbers in it were measured by whoever wrote it."""
    remark: str


@dataclass(frozen=True)
class Published:
    """Everything the published files say."""

    results: tuple[PrintedRow, ...]
    ablations: tuple[PrintedRow, ...]
    conflicts: tuple[Conflict, ...]
    methods: MethodTable
    audits: tuple[Audit, ...]
    papers: Mapping[str, Paper]
    bibliography: Bibliography = field(default_factory=dict)
    transfer: tuple[PrintedRow, ...] = ()
    withheld: tuple[PrintedRow, ...] = ()
    """Rows of ``results.csv`` that are not to be shown."""

    def facts(self, method: str, variant: str, dataset: str) -> MethodFacts:
        """What is known of a method, or an ablation of it, on a data set."""
        return self.methods.facts(method, variant, dataset)


def load_published(folder: Path | None = None, fail: Fail = refuse) -> Published:
    """Read and check the published files, by default those that travel with vibench.

    ``fail`` is told file, line, column and value of what breaks the schema, and by default raises `UsageError`; where
    it returns, the row is left out.
    """
    folder = published_folder() if folder is None else Path(folder)
    papers = _papers(folder / "sources.csv", fail)
    bibliography = read_papers(folder / "papers.bib", fail)
    methods = read_methods(folder / "methods.csv", fail)
    for method in methods.methods:
        if (key := methods.cell("paper", method)) and key not in bibliography:
            fail(f"{folder / 'methods.csv'}: '{method}' names the paper '{key}', which papers.bib does not hold.")
    tables = {
        name: tuple(_printed(folder / f"{name}.csv", schema, papers, methods, fail))
        for name, schema in (("results", _RESULTS), ("ablations", _ABLATIONS), ("transfer", _TRANSFER))
    }
    return Published(
        results=tuple(row for row in tables["results"] if _kind(row, papers) != WITHHELD),
        ablations=tables["ablations"],
        transfer=tables["transfer"],
        conflicts=tuple(_conflicts(folder / "conflicts.csv", fail)),
        methods=methods,
        audits=tuple(read_audits(folder / "audits.csv", tables, methods.methods, fail)),
        papers=papers,
        bibliography=bibliography,
        withheld=tuple(row for row in tables["results"] if _kind(row, papers) == WITHHELD),
    )


_PREFIXES = {"hitsz-vcm": "hitsz", "buptcampus": "bupt"}
"""What the names of a data set's protocols begin with, where it is not its name."""


def protocol_name(dataset: str, search: str, shot: str, direction: str) -> str:
    """The protocol of a printed setting: ``sysu-indoor-multi``, ``regdb-t2v``, ``hitsz-v2i``."""
    if dataset == "sysu-mm01":
        return f"sysu-{search}" + ("-multi" if shot == "multi" else "")
    return f"{_PREFIXES.get(dataset, dataset)}-{direction}"


def _is_percent(value: str) -> bool:
    return value == "" or (re.fullmatch(r"\d{1,3}(\.\d+)?", value) is not None and float(value) <= 100)


_SEARCHES = ("all", "indoor", "all-c-as-scripted", "indoor-c-as-scripted")
"""The searches of SYSU-MM01: those of its protocols."""
_DIRECTIONS = {
    "regdb": ("v2t", "t2v", "v2t-c-as-scripted", "t2v-c-as-scripted"),
    "llcm": ("v2i", "i2v", "v2i-as-scripted"),
    "hitsz-vcm": ("v2i", "i2v"),
    "buptcampus": ("v2i", "i2v", "v2i-other-cameras", "i2v-other-cameras"),
    "sysu-mm01": ("",),
}
"""The directions of each data set: those of its protocols."""
_EVERY_DIRECTION = tuple(dict.fromkeys(direction for directions in _DIRECTIONS.values() for direction in directions))
_PERCENT = Column("a percentage such as 54.75, or empty", _is_percent)
_METRIC_COLUMNS = dict.fromkeys(METRICS, _PERCENT)
_SETTING = {
    "dataset": one_of(*DATASETS),
    "search": one_of(*_SEARCHES, ""),
    "shot": one_of("single", "multi", ""),
    "direction": one_of(*_EVERY_DIRECTION),
}
_IDENTITY = {"method_label": TEXT, "venue": ANY, "year": YEAR}
_ORIGIN = {"source": SLUG, "table": TEXT, "note": ANY}
_RESULTS = {"method": SLUG, **_IDENTITY, **_SETTING, **_METRIC_COLUMNS, **_ORIGIN}
_ABLATIONS = {"method": SLUG, "variant": SLUG, **_IDENTITY, **_SETTING, **_METRIC_COLUMNS, **_ORIGIN}
_ORIGINS = matching(
    r"[a-z0-9-]+(\+[a-z0-9-]+)*( split [0-9]+)?", "data sets joined by '+', of RegDB with its split (sysu-mm01+llcm)"
)
_TRANSFER = {"method": SLUG, "trained_on": _ORIGINS, **_IDENTITY, **_SETTING, **_METRIC_COLUMNS, **_ORIGIN}
_METRIC = "|".join(METRICS)
_DIRECTION = "|".join(filter(None, _EVERY_DIRECTION))
_CONFLICTS = {
    "method": SLUGS,
    "dataset": one_of(*DATASETS, ""),
    "search": one_of("all", "indoor", ""),
    "shot": one_of("single", "multi", "single / multi", ""),
    "direction": matching(rf"((?:{_DIRECTION})( / (?:{_DIRECTION}))*)?", "directions joined by ' / ', or empty"),
    "metric": matching(rf"({_METRIC})( / ({_METRIC}))*|label|protocol", "metrics or label"),
    "value_a": TEXT,
    "source_a": TEXT,
    "value_b": ANY,
    "source_b": ANY,
    "kind": SLUG,
    "comment": TEXT,
}
_SOURCES = {
    "source": SLUG,
    "kind": one_of(PAPER, REPOSITORY, SECOND_HAND, WITHHELD),
    "title": TEXT,
    "venue": ANY,
    "year": YEAR,
    "address": matching(r"(https?://\S+)?", "a web address, or empty"),
    "own_methods": matching(r"([a-z0-9-]+( [a-z0-9-]+)*)?", "methods with spaces between them, or empty"),
    "remark": ANY,
}


def _papers(path: Path, fail: Fail) -> dict[str, Paper]:
    papers: dict[str, Paper] = {}
    for where, row in read_rows(path, _SOURCES, fail):
        if row["source"] in papers:
            fail(f"{where}: '{row['source']}' is listed twice; keep one row.")
        if not row["address"] and not row["remark"]:
            fail(f"{where}: column 'address' must say where '{row['source']}' is found, or 'remark' why nobody can.")
        papers[row["source"]] = Paper(
            row["kind"],
            row["title"],
            row["venue"],
            row["year"],
            row["address"],
            tuple(row["own_methods"].split()),
            row["remark"],
        )
    return papers


def _kind(printed: PrintedRow, papers: Mapping[str, Paper]) -> str:
    return papers[printed.source.split()[0]].kind


def _wrong_setting(row: Mapping[str, str]) -> str:
    """What of a row's setting does not go with its data set, in words; empty where all does."""
    on_sysu = row["dataset"] == "sysu-mm01"
    for name, needed in (("search", on_sysu), ("shot", on_sysu), ("direction", not on_sysu)):
        if bool(row[name]) != needed:
            state = "filled" if needed else "empty"
            return f"column '{name}' must be {state} on {row['dataset']}, not '{row[name]}'"
    if row["direction"] not in _DIRECTIONS[row["dataset"]]:
        return (
            f"column 'direction' must be one of {', '.join(_DIRECTIONS[row['dataset']])} on {row['dataset']}, "
            f"not '{row['direction']}'"
        )
    return ""


def _printed(
    path: Path, schema: Mapping[str, Column], papers: Mapping[str, Paper], methods: MethodTable, fail: Fail
) -> Iterator[PrintedRow]:
    seen: dict[tuple[str, ...], str] = {}
    for where, row in read_rows(path, schema, fail):
        problem = _wrong_setting(row)
        if not problem and row["source"] not in papers:
            problem = f"column 'source' must be one of {', '.join(papers)} (sources.csv), not '{row['source']}'"
        if not problem and (row["method"], "") not in methods.rows:
            problem = f"column 'method' must be a method of methods.csv, not '{row['method']}'; add a row there"
        if not problem and not any(row[metric] for metric in METRICS):
            problem = "holds no number"
        named = ("method", "variant", "trained_on", *_SETTING, *METRICS, "source", "table")
        place = tuple(row.get(name, "") for name in named)
        if not problem and place in seen:
            problem = f"is the same print as {seen[place]}; keep one"
        if problem:
            fail(f"{where}: {problem}.")
            continue
        seen[place] = where.rpartition(", ")[2]
        paper = papers[row["source"]]
        yield PrintedRow(
            method=row["method"],
            variant=row.get("variant", ""),
            label=row["method_label"],
            venue=row["venue"],
            year=row["year"],
            dataset=row["dataset"],
            protocol=protocol_name(row["dataset"], row["search"], row["shot"], row["direction"]),
            values={metric: row[metric] for metric in METRICS if row[metric]},
            source=f"{row['source']} {row['table']}",
            own=row["method"] in paper.own_methods,
            secondary=paper.kind == SECOND_HAND,
            note=row["note"],
            trained_on=row.get("trained_on", ""),
        )


def _conflicts(path: Path, fail: Fail) -> Iterator[Conflict]:
    for _, row in read_rows(path, _CONFLICTS, fail):
        protocols = {
            protocol_name(row["dataset"], search, shot, direction)
            for search in row["search"].split(" / ")
            for shot in row["shot"].split(" / ")
            for direction in row["direction"].split(" / ")
            if row["dataset"] and (search or direction)
        }
        yield Conflict(
            methods=tuple(row["method"].split(" / ")),
            dataset=row["dataset"],
            protocols=tuple(sorted(protocols)),
            metrics=() if row["metric"] in ("label", "protocol") else tuple(row["metric"].split(" / ")),
            value_a=row["value_a"],
            source_a=row["source_a"],
            value_b=row["value_b"],
            source_b=row["source_b"],
            kind=row["kind"],
            comment=row["comment"],
        )
