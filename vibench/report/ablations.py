"""Ablation charts of a board: the variants of each method, measured, and printed where the board is of real data."""

from __future__ import annotations

import re
from collections.abc import Sequence

from vibench.errors import UsageError
from vibench.leaderboard.board import Board
from vibench.leaderboard.published import PrintedRow, Published
from vibench.leaderboard.render import board_title
from vibench.methods.registry import method_entries
from vibench.report.charts.ablation import Bar, VariantBars, ablation_chart
from vibench.report.charts.chart import Chart, Subject
from vibench.report.entries import Entry, EntrySection, measured_entries

BARS = 24
"""Variants of one method in one chart."""
_UNMARKED = "(method itself)"


def ablation_charts(board: Board, sections: Sequence[EntrySection], published: Published | None) -> list[Chart]:
    """A chart per method with at least two variants; printed numbers are never put beside those of a twin.

    A printed variant stands on the board of its authors' draw, or, where nobody says how they drew, on every board
    of its protocol.
    """
    printed = [] if published is None or board.synthetic else _printed_here(board, published)
    groups: dict[str, list[VariantBars]] = {}
    taken: set[int] = set()
    for entry in measured_entries(sections):
        names = printed_names(entry.row.method, entry.row.variant)
        beside = next((row for row in printed if _name(row) in names), None)
        taken.add(id(beside))
        score = entry.row.scores["r1"]
        bar = Bar(entry.subject, score.value, score.deviation)
        groups.setdefault(entry.row.method, []).append(VariantBars(_variant(entry), bar, _bar(beside)))
    for row in printed:
        if id(row) not in taken:
            groups.setdefault(row.method, []).append(VariantBars(row.label, None, _bar(row)))
    charts = []
    for method, bars in sorted(groups.items()):
        if len(bars) > 1:
            name = re.sub(r"[^a-z0-9]+", "-", method.lower()).strip("-") or "method"
            charts.append(ablation_chart(bars[:BARS], name, f"{method}, {board_title(board)}"))
    return charts


def printed_names(method: str, variant: str) -> tuple[str, ...]:
    """The published rows that a method's recipe names for a variant, as ``METHOD`` or ``METHOD/VARIANT``."""
    try:
        recipe = method_entries()[method].recipe_file
        resolved = recipe.resolve_variant(variant)
    except (KeyError, UsageError):
        # A record outlives its method, and a variant may have been renamed since.
        return ()
    printed = recipe.variants[resolved].printed if resolved else recipe.method.printed
    return tuple(name.strip() for name in printed.split(",") if name.strip())


def _printed_here(board: Board, published: Published) -> list[PrintedRow]:
    rows = [
        row
        for row in published.ablations
        if (row.dataset, row.protocol) == (board.dataset, board.protocol)
        and published.practices[row.method, row.dataset].draw in (board.draw, "unknown")
        and "r1" in row.values
    ]
    return list({_name(row): row for row in reversed(rows)}.values())[::-1]


def _name(row: PrintedRow) -> str:
    return f"{row.method}/{row.variant}"


def _bar(row: PrintedRow | None) -> Bar | None:
    if row is None:
        return None
    return Bar(Subject(row.label, origin=row.source), float(row.values["r1"]), shown=row.values["r1"])


def _variant(entry: Entry) -> str:
    return ", ".join([entry.row.variant or _UNMARKED, *entry.row.marks])
