"""What is wrong or unfair with printed numbers: the findings of ``leaderboards/published/audits.csv``.

A finding names the rows it concerns by selectors, joined by ``'; '``::

    TABLE[/VARIANT]:PROTOCOL[@SOURCE]      results:regdb-*@paenet-mm2022 Table 2
                                           ablations/drm-hs-6:sysu-all

TABLE is ``results``, ``ablations``, ``*`` for both, or ``transfer``; VARIANT is the ablation's and SOURCE the source
and place in it that print the row. Every part may hold the wildcards of file names. A finding about code of which no
number was read ends in ``(none read)``: its selectors say which rows it would concern.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from vibench.leaderboard.csv_schema import SLUG, SLUGS, TEXT, Fail, matching, one_of, read_rows, refuse

SEVERITIES = ("major", "minor", "note")
"""``major``: the number is not what it is called, and holds no rank. ``minor``: it was got by a favour or a doubtful
step, and ranks below every clean row of its section. ``note``: worth knowing, of no consequence for ranks."""

TABLES = ("results", "ablations", "transfer")

_NONE_READ = " (none read)"
_SELECTOR = r"(\*|results|ablations|transfer)(/[^\s:;@]+)?:[^\s:;@()]+(@[^:;@()]+)?"
_PLACE = re.compile(r"[\w.-]{1,80}/[\w.-]{1,80}@[0-9a-f]{7,40}|[\w./*-]{1,200}\.(py|log|txt|yml|yaml|md)(:\d.*)?")
_SCHEMA = {
    "method": SLUGS,
    "kind": SLUG,
    "rows": matching(
        rf"{_SELECTOR}(; {_SELECTOR})*( \(none read\))?",
        "selectors TABLE[/VARIANT]:PROTOCOL[@SOURCE] joined by '; ' (results:regdb-*)",
    ),
    "finding": TEXT,
    "evidence": TEXT,
    "severity": one_of(*SEVERITIES),
}


class Printed(Protocol):
    """What a selector looks at in a printed row."""

    @property
    def method(self) -> str: ...
    @property
    def variant(self) -> str: ...
    @property
    def protocol(self) -> str: ...
    @property
    def source(self) -> str: ...


@dataclass(frozen=True)
class Selector:
    """Rows of the published tables, by patterns."""

    table: str
    variant: str
    """Empty: any."""
    protocol: str
    source: str
    """Empty: any."""

    def matches(self, table: str, printed: Printed) -> bool:
        """Whether the row, of one of `TABLES`, is among those meant."""
        return (
            (self.table == table or (self.table == "*" and table != "transfer"))
            and fnmatchcase(printed.variant, self.variant or "*")
            and fnmatchcase(printed.protocol, self.protocol)
            and fnmatchcase(printed.source, self.source or "*")
        )


@dataclass(frozen=True)
class Audit:
    """One finding about printed rows."""

    methods: tuple[str, ...]
    kind: str
    """In one word, for marks: ``leaking-split``, ``copied-row`` ..."""
    selectors: tuple[Selector, ...]
    finding: str
    evidence: str
    severity: str
    """One of `SEVERITIES`."""
    none_read: bool = False
    """The finding is about code of which no printed number was read."""

    @property
    def names_code(self) -> bool:
        """Whether the evidence names a file of a repository."""
        return any(_PLACE.fullmatch(word) for word in re.split(r"[\s,;()]+", self.evidence))

    def concerns(self, table: str, printed: Printed) -> bool:
        """Whether the finding is about this row of one of `TABLES`."""
        return printed.method in self.methods and any(found.matches(table, printed) for found in self.selectors)


def read_audits(
    path: Path, tables: Mapping[str, Sequence[Printed]], methods: Sequence[str], fail: Fail = refuse
) -> Iterator[Audit]:
    """The findings of a file about the rows of ``tables``, keyed by `TABLES`, and about the code of ``methods``.

    ``fail`` is told file, line and value of a cell that breaks the schema, of a method that its selectors find no row
    of, and of a selector that finds no row.
    """
    places: dict[str, list[tuple[str, Printed]]] = defaultdict(list)
    for table in TABLES:
        for printed in tables[table]:
            places[printed.method].append((table, printed))
    for where, row in read_rows(path, _SCHEMA, fail):
        selectors = row["rows"].removesuffix(_NONE_READ).split("; ")
        audit = Audit(
            methods=tuple(row["method"].split(" / ")),
            kind=row["kind"],
            selectors=tuple(parse_selector(text) for text in selectors),
            finding=row["finding"],
            evidence=row["evidence"],
            severity=row["severity"],
            none_read=row["rows"].endswith(_NONE_READ),
        )
        about = [place for method in dict.fromkeys(audit.methods) for place in places.get(method, ())]
        problem = _problem(audit, row["rows"], selectors, about, methods)
        if problem:
            fail(f"{where}: {problem}.")
        else:
            yield audit


def _problem(
    audit: Audit, rows: str, texts: Sequence[str], places: Sequence[tuple[str, Printed]], methods: Sequence[str]
) -> str:
    """What is wrong with the selectors of a finding, in words; empty where nothing is.

    ``places``: the rows of its methods, each with its table.
    """
    found = {printed.method for table, printed in places if audit.concerns(table, printed)}
    if audit.none_read:
        if strangers := [method for method in audit.methods if method not in methods]:
            return f"column 'method' names '{strangers[0]}', which methods.csv does not hold"
        if found:
            return f"column 'rows' says that no row was read, but '{min(found)}' has one: '{rows}'"
        return ""
    for method in audit.methods:
        if method not in found:
            return f"column 'rows' selects no printed row of '{method}': '{rows}'"
    for text, selector in zip(texts, audit.selectors, strict=True):
        if not any(selector.matches(table, printed) for table, printed in places):
            return f"column 'rows' has a selector that finds no printed row: '{text}'"
    return ""


def parse_selector(text: str) -> Selector:
    """A selector from its text, which must have the form above."""
    found = re.fullmatch(r"([^/:]+)(?:/([^:]+))?:([^@]+)(?:@(.+))?", text)
    if found is None:
        raise ValueError(f"no selector TABLE[/VARIANT]:PROTOCOL[@SOURCE]: {text!r}")
    table, variant, protocol, source = found.groups(default="")
    return Selector(table, variant, protocol, source)


def by_severity(audits: Iterable[Audit]) -> list[Audit]:
    """Worst first, otherwise in the given order."""
    return sorted(audits, key=lambda audit: SEVERITIES.index(audit.severity))
