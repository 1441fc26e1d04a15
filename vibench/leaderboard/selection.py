"""Which rows of boards are shown: by data set, supervision, setup and what else a row says of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vibench.errors import UsageError, suggestion
from vibench.leaderboard.board import Board
from vibench.leaderboard.method_facts import UNKNOWN
from vibench.leaderboard.row import Row

OTHER = "other"
"""Of ``pretrained``: whatever is known and not `_USUAL`."""

_USUAL = frozenset({"imagenet", "clip", "none", UNKNOWN})
_VALUES: dict[str, Callable[[Board, Row], str]] = {
    "dataset": lambda board, row: board.dataset,
    "method": lambda board, row: row.method,
    "source": lambda board, row: row.source,
    "supervision": lambda board, row: row.supervision,
    "information": lambda board, row: row.test_time_information,
    "backbone": lambda board, row: row.setup.backbone,
    "pretrained": lambda board, row: row.setup.pretrained,
    "input": lambda board, row: row.setup.input,
    "extra-labels": lambda board, row: row.setup.extra_labels,
}
KEYS = tuple(_VALUES)


@dataclass(frozen=True)
class Filter:
    """Rows of which one of several values holds."""

    key: str
    """One of `KEYS`."""
    values: frozenset[str]

    def accepts(self, board: Board, row: Row) -> bool:
        """Whether the row is to be shown; of a value such as ``imagenet+clip`` each part counts."""
        text = _plain(_VALUES[self.key](board, row)) or UNKNOWN
        parts = set(text.split("+"))
        other = {OTHER} if self.key == "pretrained" and parts - _USUAL else set()
        return bool((parts | {text} | other) & self.values)


def parse_filter(text: str) -> Filter:
    """A filter from ``KEY=VALUE[,VALUE...]``; `UsageError` says what keys there are."""
    key, equals, values = text.partition("=")
    wanted = frozenset(_plain(value) for value in values.split(",") if value.strip())
    if key not in KEYS:
        raise UsageError(f"--only {text}: '{key}' is no key{suggestion(key, KEYS)}; give one of {', '.join(KEYS)}.")
    if not equals or not wanted:
        raise UsageError(f"--only {text}: has no value; give one or several as {key}=VALUE,VALUE.")
    return Filter(key, wanted)


def values_held(key: str, boards: Sequence[Board]) -> list[str]:
    """The values of a key that rows of any board have, as `parse_filter` takes them, sorted."""
    rows = ((board, row) for board in boards for section in board.sections for _, row in section.rows)
    return sorted({_plain(_VALUES[key](board, row)) or UNKNOWN for board, row in rows})


def selected(board: Board, filters: Sequence[Filter]) -> Board:
    """The board with the rows that all filters accept; they keep the ranks that they have among all."""
    sections = (
        replace(
            section, rows=tuple(pair for pair in section.rows if all(one.accepts(board, pair[1]) for one in filters))
        )
        for section in board.sections
    )
    return replace(board, sections=tuple(section for section in sections if section.rows))


def _plain(text: str) -> str:
    return text.strip().lower().replace(" ", "-")
