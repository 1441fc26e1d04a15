"""``vibench report``: all boards and their charts as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vibench.cli.options import Leaderboards


def report(
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("report.html"),
    leaderboards: Leaderboards = None,
    runs: Annotated[Path | None, typer.Option(help="Folder of training runs, for their training curves.")] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder that holds data sets by their names, for thumbnails of queries that differ most."),
    ] = None,
    charts: Annotated[
        str,
        typer.Option(
            metavar="png|svg",
            help="Write every chart but that of two methods as a file as well, in a folder beside the page.",
        ),
    ] = "",
) -> None:
    """Write every board with its charts as one HTML page that needs no network.

    Its table can be searched, filtered, sorted and cited, and its address holds what is shown; charts zoom and name the
    record of every mark, and each can be saved from the page. Needs pip install 'vibench[report]'.

    Example: vibench report --runs runs -o report.html
    """
    from typing import Literal, cast

    from rich.markup import escape

    from vibench.cli.console import err, out, progress
    from vibench.errors import UsageError
    from vibench.leaderboard.published import load_published
    from vibench.records.store import leaderboards_folder
    from vibench.report.write import write_report

    if charts not in ("", "png", "svg"):
        raise UsageError(f"--charts {charts}: choose png or svg.")
    rendered, files = write_report(
        leaderboards_folder(leaderboards),
        output,
        published=load_published(),
        runs=runs,
        images=images,
        charts=cast(Literal["", "png", "svg"], charts),
        progress=progress,
    )
    for problem in rendered.problems:
        err.print(f"[bold yellow]attention:[/] {escape(problem)}", soft_wrap=True)
    out.print(escape(f"{output}: {rendered.boards} boards, {rendered.records} records"), soft_wrap=True)
    if files:
        out.print(escape(f"{files[0].parent}: {len(files)} charts as {charts.upper()}"), soft_wrap=True)
