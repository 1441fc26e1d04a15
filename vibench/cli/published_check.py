"""``vibench leaderboard --check-published``: show what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

NAMES = 6
"""Methods that a line names; more are counted."""
_COLOURS = {"error": "bold red", "doubtful": "bold yellow", "missing": "bold"}


def report_published(folder: Path | None, methods: Sequence[str]) -> None:
    """Say what is wrong, doubtful or missing in a folder of published numbers; exit 1 where something is wrong.

    With ``methods`` doubts and gaps of those alone are said.
    """
    from rich.markup import escape

    from vibench.cli.console import err, out
    from vibench.errors import UsageError, cited
    from vibench.leaderboard.published_check import ERROR, by_text, check_published

    if folder is not None and not folder.is_dir():
        raise UsageError(
            f"{folder}: there is no such folder; name one of published numbers, or none for vibench's own."
        )
    published, remarks = check_published(folder)
    shown = [remark for remark in remarks if not methods or remark.kind == ERROR or remark.subject in methods]
    for (kind, text), subjects in by_text(shown).items():
        about = f"{cited(subjects, NAMES)}: " if subjects else ""
        console = err if kind == ERROR else out
        console.print(f"[{_COLOURS[kind]}]{kind}:[/] {escape(about + text)}", soft_wrap=True)
    rows = len(published.results) + len(published.ablations) + len(published.withheld)
    errors = sum(remark.kind == ERROR for remark in remarks)
    out.print(
        f"{rows} rows of {len(published.methods.methods)} methods from {len(published.papers)} sources, "
        f"{len(published.audits)} audit findings, {len(published.conflicts)} contradictions: "
        f"{errors} error{'' if errors == 1 else 's'}."
        + (" Name one method with --only method=NAME to see all that it lacks." if remarks and not methods else ""),
        soft_wrap=True,
    )
    if errors:
        raise typer.Exit(1)
