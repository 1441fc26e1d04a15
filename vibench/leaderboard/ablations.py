"""Ablation boards: the variants of one method, as printed and as measured, in the order of the paper's tables.

Printed variants are those of the method's own paper, hosts and rivals in its tables included, and those of other
papers that its recipe names, where they were measured. On twins, of which nothing is printed, a board holds measured
variants alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from vibench.leaderboard.board import Board
from vibench.leaderboard.catalogue import Catalogue, registered_methods
from vibench.leaderboard.published import Paper
from vibench.leaderboard.row import OTHER_PRINT, Row, difference


@dataclass(frozen=True)
class AblationLine:
    """One variant; at least one of the two rows is there."""

    printed: Row | None
    measured: Row | None

    def difference(self, metric: str) -> float | None:
        """Measured minus printed, in percent points; None where either is missing."""
        if self.printed is None or self.measured is None:
            return None
        return difference(self.measured, self.printed, metric)


@dataclass(frozen=True)
class AblationBoard:
    """The variants of one method under one protocol and fingerprint."""

    method: str
    board: Board
    """The board that the measured rows stand on too."""
    lines: tuple[AblationLine, ...]

    @property
    def name(self) -> str:
        """File name without suffix, unique among the ablation boards of the data set."""
        return f"{self.method}-{self.board.name}"


def ablation_boards(boards: Iterable[Board], papers: Mapping[str, Paper]) -> list[AblationBoard]:
    """The ablation boards of all methods with at least two variants, in the order of ``boards``, then by method."""
    catalogue = registered_methods()
    found = []
    for board in boards:
        # Papers print their variants on clean images.
        if board.corruption is not None:
            continue
        measured = {row.method for row in board.rows if row.source in ("trained", "imported")}
        for method in sorted({*catalogue.methods, *measured}):
            lines = _lines(method, board, papers, catalogue)
            if len(lines) > 1:
                found.append(AblationBoard(method, board, lines))
    return found


def _lines(method: str, board: Board, papers: Mapping[str, Paper], catalogue: Catalogue) -> tuple[AblationLine, ...]:
    measured = [row for row in board.rows if row.method == method and row.source in ("trained", "imported")]
    # Nobody knows whether galleries of an unknown draw are these: they stand on the default draw's board, and where
    # there is something to compare.
    printed = [
        row
        for row in _printed_of(method, board, papers, catalogue)
        if row.draw == board.draw or board.draw != "official" or measured
    ]
    lines = []
    paired: list[Row] = []
    for row in printed:
        name = f"{row.method}/{row.variant}" if row.variant else row.method
        again = [] if OTHER_PRINT in row.obstacles else [other for other in measured if other.printed_name == name]
        lines += [AblationLine(row, other) for other in again] or [AblationLine(row, None)]
        paired += again
    order = list(catalogue.methods[method].variants) if method in catalogue.methods else []
    rest = [row for row in measured if row not in paired]
    rest.sort(key=lambda row: (order.index(row.variant) if row.variant in order else -1, row.variant, row.evidence))
    return (*lines, *(AblationLine(None, row) for row in rest))


def _printed_of(method: str, board: Board, papers: Mapping[str, Paper], catalogue: Catalogue) -> Sequence[Row]:
    if method not in catalogue.methods:
        return ()
    variants = ("", *catalogue.methods[method].variants)
    names = {name for variant in variants for name in catalogue.printed_names(method, variant)}
    own = {name for name in catalogue.printed_names(method, "") if "/" not in name}
    own_papers = {key for key, paper in papers.items() if own & set(paper.own_methods)}
    measured = {row.printed_name for row in board.rows if row.method == method}

    def belongs(row: Row) -> bool:
        if not row.variant:
            return row.method in names and OTHER_PRINT not in row.obstacles
        name = f"{row.method}/{row.variant}"
        return row.evidence.partition(" ")[0] in own_papers or (name in names and name in measured)

    rows = [row for row in board.rows if row.source == "published"]
    return [row for row in (*rows, *board.printed_variants) if belongs(row)]
