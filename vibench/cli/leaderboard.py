"""``vibench leaderboard``: render the boards and show them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def leaderboard(
    protocol: Annotated[
        list[str] | None, typer.Option("--protocol", help="Show only the boards of this protocol; repeatable.")
    ] = None,
    leaderboards: Annotated[
        Path | None,
        typer.Option("--leaderboards", help="Folder of the boards; else $VIBENCH_LEADERBOARDS, else leaderboards/."),
    ] = None,
    recompute: Annotated[
        bool, typer.Option("--recompute", help="Only prove every record's figures from the npz beside it; else exit 1.")
    ] = False,
) -> None:
    """Render leaderboards/ from evaluation records and published numbers.

    Every board is written whole as CSV and Markdown. The terminal shows the boards that hold a measured row, without
    published rows that hold no rank; with --protocol, all boards and rows of those protocols.

    Example: vibench leaderboard --protocol sysu-all
    """
    from rich.markup import escape

    from vibench.cli.console import err, out
    from vibench.leaderboard.board import build_boards
    from vibench.leaderboard.consensus import published_rows
    from vibench.leaderboard.published import load_published
    from vibench.leaderboard.render import INDEX, board_title, terminal_table, write_boards
    from vibench.leaderboard.store import alone, leaderboards_folder, read_records
    from vibench.protocols import load_protocol

    for name in protocol or []:
        load_protocol(name)
    folder = leaderboards_folder(leaderboards)
    if recompute:
        from vibench.cli.recompute import report_recomputation

        return report_recomputation(folder)
    # Between reading and writing nobody else renders: boards of fewer records never replace those of more.
    with alone(folder):
        records, problems = read_records(folder)
        boards = build_boards(records, published_rows(load_published()))
        written = write_boards(folder, boards)
    shown = [board for board in boards if (board.protocol in protocol if protocol else board.measured)]
    for board in shown:
        out.print(terminal_table(board, out.width, whole=bool(protocol)))
        out.print(escape(f"{folder / board.dataset / board.name}.md, .csv"), soft_wrap=True)
        out.print()
    if not shown:
        out.print(
            "No measured rows yet. Boards of published numbers:" if not protocol else "No board of this protocol."
        )
        for board in [] if protocol else boards:
            out.print(escape(f"  {folder / board.dataset / board.name}.md  {board_title(board)}"), soft_wrap=True)
    for problem in problems:
        err.print(f"[bold yellow]attention:[/] {escape(problem)}", soft_wrap=True)
    out.print(escape(f"{len(boards)} boards in {len(written)} files; start at {folder / INDEX}"), soft_wrap=True)
