"""``vibench leaderboard``: render the boards and show them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vibench.cli.options import Leaderboards


def leaderboard(
    published_folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="FOLDER",
            help="With --check-published: the folder to check, by default vibench's own.",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        list[str] | None, typer.Option("--protocol", help="Show only the boards of this protocol; repeatable.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="KEY=VALUE",
            help="Show only rows with this value, or one of several with commas; repeatable. Keys: dataset, method, "
            "source, supervision, information, backbone, pretrained (imagenet, clip, other), input, extra-labels.",
        ),
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
        bool, typer.Option("--audits", help="List what is wrong or unfair with printed numbers, by kind.")
    ] = False,
    check_published: Annotated[
        bool,
        typer.Option(
            "--check-published",
            help="Say what is wrong, doubtful or missing in the published numbers; exit 1 where something is wrong.",
        ),
    ] = False,
    latex: Annotated[
        bool, typer.Option("--latex", help="Print the rows shown as LaTeX tables; write nothing.")
    ] = False,
    bibtex: Annotated[
        bool, typer.Option("--bibtex", help="Print the papers of the rows shown as BibTeX; write nothing.")
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

    Every board is written whole as CSV and Markdown, and so are the ablations of every method and the audits. The
    terminal shows the boards that hold a measured row, without published rows that hold no rank; with --protocol or
    --only, all boards and rows of those. Rows keep the ranks that they have on the whole board.

    A rank such as 1–3 is a range: no row is surely better, and three, this one included, are not surely worse. Measured
    and published rows rank apart.

    Example: vibench leaderboard --protocol sysu-all
    """
    from rich.markup import escape

    from vibench.cli.console import err, out, show
    from vibench.errors import UsageError
    from vibench.files.places import require_folder
    from vibench.leaderboard.audit_board import audit_list
    from vibench.leaderboard.board import build_boards
    from vibench.leaderboard.cells import board_title
    from vibench.leaderboard.cost import cost_kinds, cost_tables
    from vibench.leaderboard.published import load_published
    from vibench.leaderboard.render import INDEX
    from vibench.leaderboard.selection import parse_filter, selected, values_held
    from vibench.leaderboard.terminal import conflict_list, cost_terminal_table, terminal_table
    from vibench.leaderboard.update import read_boards, update_boards
    from vibench.protocols import load_protocol
    from vibench.records.store import leaderboards_folder

    if sum((bool(by), conflicts, audits, check_published, latex, bibtex, recompute)) > 1:
        raise UsageError(
            "--by, --conflicts, --audits, --check-published, --latex, --bibtex and --recompute exclude each other; "
            "give one of them."
        )
    if published_folder is not None and not check_published:
        raise UsageError(
            f"'{published_folder}' is a folder for --check-published alone; give it, or --leaderboards FOLDER."
        )
    for name in protocol or []:
        load_protocol(name)
    filters = [parse_filter(text) for text in only or []]
    kinds = cost_kinds(by) if by else ()
    methods = sorted({value for one in filters for value in one.values})
    if (check_published or conflicts or audits) and any(one.key != "method" for one in filters):
        raise UsageError("--check-published, --conflicts and --audits know one key of --only: method=NAME.")
    if check_published:
        from vibench.cli.published_check import report_published

        return report_published(published_folder, methods)
    published = load_published()
    if conflicts or audits:
        about = [one for one in published.conflicts if not methods or set(methods) & set(one.methods)]
        found = [one for one in published.audits if not methods or set(methods) & set(one.methods)]
        for paragraph in conflict_list(about) if conflicts else audit_list(found):
            out.print(paragraph)
        return
    folder = leaderboards_folder(leaderboards)
    if recompute:
        from vibench.cli.recompute import report_recomputation

        return report_recomputation(folder)
    if not (latex or bibtex):
        require_folder(folder, "--leaderboards")
    update = read_boards(folder, published) if latex or bibtex else update_boards(folder, published)
    boards = update.boards
    if ignore_audits:
        boards = build_boards(update.records, update.printed, ignore_audits=True, certainty=update.certainty)
    whole = bool(protocol or filters)
    shown = [selected(board, filters) for board in boards if not protocol or board.protocol in protocol]
    shown = [board for board in shown if (board.sections if whole else board.measured)]
    for problem in update.problems:
        err.print(f"[bold yellow]attention:[/] {escape(problem)}", soft_wrap=True)
    if latex or bibtex:
        from vibench.cli.citations import print_citations

        return print_citations(shown, published, as_table=latex)
    for board in shown:
        if kinds:
            for table in cost_tables(board):
                for kind in (kind for kind in kinds if kind in table.kinds):
                    show(cost_terminal_table(board, table, kind, out.width))
        else:
            show(terminal_table(board, out.width, whole=whole, unfold=unfold))
        out.print(escape(f"{folder / board.dataset / board.name}.md, .csv"), soft_wrap=True)
        out.print()
    if not shown:
        out.print("No measured rows yet. Boards of published numbers:" if not whole else "No board has such a row.")
        for board in [] if whole else boards:
            out.print(escape(f"  {folder / board.dataset / board.name}.md  {board_title(board)}"), soft_wrap=True)
        for one in filters:
            held = values_held(one.key, boards)
            if not one.values & set(held):
                out.print(escape(f"--only {one.key}: rows have {', '.join(held)}."), soft_wrap=True)
    if update.failure is not None:
        raise update.failure
    out.print(escape(f"{len(boards)} boards in {len(update.written)} files; start at {folder / INDEX}"), soft_wrap=True)
