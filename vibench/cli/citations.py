"""``vibench leaderboard --latex`` and ``--bibtex``: the rows shown, for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vibench.leaderboard.board import Board
    from vibench.leaderboard.published import Published


def print_citations(boards: Sequence[Board], published: Published, *, as_table: bool) -> None:
    """Print the rows of boards as LaTeX tables, or the papers of their methods as BibTeX, and nothing else."""
    from vibench.cli.console import out
    from vibench.errors import UsageError
    from vibench.leaderboard.bibtex import bibliography, bibtex
    from vibench.leaderboard.latex import latex

    rows = [row for board in boards for row in board.rows]
    if not rows:
        raise UsageError("no row is shown; name a board with --protocol, or other rows with --only.")
    text = latex(boards, published) if as_table else bibtex(bibliography(rows, published))
    # As it stands: no wrapped line, no colour, no markup.
    out.out(text, highlight=False, end="")
