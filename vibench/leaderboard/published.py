"""Published numbers: the CSV files of ``leaderboards/published/``, read strictly.

``results.csv`` and ``ablations.csv`` hold what five papers print, ``recent.csv`` newer rows with their provenance,
``conflicts.csv`` where prints contradict each other, ``draws.csv`` which galleries a method's authors drew and what
their method looks at in testing, ``setups.csv`` what the row was trained with, ``audits.csv`` what is wrong or unfair
with a printed number, ``sources.csv`` the papers. Printed numbers stay texts: precision is information.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vibench.errors import UsageError
from vibench.evaluation.result import METRICS
from vibench.files.shipped import published_folder
from vibench.leaderboard.audits import Audit, read_audits
from vibench.leaderboard.csv_schema import ANY, SLUG, SLUGS, TEXT, YEAR, Column, matching, one_of, read_rows

_RECENT_SETTINGS = {
    "sysu_all_ss": ("sysu-mm01", "sysu-all"),
    "sysu_indoor_ss": ("sysu-mm01", "sysu-indoor"),
    "regdb_v2i": ("regdb", "regdb-v2t"),
    "regdb_i2v": ("regdb", "regdb-t2v"),
    "llcm_v2i": ("llcm", "llcm-v2i"),
    "llcm_i2v": ("llcm", "llcm-i2v"),
}
_RECENT_SLUGS = {"cm-SSFT (all queries)": "cm-ssft", "MMD-ReID": "mmd", "PAENet (+MMD)": "paenet"}
_PRIMARY_IN_PART = "primary for SYSU-all and RegDB v2i; rest secondary"
_PRIMARY_PROTOCOLS = ("sysu-all", "regdb-v2t")


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
    """Paper and table, such as ``cal-iccv2023 Table 1``; ``recent.csv``, whose own source is in the note."""
    own: bool
    """Printed by the method's own paper."""
    secondary: bool
    """Quoted from somewhere that is not a paper's table; never ranked."""
    note: str


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
class Practice:
    """How a method's authors tested it on one data set."""

    draw: str
    """``seeded`` | ``official`` | ``none`` | ``unknown``."""
    test_time_information: str
    """As in a record, or ``unknown``."""


@dataclass(frozen=True)
class Setup:
    """What a method was trained and ranked with on one data set; an empty text where no source says."""

    input: str = ""
    """Height and width of the network input, such as ``288x144``."""
    backbone: str = ""
    pretrained: str = ""
    extra_labels: str = ""
    """Labels in training beside identities: ``none``, or `vibench.methods.recipe_file.NEEDS` joined by ``+``."""
    query_mode: str = ""
    """Whether the ranking of one query saw the others: ``all`` | ``single``."""


@dataclass(frozen=True)
class Paper:
    """A paper whose tables were transcribed."""

    title: str
    venue: str
    year: str
    own_methods: tuple[str, ...]


@dataclass(frozen=True)
class Published:
    """Everything the published files say."""

    results: tuple[PrintedRow, ...]
    ablations: tuple[PrintedRow, ...]
    recent: tuple[PrintedRow, ...]
    conflicts: tuple[Conflict, ...]
    practices: Mapping[tuple[str, str], Practice]
    """Per (method, data set); of an ablation that differs from its method, per (method/variant, data set)."""
    setups: Mapping[tuple[str, str], Setup]
    """Likewise; absent where nothing is known."""
    audits: tuple[Audit, ...]
    papers: Mapping[str, Paper]

    def practice(self, method: str, variant: str, dataset: str) -> Practice:
        """How a method, or an ablation of it, was tested."""
        own = self.practices.get((f"{method}/{variant}", dataset))
        return own or self.practices[method, dataset]

    def setup(self, method: str, variant: str, dataset: str) -> Setup:
        """What a method, or an ablation of it, was trained with, as far as it is known."""
        own = self.setups.get((f"{method}/{variant}", dataset))
        return own or self.setups.get((method, dataset), Setup())


def load_published(folder: Path | None = None) -> Published:
    """Read and check the published files, by default those that travel with vibench.

    `UsageError` names file, line, column and value of the first cell that breaks the schema.
    """
    folder = published_folder() if folder is None else Path(folder)
    papers = {
        row["source"]: Paper(row["title"], row["venue"], row["year"], tuple(row["own_methods"].split()))
        for _, row in read_rows(folder / "sources.csv", _SOURCES)
    }
    practices: dict[tuple[str, str], Practice] = {}
    for where, row in read_rows(folder / "draws.csv", _DRAWS):
        key = (row["method"], row["dataset"])
        if key in practices:
            raise UsageError(f"{where}: '{key[0]}' on {key[1]} is listed twice; keep one row.")
        if (row["draw"] == "none") != (row["dataset"] == "regdb"):
            raise UsageError(f"{where}: column 'draw' must be none on regdb and only there, not '{row['draw']}'.")
        practices[key] = Practice(row["draw"], row["test_time_information"])
    tables = {
        "results": tuple(_printed(folder / "results.csv", _RESULTS, papers)),
        "ablations": tuple(_printed(folder / "ablations.csv", _ABLATIONS, papers)),
        "recent": tuple(_recent(folder / "recent.csv")),
    }
    for printed in (row for table in tables.values() for row in table):
        if (printed.method, printed.dataset) not in practices:
            raise UsageError(
                f"{folder / 'draws.csv'}: has no row for '{printed.method}' on {printed.dataset}, which "
                f"{printed.source} prints; add one (draw 'unknown' where nobody says)."
            )
    return Published(
        **tables,
        conflicts=tuple(_conflicts(folder / "conflicts.csv")),
        practices=practices,
        setups=_setups(folder / "setups.csv", practices),
        audits=tuple(read_audits(folder / "audits.csv", tables)),
        papers=papers,
    )


def protocol_name(dataset: str, search: str, shot: str, direction: str) -> str:
    """The protocol of a printed setting: ``sysu-indoor-multi``, ``regdb-t2v``."""
    if dataset == "sysu-mm01":
        return f"sysu-{search}" + ("-multi" if shot == "multi" else "")
    return f"{dataset}-{direction}"


def _is_percent(value: str) -> bool:
    return value == "" or (re.fullmatch(r"\d{1,3}(\.\d+)?", value) is not None and float(value) <= 100)


_PERCENT = Column("a percentage such as 54.75, or empty", _is_percent)
_METRIC_COLUMNS = dict.fromkeys(METRICS, _PERCENT)
_SETTING = {
    "dataset": one_of("sysu-mm01", "regdb"),
    "search": one_of("all", "indoor", ""),
    "shot": one_of("single", "multi", ""),
    "direction": one_of("v2t", "t2v", ""),
}
_IDENTITY = {"method_label": TEXT, "venue": TEXT, "year": YEAR}
_ORIGIN = {"source": SLUG, "table": matching(r"Table \w+", "a table such as 'Table 4'"), "note": ANY}
_RESULTS = {"method": SLUG, **_IDENTITY, **_SETTING, **_METRIC_COLUMNS, **_ORIGIN}
_ABLATIONS = {"method": SLUG, "variant": SLUG, **_IDENTITY, **_SETTING, **_METRIC_COLUMNS, **_ORIGIN}
_RECENT = {
    "method": TEXT,
    "venue": TEXT,
    "backbone_or_input": TEXT,
    **{f"{setting}_{metric}": _PERCENT for setting in _RECENT_SETTINGS for metric in ("r1", "map")},
    "setting": TEXT,
    "provenance": matching(
        r"(primary|secondary|author repository).*", "a text that begins with primary, secondary or author repository"
    ),
    "source": TEXT,
    "caveat": ANY,
}
_CONFLICTS = {
    "method": SLUGS,
    "dataset": one_of("sysu-mm01", "regdb", ""),
    "search": one_of("all", "indoor", ""),
    "shot": one_of("single", "multi", "single / multi", ""),
    "direction": one_of("v2t", "t2v", "v2t / t2v", ""),
    "metric": matching(rf"({'|'.join(METRICS)})( / ({'|'.join(METRICS)}))*|label|protocol", "metrics or label"),
    "value_a": TEXT,
    "source_a": TEXT,
    "value_b": ANY,
    "source_b": ANY,
    "kind": SLUG,
    "comment": TEXT,
}
_METHOD_OR_VARIANT = matching(r"[a-z0-9][a-z0-9-]*(/[a-z0-9-]+)?", "a slug, or METHOD/VARIANT of an ablation")
_DRAWS = {
    "method": _METHOD_OR_VARIANT,
    "dataset": one_of("sysu-mm01", "regdb", "llcm"),
    "draw": one_of("seeded", "official", "none", "unknown"),
    "draw_evidence": TEXT,
    "test_time_information": matching(r"[a-z]+(\+[a-z]+)*", "none, unknown, or kinds joined by '+'"),
    "information_evidence": TEXT,
}
_SETUPS = {
    "method": _METHOD_OR_VARIANT,
    "dataset": one_of("sysu-mm01", "regdb", "llcm"),
    "input": matching(r"(\d+x\d+)?", "height and width such as 288x144, or empty"),
    "backbone": matching(r"[a-z0-9-]*", "a slug or empty"),
    "pretrained": matching(r"[a-z0-9-]*", "a slug or empty"),
    "extra_labels": matching(r"(none|[a-z]+(\+[a-z]+)*)?", "none, kinds joined by '+', or empty"),
    "query_mode": one_of("all", "single", ""),
    "evidence": TEXT,
}
_SOURCES = {"source": SLUG, "title": TEXT, "venue": TEXT, "year": YEAR, "own_methods": TEXT}


def _setups(path: Path, practices: Mapping[tuple[str, str], Practice]) -> dict[tuple[str, str], Setup]:
    setups: dict[tuple[str, str], Setup] = {}
    for where, row in read_rows(path, _SETUPS):
        key = (row["method"], row["dataset"])
        if key in setups:
            raise UsageError(f"{where}: '{key[0]}' on {key[1]} is listed twice; keep one row.")
        if (row["method"].partition("/")[0], row["dataset"]) not in practices:
            raise UsageError(
                f"{where}: '{key[0]}' on {key[1]} is no row of draws.csv; correct the name or add it there."
            )
        setups[key] = Setup(row["input"], row["backbone"], row["pretrained"], row["extra_labels"], row["query_mode"])
    return setups


def _check_setting(where: str, row: Mapping[str, str]) -> None:
    on_sysu = row["dataset"] == "sysu-mm01"
    for name, needed in (("search", on_sysu), ("shot", on_sysu), ("direction", not on_sysu)):
        if bool(row[name]) != needed:
            state = "filled" if needed else "empty"
            raise UsageError(f"{where}: column '{name}' must be {state} on {row['dataset']}, not '{row[name]}'.")


def _printed(path: Path, schema: Mapping[str, Column], papers: Mapping[str, Paper]) -> Iterator[PrintedRow]:
    for where, row in read_rows(path, schema):
        _check_setting(where, row)
        if row["source"] not in papers:
            raise UsageError(
                f"{where}: column 'source' must be one of {', '.join(papers)} (sources.csv), not '{row['source']}'."
            )
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
            own=row["method"] in papers[row["source"]].own_methods,
            secondary=False,
            note=row["note"],
        )


def _recent(path: Path) -> Iterator[PrintedRow]:
    for where, row in read_rows(path, _RECENT):
        if row["caveat"].startswith("do not show"):
            continue
        year = re.search(r"(19|20)\d\d", row["venue"])
        for setting, (dataset, protocol) in _RECENT_SETTINGS.items():
            values = {metric: row[f"{setting}_{metric}"] for metric in ("r1", "map") if row[f"{setting}_{metric}"]}
            if not values:
                continue
            primary = row["provenance"].startswith("primary")
            if row["provenance"] == _PRIMARY_IN_PART:
                primary = protocol in _PRIMARY_PROTOCOLS
            yield PrintedRow(
                method=_recent_slug(row["method"], where),
                variant="",
                label=row["method"],
                venue=row["venue"],
                year=year.group() if year else "",
                dataset=dataset,
                protocol=protocol,
                values=values,
                source="recent.csv",
                own=False,
                secondary=not primary,
                note="; ".join(
                    part for part in (row["setting"], row["provenance"], row["source"], row["caveat"]) if part
                ),
            )


def _recent_slug(label: str, where: str) -> str:
    slug = _RECENT_SLUGS.get(label) or re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")
    if not slug:
        raise UsageError(f"{where}: column 'method' must name a method, not '{label}'.")
    return slug


def _conflicts(path: Path) -> Iterator[Conflict]:
    for _, row in read_rows(path, _CONFLICTS):
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
