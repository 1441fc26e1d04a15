"""``vibench leaderboard --recompute``: show what came of it."""

from __future__ import annotations

from pathlib import Path

import typer


def report_recomputation(folder: Path) -> None:
    """Recompute every figure below a leaderboards folder; exit 1 where one cannot be or disagrees."""
    from rich.markup import escape

    from vibench.cli.console import err, out, progress
    from vibench.records.recomputation import recompute

    done = recompute(folder, progress)
    for problem in done.problems:
        err.print(f"[bold red]problem:[/] {escape(problem)}", soft_wrap=True)
    said = f"{done.records} records in {folder / 'records'}: {done.figures} figures follow from the per-query outcomes"
    out.print(escape(f"{said}, {len(done.problems)} problems."), soft_wrap=True)
    if done.problems:
        raise typer.Exit(1)
