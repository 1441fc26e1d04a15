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
) -> None:
    r"""Write every board with its charts as one HTML page that needs no network.

    Boards sort by their column heads and unfold into seeds; every number names its record. With matplotlib
    (pip install 'vibench\[plots]') each chart is also written as PNG, into a folder beside the page.

    Example: vibench report --runs runs -o report.html
    """
    from rich.markup import escape

    from vibench.cli.console import err, out, progress
    from vibench.leaderboard.published import load_published
    from vibench.records.store import leaderboards_folder
    from vibench.report.write import write_report

    written = write_report(
        leaderboards_folder(leaderboards), output, published=load_published(), runs=runs, progress=progress
    )
    for problem in written.rendered.problems:
        err.print(f"[bold yellow]attention:[/] {escape(problem)}", soft_wrap=True)
    out.print(escape(f"{output}: {written.rendered.boards} boards, {written.rendered.records} records"), soft_wrap=True)
    if written.pictures is None:
        out.print("without PNGs: they need matplotlib (pip install 'vibench\\[plots]')", soft_wrap=True)
    elif written.pictures:
        out.print(escape(f"{written.pictures[0].parent}: {len(written.pictures)} charts as PNG"), soft_wrap=True)
