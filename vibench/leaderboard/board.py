"""Boards: which rows stand together, in which order, and which of them hold a rank.

A board holds one data set (of a twin: one version of it), one protocol and one fingerprint, so all its measured rows
were scored by the same rules on the same galleries. Runs that differ in nothing but the seed are one row
(`vibench.records.seeds`). Inside a board, rows of equal test-time information form a section and are ranked among
themselves: by rank-1, then mAP; equal scores share a rank. Published rows with a minor audit finding rank below every
clean row of their section.

Not ranked: measured rows on incomplete data, of too few trials, or of a model that knew test identities; published
rows whose draw is not that of the board, whose provenance is secondary, that print no rank-1, that are not their
method's headline, or that have a major audit finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from vibench.datasets.registry import is_synthetic
from vibench.leaderboard.catalogue import Catalogue, registered_methods
from vibench.leaderboard.consensus import PublishedRow
from vibench.leaderboard.measured_rows import measured_rows
from vibench.leaderboard.row import LEAKING, OTHER_PRINT, Row, Score
from vibench.leaderboard.sections import Section, sections_of
from vibench.protocols import load_protocol
from vibench.records.schema import Record

OFFICIAL_PERMUTATIONS = "75310f6168ce0359ce114e7d3c401d69b4202325896aed3bce28f51942a45543"
"""SHA-256 of the draws of the ``rand_perm_cam.mat`` that SYSU-MM01's authors publish."""

_Key = tuple[str, str, str, str, str]
"""Data set, its version, protocol, draw, fingerprint: what a board stands for."""

_LEAKING_AUDIT = "leaking-split"


@dataclass(frozen=True)
class Board:
    """One leaderboard."""

    dataset: str
    dataset_version: str
    protocol: str
    draw: str
    fingerprint: str
    name: str
    """File name without suffix, unique among the boards of the data set."""
    sections: tuple[Section, ...]
    printed_variants: tuple[Row, ...] = ()
    """Published rows of ablation tables, in their order: never ranked, they stand beside what was measured again."""

    @property
    def synthetic(self) -> bool:
        """True for a twin, whose numbers say nothing about the real data set."""
        return is_synthetic(self.dataset)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all sections, in order."""
        return tuple(row for section in self.sections for _, row in section.rows)

    @property
    def measured(self) -> int:
        """Number of rows that come from evaluation records."""
        return sum(row.source != "published" for row in self.rows)


def protocol_fingerprint(protocol: str, dataset: str, draw: str) -> str:
    """The fingerprint of today's protocol file under a draw, on a real data set."""
    permutations = OFFICIAL_PERMUTATIONS if draw == "official" else ""
    return load_protocol(protocol).fingerprint(dataset, draw, permutations)


def build_boards(
    records: Iterable[Record],
    published: Iterable[PublishedRow],
    *,
    catalogue: Catalogue | None = None,
    ignore_audits: bool = False,
) -> list[Board]:
    """All boards, by data set and name.

    A published row stands on the board of its authors' draw; one whose draw is unknown stands, unranked, on every
    draw's board of its protocol. ``catalogue`` defaults to the registered methods. With ``ignore_audits`` findings are
    shown and change no rank.
    """
    catalogue = registered_methods() if catalogue is None else catalogue
    measured: dict[_Key, list[Record]] = {}
    for record in records:
        key: _Key = (record.dataset, record.dataset_version, record.protocol, record.draw, record.fingerprint)
        measured.setdefault(key, []).append(record)
    printed: dict[_Key, list[Row]] = {}
    # Asked for every row of a board, and the same each time.
    fingerprint_of = cache(protocol_fingerprint)
    for row in published:
        for draw in _draws(row):
            key = (row.dataset, "", row.protocol, draw, fingerprint_of(row.protocol, row.dataset, draw))
            printed.setdefault(key, []).append(_published_row(row, ignore_audits))
    keys = sorted({*measured, *printed})
    stems = Counter((dataset, _stem(protocol, draw, version)) for dataset, version, protocol, draw, _ in keys)
    boards = []
    for key in keys:
        dataset, version, protocol, draw, fingerprint = key
        stem = _stem(protocol, draw, version)
        name = stem if stems[dataset, stem] == 1 else f"{stem}-{fingerprint[:8]}"
        beside = printed.get(key, [])
        rows = [
            *measured_rows(measured.get(key, []), is_synthetic(dataset), catalogue, beside),
            *(row for row in beside if not row.variant),
        ]
        variants = tuple(row for row in beside if row.variant)
        boards.append(
            Board(dataset, version, protocol, draw, fingerprint, name, sections_of(rows, ignore_audits), variants)
        )
    return boards


def _draws(row: PublishedRow) -> tuple[str, ...]:
    if row.draw != "unknown":
        return (row.draw,)
    return ("seeded", "official") if row.dataset == "sysu-mm01" else ("seeded",)


def _stem(protocol: str, draw: str, version: str) -> str:
    return "-".join(part for part in (protocol, "" if draw == "none" else draw, version) if part)


def _published_row(row: PublishedRow, ignore_audits: bool) -> Row:
    leaking = any(audit.kind == _LEAKING_AUDIT for audit in row.audits)
    obstacles = {
        "draw unknown": row.draw == "unknown",
        "secondary source": row.secondary,
        "no rank-1 printed": "r1" not in row.values,
        OTHER_PRINT: not row.headline,
    }
    if not ignore_audits:
        obstacles |= {audit.kind: True for audit in row.audits if audit.severity == "major"}
    return Row(
        method=row.method,
        variant=row.variant,
        source="published",
        test_time_information=row.test_time_information,
        scores={
            metric: Score(
                float(value), printed=value, conflicts=tuple(found for name, found in row.conflicts if name == metric)
            )
            for metric, value in row.values.items()
        },
        obstacles=tuple(text for text, holds in obstacles.items() if holds),
        marks=(),
        date=row.year,
        evidence="; ".join(row.sources),
        notes=row.notes,
        conflicts=tuple(found for name, found in row.conflicts if not name),
        setup=row.setup,
        draw=row.draw,
        section=LEAKING if leaking and not ignore_audits else row.test_time_information,
        audits=row.audits,
    )
