"""``vibench leaderboard``: render the boards and show them."""

from __future__ import annotations

from typing import Annotated

import typer

from vibench.cli.options import Leaderboards


def leaderboard(
    protocol: Annotated[
        list[str] | None, typer.Option("--protocol", help="Show only the boards of this protocol; repeatable.")
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="COST",
            help="Show measured rows by train-time, latency, throughput, memory, embedding, parameters or flops; "
            "'cost' for all of them.",
        ),
    ] = "",
    unfold: Annotated[bool, typer.Option("--unfold", help="Show the runs of rows over several seeds.")] = False,
    ignore_audits: Annotated[
        bool,
        typer.Option(
            "--ignore-audits", help="Show ranks as if no printed number had an audit finding; files keep theirs."
        ),
    ] = False,
    conflicts: Annotated[bool, typer.Option("--conflicts", help="List where papers contradict each other.")] = False,
    audits: Annotated[
        bool, typer.Option("--audits", help="List what is wrong or unfair with printed numbers.")
    ] = False,
    leaderboards: Leaderboards = None,
    recompute: Annotated[
        bool,
        typer.Option(
            "--recompute",
            help="Only recompute every record's figures from the .npz beside it; exit 1 where one differs.",
        ),
    ] = False,
) -> None:
    """Render leaderboards/ from evaluation records and published numbers.

    Every board is written whole as CSV and Markdown, and so are the ablations of every method. The terminal shows the
    boards that hold a measured row, without published rows that hold no rank; with --protocol, all boards and rows of
    those protocols.

    A rank such as 1–3 is a range: no row is surely better, and three, this one included, are not surely worse. Measured
    and published rows rank apart.

    Example: vibench leaderboard --protocol sysu-all
    """
    from rich.markup import escape

    from vibench.cli.console import err, out, show
    from vibench.errors import UsageError
    from vibench.files.places import require_folder
    from vibench.leaderboard.board import build_boards
    from vibench.leaderboard.cells import board_title
    from vibench.leaderboard.cost import cost_kinds, cost_tables
    from vibench.leaderboard.published import load_published
    from vibench.leaderboard.render import INDEX
    from vibench.leaderboard.terminal import audit_list, conflict_list, cost_terminal_table, terminal_table
    from vibench.leaderboard.update import update_boards
    from vibench.protocols import load_protocol
    from vibench.records.store import leaderboards_folder

    if sum((bool(by), conflicts, audits, recompute)) > 1:
        raise UsageError("--by, --conflicts, --audits and --recompute exclude each other; give one of them.")
    for name in protocol or []:
        load_protocol(name)
    kinds = cost_kinds(by) if by else ()
    published = load_published()
    if conflicts or audits:
        for paragraph in conflict_list(published.conflicts) if conflicts else audit_list(published.audits):
            out.print(paragraph)
        return
    folder = leaderboards_folder(leaderboards)
    if recompute:
        from vibench.cli.recompute import report_recomputation

        return report_recomputation(folder)
    require_folder(folder, "--leaderboards")
    update = update_boards(folder, published)
    boards = update.boards
    if ignore_audits:
        boards = build_boards(update.records, update.printed, ignore_audits=True, certainty=update.certainty)
    shown = [board for board in boards if (board.protocol in protocol if protocol else board.measured)]
    for board in shown:
        if kinds:
            for table in cost_tables(board):
                for kind in (kind for kind in kinds if kind in table.kinds):
                    show(cost_terminal_table(board, table, kind))
        else:
            show(terminal_table(board, out.width, whole=bool(protocol), unfold=unfold))
        out.print(escape(f"{folder / board.dataset / board.name}.md, .csv"), soft_wrap=True)
        out.print()
    if not shown:
        out.print(
            "No measured rows yet. Boards of published numbers:" if not protocol else "No board of this protocol."
        )
        for board in [] if protocol else boards:
            out.print(escape(f"  {folder / board.dataset / board.name}.md  {board_title(board)}"), soft_wrap=True)
    for problem in update.problems:
        err.print(f"[bold yellow]attention:[/] {escape(problem)}", soft_wrap=True)
    if update.failure is not None:
        raise update.failure
    out.print(escape(f"{len(boards)} boards in {len(update.written)} files; start at {folder / INDEX}"), soft_wrap=True)
