"""Boards: which rows stand together, in which order, and which of them hold a rank.

A board holds one data set (of a twin: one version of it), one protocol and one fingerprint, so all its measured rows
were scored by the same rules on the same galleries. Corrupted images have boards of their own, one per severity, and so
have models that were trained on another data set than they are tested on. Runs that differ in nothing but the seed are
one row (`vibench.records.seeds`). Inside a board, rows of equal supervision and test-time information form a section
and are ranked among themselves by rank-1, measured rows among measured and published among published ones: nobody has
the per-query outcomes of a published number, so that nothing says how sure its distance from a measured one is.

A measured row holds a range of places: from one plus the number of rows that are surely better to the number of rows
that are not surely worse, itself included (`vibench.leaderboard.certainty`). Of a single seed, sure is only what other
test identities would not change. Published rows hold the plain place of rank-1, then mAP, equal scores the same; those
with a minor audit finding rank below every clean one, and a ranked one without any finding is marked as not audited.

Not ranked: measured rows on incomplete data, of too few trials, of a model that knew test identities, or not surely
above chance; published rows whose draw is not that of the board, that come second-hand, that print no rank-1, that are
not their method's headline, or that have a major audit finding.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple

from vibench.corruption import Corruption
from vibench.datasets.registry import is_synthetic
from vibench.files.digests import sha256_text
from vibench.leaderboard.catalogue import Catalogue, registered_methods
from vibench.leaderboard.certainty import Certainty
from vibench.leaderboard.consensus import PublishedRow
from vibench.leaderboard.measured_rows import measured_rows
from vibench.leaderboard.method_facts import OTHER_DRAW, UNKNOWN
from vibench.leaderboard.reproduction import with_reproduction
from vibench.leaderboard.row import LEAKING, NOT_AUDITED, NOT_LEARNT, OTHER_PRINT, QUOTED, Row, Score, section_of
from vibench.leaderboard.sections import Section, sections_of
from vibench.protocols import load_protocol, protocol_names
from vibench.records.schema import Record

OFFICIAL_PERMUTATIONS = "75310f6168ce0359ce114e7d3c401d69b4202325896aed3bce28f51942a45543"
"""SHA-256 of the draws of the ``rand_perm_cam.mat`` that SYSU-MM01's authors publish."""


class _Key(NamedTuple):
    """What a board stands for."""

    dataset: str
    dataset_version: str
    protocol: str
    draw: str
    fingerprint: str
    trained_on: str
    """The data set of the training, where it is another."""
    corruption: Corruption | None

    @property
    def stem(self) -> str:
        """The name of its files, as far as other boards of the data set leave it to it."""
        known = self.protocol in protocol_names() and load_protocol(self.protocol).corruption is not None
        slug = "" if self.corruption is None or known else self.corruption.slug
        draw = "" if self.draw == "none" else self.draw
        # It becomes the name of a file, whatever a record says.
        origin = "-".join(re.findall(r"[A-Za-z0-9.]+", self.trained_on))[:100]
        parts = (self.protocol, slug, draw, self.dataset_version, "from" if origin else "", origin)
        return "-".join(part for part in parts if part)

    @property
    def digest(self) -> str:
        """What tells it from other boards of its stem."""
        more = " ".join(filter(None, (self.trained_on, str(self.corruption or ""))))
        return (sha256_text(f"{self.fingerprint} {more}") if more else self.fingerprint)[:8]

    @property
    def order(self) -> tuple[str, ...]:
        """Clean boards before those of corrupted images, and those of transfer."""
        corruption = "" if self.corruption is None else self.corruption.label
        return (*self[:3], self.trained_on, corruption, self.draw, self.fingerprint)


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
    trained_on: str = ""
    """The data set of the training, as records say it, where it is another."""
    corruption: Corruption | None = None
    """What happened to the test images of all its rows; None: nothing."""
    chance: Mapping[str, float] = field(default_factory=dict)
    """Percent, per metric ``r1`` and ``map``: what a random order of its galleries scores; empty where unknown."""

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
    certainty: Certainty | None = None,
) -> list[Board]:
    """All boards, by data set and name.

    A published row stands on the board of its authors' draw; one whose draw is unknown, or no protocol's, stands,
    unranked, on every draw's board of its protocol. ``catalogue`` defaults to the registered methods. With
    ``ignore_audits`` findings are shown and change no rank. ``certainty`` has the outcomes behind the records; without
    it, ranks are those of the scores alone, and nobody asks whether a row has learnt.
    """
    catalogue = registered_methods() if catalogue is None else catalogue
    measured: dict[_Key, list[Record]] = {}
    for record in records:
        key = _Key(
            record.dataset,
            record.dataset_version,
            record.protocol,
            record.draw,
            record.fingerprint,
            record.run.trained_on,
            record.corruption,
        )
        measured.setdefault(key, []).append(record)
    printed: dict[_Key, list[Row]] = {}
    fingerprint_of = cache(protocol_fingerprint)
    for row in published:
        for draw in _draws(row):
            fingerprint = fingerprint_of(row.protocol, row.dataset, draw)
            corruption = load_protocol(row.protocol).corruption
            key = _Key(row.dataset, "", row.protocol, draw, fingerprint, row.trained_on, corruption)
            printed.setdefault(key, []).append(_published_row(row, ignore_audits))
    proven = catalogue.proven()
    keys = sorted({*measured, *printed}, key=lambda key: key.order)
    stems = Counter((key.dataset, key.stem) for key in keys)
    boards = []
    for key in keys:
        name = key.stem if stems[key.dataset, key.stem] == 1 else f"{key.stem}-{key.digest}"
        beside = printed.get(key, [])
        own = measured_rows(measured.get(key, []), is_synthetic(key.dataset), catalogue, beside)
        own, chance = (own, {}) if certainty is None else _against_chance(own, certainty)
        beside = with_reproduction(beside, own, proven)
        rows = [*own, *(row for row in beside if not row.variant)]
        boards.append(
            Board(
                key.dataset,
                key.dataset_version,
                key.protocol,
                key.draw,
                key.fingerprint,
                name,
                sections_of(rows, ignore_audits, certainty),
                printed_variants=tuple(row for row in beside if row.variant),
                trained_on=key.trained_on,
                corruption=key.corruption,
                chance=chance,
            )
        )
    return boards


def _against_chance(rows: Sequence[Row], certainty: Certainty) -> tuple[list[Row], dict[str, float]]:
    """The rows, with an obstacle where they have not learnt, and the chance level of most of them in percent."""
    standings = certainty.standings([row.records for row in rows])
    judged = [
        row if standing is None or standing.learnt else replace(row, obstacles=(*row.obstacles, NOT_LEARNT))
        for row, standing in zip(rows, standings, strict=True)
    ]
    levels = Counter(tuple(standing.chance.items()) for standing in standings if standing is not None)
    usual = levels.most_common(1)[0][0] if levels else ()
    return judged, {metric: 100.0 * level for metric, level in usual}


def _draws(row: PublishedRow) -> tuple[str, ...]:
    if row.draw not in (UNKNOWN, OTHER_DRAW):
        return (row.draw,)
    if row.dataset != "sysu-mm01":
        return ("seeded",)
    return tuple(draw for draw in ("seeded", "official") if draw in load_protocol(row.protocol).draws)


def _published_row(row: PublishedRow, ignore_audits: bool) -> Row:
    leaking = any(audit.kind == _LEAKING_AUDIT for audit in row.audits)
    obstacles = {
        "draw unknown": row.draw == UNKNOWN,
        "another draw": row.draw == OTHER_DRAW,
        "secondary source": row.secondary,
        "no rank-1 printed": "r1" not in row.values,
        OTHER_PRINT: not row.headline,
    }
    if not ignore_audits:
        obstacles |= {audit.kind: True for audit in row.audits if audit.severity == "major"}
    marks = {QUOTED: row.quoted, NOT_AUDITED: not row.audits and not any(obstacles.values())}
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
        marks=tuple(text for text, holds in marks.items() if holds),
        date=row.year,
        evidence="; ".join(row.sources),
        notes=row.notes,
        conflicts=tuple(found for name, found in row.conflicts if not name),
        setup=row.setup,
        draw=row.draw,
        section=LEAKING if leaking and not ignore_audits else section_of(row.supervision, row.test_time_information),
        audits=row.audits,
        supervision=row.supervision,
        reproduction=(f"not reproducible: {row.not_reproducible}",) if row.not_reproducible else (),
    )
