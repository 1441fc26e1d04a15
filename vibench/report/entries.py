"""What the page shows of boards: every row with the records behind it, several seeds folded into one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from vibench.leaderboard.board import UNRANKED, Board, Row, Score, Section
from vibench.leaderboard.record import Cost, Record
from vibench.report.charts.cameras import CameraScore
from vibench.report.charts.chart import Subject
from vibench.report.columns import Column


@dataclass(frozen=True)
class Outcome:
    """One record, where it lies, and what its per-query file adds."""

    record: Record
    link: str
    """URL of the JSON file relative to the page."""
    cameras: Mapping[int, CameraScore]
    """By query camera; empty where the per-query file cannot be read."""


@dataclass(frozen=True)
class Entry:
    """One line of a board as the page shows it."""

    rank: int | None
    row: Row
    """Of several seeds their mean, with the deviation over seeds."""
    runs: tuple[Row, ...]
    """The rows that were folded into this one, by seed; of a single run and of a published row, itself."""
    outcomes: tuple[Outcome, ...]
    """The records of ``runs``; none of a published row."""

    @property
    def label(self) -> str:
        """Method, variant and marks."""
        return ", ".join([" ".join(part for part in (self.row.method, self.row.variant) if part), *self.row.marks])

    @property
    def subject(self) -> Subject:
        """Whom a chart's marks are about."""
        return Subject(self.label, tuple(outcome.record.id for outcome in self.outcomes))

    def value(self, column: Column) -> float | str | None:
        """What the entry shows in a column: of several runs their mean, or the one text that they share."""
        if column.of_row:
            return column.value(self.row)
        values = [column.value(run) for run in self.runs]
        numbers = [value for value in values if isinstance(value, (int, float))]
        if len(numbers) == len(values):
            return math.fsum(numbers) / len(numbers)
        return values[0] if len(set(values)) == 1 else None


@dataclass(frozen=True)
class EntrySection:
    """Entries of equal test-time information, or those that are not ranked."""

    title: str
    entries: tuple[Entry, ...]


def entry_sections(board: Board, outcomes: Mapping[str, Outcome]) -> tuple[EntrySection, ...]:
    """The sections of a board; ``outcomes`` holds the measured rows' records by id."""
    return tuple(EntrySection(section.title, _entries(section, outcomes)) for section in board.sections)


def measured_entries(sections: Iterable[EntrySection]) -> list[Entry]:
    """The entries that hold a rank and come from records, best rank-1 first."""
    found = [entry for section in sections for entry in section.entries if entry.rank is not None and entry.outcomes]
    return sorted(found, key=lambda entry: -entry.row.scores["r1"].value)


def _entries(section: Section, outcomes: Mapping[str, Outcome]) -> tuple[Entry, ...]:
    groups: dict[object, list[Row]] = {}
    for _, row in section.rows:
        outcome = outcomes.get(row.evidence) if row.source != "published" else None
        same = _apart_from_seed(outcome.record, row) if outcome and row.run.seed is not None else (id(row),)
        groups.setdefault(same, []).append(row)
    entries = [_entry(group, outcomes) for group in groups.values()]
    # The fold changes the order: a mean over seeds lies between its seeds.
    entries.sort(key=lambda entry: (_merit(entry.row), entry.row.method, entry.row.variant, entry.row.evidence))
    if section.title == UNRANKED:
        return tuple(entries)
    ranked: list[Entry] = []
    for at, entry in enumerate(entries):
        tied = at > 0 and _merit(entries[at - 1].row) == _merit(entry.row)
        ranked.append(replace(entry, rank=ranked[-1].rank if tied else at + 1))
    return tuple(ranked)


def _entry(rows: Sequence[Row], outcomes: Mapping[str, Outcome]) -> Entry:
    if rows[0].source == "published":
        return Entry(None, rows[0], (rows[0],), ())
    rows = sorted(rows, key=lambda row: (row.run.seed or 0, row.evidence))
    behind = tuple(outcomes[row.evidence] for row in rows)
    return Entry(None, rows[0] if len(rows) == 1 else _mean_row(rows), tuple(rows), behind)


def _apart_from_seed(record: Record, row: Row) -> tuple[object, ...]:
    run = record.run
    return (
        *(record.method, record.variant, record.feature, record.source, record.distance, record.rerank),
        *(record.query_mode, record.test_attributes, record.test_time_information, row.obstacles),
        *(run.recipe_sha256, run.epochs, run.input, run.backbone, run.pretrained, run.precision, record.profile.device),
    )


def _mean_row(rows: Sequence[Row]) -> Row:
    first = rows[0]
    seeds = ", ".join(str(row.run.seed) for row in rows)
    return replace(
        first,
        scores={metric: _mean_score([row.scores[metric].value for row in rows]) for metric in first.scores},
        date=max(row.date for row in rows),
        evidence=", ".join(row.evidence for row in rows),
        notes=(f"mean of {len(rows)} runs, seeds {seeds}; ± is the standard deviation over them",),
        run=replace(first.run, id="", seed=None, checkpoint_sha256="", train_seconds=None, images_per_second=None),
        cost=Cost(),
    )


def _mean_score(values: Sequence[float]) -> Score:
    """Mean and sample standard deviation, the unbiased one: seeds are a sample of what training may give."""
    mean = math.fsum(values) / len(values)
    return Score(mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)))


def _merit(row: Row) -> tuple[float, float]:
    """Sort key: rank-1, then mAP, highest first; what was not printed comes last."""
    first, second = (-row.scores[metric].value if metric in row.scores else 1.0 for metric in ("r1", "map"))
    return first, second
