"""Sections of a board: rows of equal test-time information, ranked among themselves, and those that hold no rank.

Measured rows stand first, printed ones behind them, and each are ranked among their like: of a printed number nobody
has the outcomes of its queries, so nothing says how surely a measured one is better.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from vibench.leaderboard.certainty import Certainty
from vibench.leaderboard.rank import Rank, plain, ranks, sure_cuts
from vibench.leaderboard.row import BY_SCORE, LEAKING, RERANKED, UNRANKED, Row

_INFORMATION_ORDER = ("none", "gallery", "gallery+queries", "attributes")
_LAST_SECTIONS = (RERANKED, "unknown", LEAKING, UNRANKED)


Line = tuple[Rank | None, Row]
"""A row with the rank that it holds, if any."""


@dataclass(frozen=True)
class Section:
    """Rows of equal test-time information, or the rows that are not ranked."""

    title: str
    rows: tuple[Line, ...]
    """Rank and row, best score first: measured rows, printed rows, then those without rank."""

    @property
    def groups(self) -> tuple[tuple[Line, ...], ...]:
        """The rows in parts that are read as one: measured ones, parted where that is sure, printed ones, the rest."""
        measured = [(rank, row) for rank, row in self.rows if rank is not None and row.source != "published"]
        printed = tuple((rank, row) for rank, row in self.rows if rank is not None and row.source == "published")
        rest = tuple((rank, row) for rank, row in self.rows if rank is None)
        cuts = [0, *sure_cuts([rank for rank, _ in measured]), len(measured)]
        parts: list[tuple[Line, ...]] = [tuple(measured[start:end]) for start, end in pairwise(cuts)]
        return tuple(part for part in (*parts, printed, rest) if part)


def sections_of(
    rows: Iterable[Row], ignore_audits: bool = False, certainty: Certainty | None = None
) -> tuple[Section, ...]:
    """The sections of a board in their order; with ``ignore_audits`` no finding puts a row below others.

    Without ``certainty`` all ranks are plain: those of the scores.
    """
    by_title: dict[str, list[Row]] = {}
    for row in rows:
        by_title.setdefault(row.place, []).append(row)
    return tuple(
        Section(title, _ranked(by_title[title], ignore_audits, certainty))
        for title in sorted(by_title, key=section_order)
    )


def section_order(title: str) -> tuple[int, str]:
    """Sort key of sections by their titles."""
    for titles, start in ((_INFORMATION_ORDER, 0), (_LAST_SECTIONS, len(_INFORMATION_ORDER) + 1)):
        if title in titles:
            return start + titles.index(title), title
    return len(_INFORMATION_ORDER), title


def _ranked(rows: Iterable[Row], ignore_audits: bool, certainty: Certainty | None) -> tuple[Line, ...]:
    def standing(row: Row) -> tuple[bool, float, float]:
        return not ignore_audits and any(audit.severity != "note" for audit in row.audits), *merit(row)

    ordered = sorted(rows, key=lambda row: (*merit(row), row.order))
    ranked = [row for row in ordered if not row.obstacles]
    measured = [row for row in ranked if row.source != "published"]
    printed = sorted((row for row in ranked if row.source == "published"), key=standing)
    unranked = [row for row in ordered if row.obstacles]
    return (
        *_measured(measured, certainty),
        *zip(_plain_ranks([standing(row) for row in printed]), printed, strict=True),
        *((None, row) for row in unranked),
    )


def _measured(rows: Sequence[Row], certainty: Certainty | None) -> list[tuple[Rank, Row]]:
    """Rows in the order of their scores with the places that each may hold.

    What cannot be compared query by query holds the plain place of its score.
    """
    by_score = _plain_ranks([merit(row) for row in rows])
    if certainty is None:
        return list(zip(by_score, rows, strict=True))
    compared, better = certainty.better([row.records for row in rows])
    for one, first in enumerate(rows):
        better |= {
            (one, other)
            for other, second in enumerate(rows)
            if not {one, other} <= compared and merit(first) < merit(second)
        }
    found = ranks(len(rows), better)
    return [
        (found[at], row) if at in compared else (by_score[at], replace(row, marks=(*row.marks, BY_SCORE)))
        for at, row in enumerate(rows)
    ]


def _plain_ranks(standings: Sequence[tuple[float, ...]]) -> list[Rank]:
    """One place each, in the given order; equals share theirs."""
    return [plain(1 + standings.index(standing)) for standing in standings]


def merit(row: Row) -> tuple[float, float]:
    """Sort key: rank-1, then mAP, highest first; what was not printed comes last."""
    first, second = (-row.scores[metric].value if metric in row.scores else 1.0 for metric in ("r1", "map"))
    return first, second
