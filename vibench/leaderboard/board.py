"""Boards: which rows stand together, in which order, and which of them hold a rank.

A board holds one data set (of a twin: one version of it), one protocol and one fingerprint, so all its measured rows
were scored by the same rules on the same galleries. Inside a board, rows of equal test-time information form a
section and are ranked among themselves: by rank-1, then mAP; equal scores share a rank.

Not ranked, in the last section: measured rows on incomplete data, of too few trials, or of a leaking model;
published rows whose draw is not that of the board, whose provenance is secondary, that print no rank-1, or that are
not their method's headline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vibench.datasets.registry import dataset_names, get_dataset
from vibench.evaluation.result import METRICS
from vibench.leaderboard.consensus import PublishedRow
from vibench.leaderboard.published import Conflict
from vibench.leaderboard.record import Cost, Record, RunInfo
from vibench.protocols import load_protocol, protocol_names

UNRANKED = "not ranked"

OFFICIAL_PERMUTATIONS = "75310f6168ce0359ce114e7d3c401d69b4202325896aed3bce28f51942a45543"
"""SHA-256 of the draws of the ``rand_perm_cam.mat`` that SYSU-MM01's authors publish."""

_Key = tuple[str, str, str, str, str]
"""Data set, its version, protocol, draw, fingerprint: what a board stands for."""

_INFORMATION_ORDER = ("none", "gallery", "gallery+queries", "attributes")


@dataclass(frozen=True)
class Score:
    """One metric of one row, in percent."""

    value: float
    deviation: float | None = None
    """Standard deviation over trials; None for a published number."""
    printed: str = ""
    """The number as its paper prints it; empty for a measured one."""
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True)
class Row:
    """One line of a board."""

    method: str
    variant: str
    source: str
    test_time_information: str
    scores: Mapping[str, Score]
    """A metric that was not printed is absent."""
    obstacles: tuple[str, ...]
    """Why the row holds no rank; empty for a row that does."""
    marks: tuple[str, ...]
    """What else a reader should see beside the row."""
    date: str
    evidence: str
    """Record id, or where the number is printed."""
    notes: tuple[str, ...]
    run: RunInfo = field(default_factory=RunInfo)
    cost: Cost = field(default_factory=Cost)
    conflicts: tuple[Conflict, ...] = ()
    """Contradictions about the row as a whole."""


@dataclass(frozen=True)
class Section:
    """Rows of equal test-time information, or the rows that are not ranked."""

    title: str
    rows: tuple[tuple[int | None, Row], ...]
    """Rank and row."""


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

    @property
    def synthetic(self) -> bool:
        """True for a twin, whose numbers say nothing about the real data set."""
        return is_synthetic(self.dataset)

    @property
    def measured(self) -> int:
        """Number of rows that come from evaluation records."""
        return sum(row.source != "published" for section in self.sections for _, row in section.rows)


def is_synthetic(dataset: str) -> bool:
    """True for the synthetic twins; False for real data sets and for names that vibench does not know."""
    return dataset in dataset_names() and get_dataset(dataset).synthetic


def protocol_fingerprint(protocol: str, dataset: str, draw: str) -> str:
    """The fingerprint of today's protocol file under a draw, on a real data set."""
    permutations = OFFICIAL_PERMUTATIONS if draw == "official" else ""
    return load_protocol(protocol).fingerprint(dataset, draw, permutations)


def build_boards(
    records: Iterable[Record],
    published: Iterable[PublishedRow],
    fingerprint_of: Callable[[str, str, str], str] = protocol_fingerprint,
) -> list[Board]:
    """All boards, by data set and name.

    A published row stands on the board of its authors' draw; one whose draw is unknown stands, unranked, on every
    draw's board of its protocol. ``fingerprint_of`` (protocol, data set, draw) gives the fingerprint of those boards.
    """
    measured: dict[_Key, list[Record]] = {}
    for record in records:
        key: _Key = (record.dataset, record.dataset_version, record.protocol, record.draw, record.fingerprint)
        measured.setdefault(key, []).append(record)
    printed: dict[_Key, list[PublishedRow]] = {}
    for row in published:
        for draw in _draws(row):
            key = (row.dataset, "", row.protocol, draw, fingerprint_of(row.protocol, row.dataset, draw))
            printed.setdefault(key, []).append(row)
    keys = sorted({*measured, *printed})
    stems = Counter((dataset, _stem(protocol, draw, version)) for dataset, version, protocol, draw, _ in keys)
    boards = []
    for key in keys:
        dataset, version, protocol, draw, fingerprint = key
        stem = _stem(protocol, draw, version)
        name = stem if stems[dataset, stem] == 1 else f"{stem}-{fingerprint[:8]}"
        rows = [
            *_measured_rows(measured.get(key, []), is_synthetic(dataset)),
            *(_published_row(row) for row in printed.get(key, [])),
        ]
        boards.append(Board(dataset, version, protocol, draw, fingerprint, name, _sections(rows)))
    return boards


def _draws(row: PublishedRow) -> tuple[str, ...]:
    if row.draw != "unknown":
        return (row.draw,)
    return ("seeded", "official") if row.dataset == "sysu-mm01" else ("seeded",)


def _stem(protocol: str, draw: str, version: str) -> str:
    return "-".join(part for part in (protocol, "" if draw == "none" else draw, version) if part)


def _measured_rows(records: Sequence[Record], synthetic: bool) -> list[Row]:
    galleries = Counter(_galleries(record) for record in records)
    # Most records decide what the galleries of a twin are; of equally many, the larger.
    usual = max(galleries, key=lambda found: (galleries[found], len(found), found), default=())
    rows = []
    for record in records:
        # A small twin is complete although its counts are not those of the full data set.
        complete = _galleries(record) == usual if synthetic else record.complete
        trials = 0 if synthetic else _trials_of(record.protocol)
        obstacles = tuple(
            text
            for text, holds in (
                ("incomplete", not complete),
                (f"{len(record.trials)} of {trials} trials", len(record.trials) < trials),
                ("leaking", record.leaking),
            )
            if holds
        )
        marks = tuple(
            text
            for text, holds in (
                (f"feature {record.feature}", record.feature),
                (f"re-ranked {record.rerank}", record.rerank != "none"),
                (f"attributes {record.test_attributes}", record.test_attributes),
            )
            if holds
        )
        rows.append(
            Row(
                method=record.method,
                variant=record.variant,
                source=record.source,
                test_time_information=record.test_time_information,
                scores={metric: Score(100.0 * record.mean[metric], 100.0 * record.std[metric]) for metric in METRICS},
                obstacles=obstacles,
                marks=marks,
                date=record.created[:10],
                evidence=record.id,
                notes=record.notes,
                run=record.run,
                cost=record.profile,
            )
        )
    return rows


def _trials_of(protocol: str) -> int:
    """How many trials a protocol averages; 0 for a protocol of somebody's own."""
    return load_protocol(protocol).trials if protocol in protocol_names() else 0


def _galleries(record: Record) -> tuple[tuple[int, int, int, str], ...]:
    return tuple((trial.trial, trial.queries, trial.gallery, trial.gallery_sha256) for trial in record.trials)


def _published_row(row: PublishedRow) -> Row:
    obstacles = [
        text
        for text, holds in (
            ("draw unknown", row.draw == "unknown"),
            ("secondary source", row.secondary),
            ("no rank-1 printed", "r1" not in row.values),
            ("other print", not row.headline),
        )
        if holds
    ]
    return Row(
        method=row.method,
        variant="",
        source="published",
        test_time_information=row.test_time_information,
        scores={
            metric: Score(
                float(value), printed=value, conflicts=tuple(found for name, found in row.conflicts if name == metric)
            )
            for metric, value in row.values.items()
        },
        obstacles=tuple(obstacles),
        marks=(),
        date=row.year,
        evidence="; ".join(row.sources),
        notes=row.notes,
        conflicts=tuple(found for name, found in row.conflicts if not name),
    )


def _sections(rows: Iterable[Row]) -> tuple[Section, ...]:
    by_title: dict[str, list[Row]] = {}
    for row in rows:
        by_title.setdefault(UNRANKED if row.obstacles else row.test_time_information, []).append(row)
    return tuple(
        Section(title, _ranked(by_title[title], title != UNRANKED)) for title in sorted(by_title, key=_section_order)
    )


def _section_order(title: str) -> tuple[int, str]:
    if title == UNRANKED:
        return len(_INFORMATION_ORDER) + 2, title
    if title == "unknown":
        return len(_INFORMATION_ORDER) + 1, title
    return (_INFORMATION_ORDER.index(title) if title in _INFORMATION_ORDER else len(_INFORMATION_ORDER)), title


def _ranked(rows: Iterable[Row], with_rank: bool) -> tuple[tuple[int | None, Row], ...]:
    ordered = sorted(rows, key=lambda row: (*_merit(row), row.method, row.variant, row.evidence))
    ranks: list[int | None] = []
    for at, row in enumerate(ordered):
        tied = at > 0 and _merit(ordered[at - 1]) == _merit(row)
        ranks.append((ranks[-1] if tied else at + 1) if with_rank else None)
    return tuple(zip(ranks, ordered, strict=True))


def _merit(row: Row) -> tuple[float, float]:
    """Sort key: rank-1, then mAP, highest first; what was not printed comes last."""
    first, second = (-row.scores[metric].value if metric in row.scores else 1.0 for metric in ("r1", "map"))
    return first, second
