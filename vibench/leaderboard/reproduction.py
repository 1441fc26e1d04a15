"""What of a printed number is proven here: equal training steps, importable weights, and the number measured again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from vibench.leaderboard.row import OTHER_PRINT, Row, difference


def with_reproduction(
    published: Sequence[Row], measured: Sequence[Row], proven: Mapping[str, Sequence[str]]
) -> list[Row]:
    """The printed rows of a board with their status, ``proven`` telling what is of rows by their names.

    That which says why nobody can repeat a row stands already.
    """
    rows = []
    for row in published:
        name = f"{row.method}/{row.variant}" if row.variant else row.method
        again = [other for other in measured if other.printed_name == name and OTHER_PRINT not in row.obstacles]
        rows.append(
            replace(
                row,
                reproduction=(*proven.get(name, ()), *(_measured(other, row) for other in again), *row.reproduction),
            )
        )
    return rows


def _measured(again: Row, printed: Row) -> str:
    apart = difference(again, printed, "r1")
    return "measured here" if apart is None else f"measured here: r1 {apart:+.2f}"
