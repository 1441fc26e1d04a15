"""What the page shows of boards: every row with the records behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vibench.leaderboard.board import Board
from vibench.leaderboard.rank import Rank
from vibench.leaderboard.row import Row
from vibench.leaderboard.sections import Section
from vibench.records.schema import Record
from vibench.report.charts.cameras import CameraScore
from vibench.report.charts.chart import Subject


@dataclass(frozen=True)
class Outcome:
    """One record, where it lies, and what its per-query file adds."""

    record: Record
    link: str
    """URL of the JSON file relative to the page."""
    cameras: Mapping[int, CameraScore]
    """By query camera; empty where the per-query file cannot be read."""
    pairs: Mapping[tuple[int, int], CameraScore]
    """By query and gallery camera; empty, too, for older records, which do not tell gallery cameras apart."""


@dataclass(frozen=True)
class Entry:
    """One line of a board as the page shows it."""

    rank: Rank | None
    row: Row
    outcomes: tuple[Outcome, ...]
    """The records that the row's numbers come from, by seed; none of a published row."""
    folded: tuple[Entry, ...] = ()
    """The single runs of a row over several seeds, and earlier ones that it leaves out."""

    @property
    def subject(self) -> Subject:
        """Whom a chart's marks are about."""
        return Subject(subject_label(self.row), tuple(outcome.record.id for outcome in self.outcomes))


def subject_label(row: Row) -> str:
    """Method, variant, and the marks that tell rows apart, which the number of seeds does not."""
    marks = [mark for mark in row.marks if mark.split()[-1] not in ("seed", "seeds")]
    return ", ".join([" ".join(part for part in (row.method, row.variant) if part), *marks])


@dataclass(frozen=True)
class EntrySection:
    """Entries of equal test-time information, or those that are not ranked."""

    section: Section
    entries: tuple[Entry, ...]


def entry_sections(board: Board, outcomes: Mapping[str, Outcome]) -> tuple[EntrySection, ...]:
    """The sections of a board; ``outcomes`` holds the measured rows' records by id."""
    return tuple(
        EntrySection(section, tuple(_entry(rank, row, outcomes) for rank, row in section.rows))
        for section in board.sections
    )


def measured_entries(sections: Iterable[EntrySection]) -> list[Entry]:
    """The entries that hold a rank and come from records, best rank-1 first."""
    found = [entry for section in sections for entry in section.entries if entry.rank is not None and entry.outcomes]
    return sorted(found, key=lambda entry: -entry.row.scores["r1"].value)


def _entry(rank: Rank | None, row: Row, outcomes: Mapping[str, Outcome]) -> Entry:
    if row.source == "published":
        return Entry(rank, row, ())
    behind = tuple(outcomes[run.evidence] for run in row.single_runs)
    return Entry(rank, row, behind, tuple(Entry(None, run, (outcomes[run.evidence],)) for run in row.runs))
