"""Sections of a board: rows of equal test-time information, ranked among themselves, and those that hold no rank."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vibench.leaderboard.rank import Rank, plain
from vibench.leaderboard.row import LEAKING, RERANKED, UNRANKED, Row

_INFORMATION_ORDER = ("none", "gallery", "gallery+queries", "attributes")
_LAST_SECTIONS = (RERANKED, "unknown", LEAKING, UNRANKED)


@dataclass(frozen=True)
class Section:
    """Rows of equal test-time information, or the rows that are not ranked."""

    title: str
    rows: tuple[tuple[Rank | None, Row], ...]
    """Rank and row."""


def sections_of(rows: Iterable[Row], ignore_audits: bool) -> tuple[Section, ...]:
    """The sections of a board in their order; with ``ignore_audits`` no finding puts a row below others."""
    by_title: dict[str, list[Row]] = {}
    for row in rows:
        by_title.setdefault(row.place, []).append(row)
    return tuple(
        Section(title, _ranked(by_title[title], ignore_audits)) for title in sorted(by_title, key=_section_order)
    )


def _section_order(title: str) -> tuple[int, str]:
    for titles, start in ((_INFORMATION_ORDER, 0), (_LAST_SECTIONS, len(_INFORMATION_ORDER) + 1)):
        if title in titles:
            return start + titles.index(title), title
    return len(_INFORMATION_ORDER), title


def _ranked(rows: Iterable[Row], ignore_audits: bool) -> tuple[tuple[Rank | None, Row], ...]:
    """Ranked rows by standing, then those without rank by score."""

    def standing(row: Row) -> tuple[bool, bool, float, float]:
        found_wanting = any(audit.severity != "note" for audit in row.audits)
        return bool(row.obstacles), found_wanting and not ignore_audits and not row.obstacles, *_merit(row)

    ordered = sorted(rows, key=lambda row: (standing(row), row.order))
    ranks: list[Rank | None] = []
    for at, row in enumerate(ordered):
        tied = at > 0 and standing(ordered[at - 1]) == standing(row)
        ranks.append(None if row.obstacles else ranks[-1] if tied else plain(at + 1))
    return tuple(zip(ranks, ordered, strict=True))


def _merit(row: Row) -> tuple[float, float]:
    """Sort key: rank-1, then mAP, highest first; what was not printed comes last."""
    first, second = (-row.scores[metric].value if metric in row.scores else 1.0 for metric in ("r1", "map"))
    return first, second
