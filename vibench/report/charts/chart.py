"""What every chart is: a drawing, the same numbers as a table, and what to know about both."""

from __future__ import annotations

from dataclasses import dataclass

from vibench.report.drawing import Drawing


@dataclass(frozen=True)
class Subject:
    """Whom a line, mark or bar is about."""

    label: str
    records: tuple[str, ...] = ()
    """Ids of the records that the numbers come from; several for several seeds, none for published numbers."""
    origin: str = ""
    """Where numbers without a record come from."""


@dataclass(frozen=True)
class ChartRow:
    """One row of a chart's table."""

    subject: Subject
    cells: tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """One chart."""

    name: str
    """Part of a file name and of ids: small letters, digits and hyphens."""
    drawing: Drawing
    header: tuple[str, ...]
    """Of the table; its first column is the subject."""
    rows: tuple[ChartRow, ...]
    note: str = ""
    """What the chart leaves out."""


def says(subject: Subject, value: str) -> str:
    """What a mark says: whom, how much, and where it comes from."""
    named = "record" if len(subject.records) == 1 else "records"
    origin = f"{named} {', '.join(subject.records)}" if subject.records else subject.origin
    return f"{subject.label}: {value}" + (f" ({origin})" if origin else "")


def left_out(shown: int, known: int) -> str:
    """Says that only the best are drawn; empty where all are."""
    return "" if shown == known else f"Drawn are the {shown} best by rank-1 of {known} ranked rows."
