"""``vibench data check``: is a copy of a data set complete?"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibench.cli.options import DatasetName, DatasetRoot

if TYPE_CHECKING:
    from vibench.datasets.report import CheckReport

_SHOWN_PROBLEMS = 20
_CITED = 3


def check(
    dataset: DatasetName,
    root: DatasetRoot = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the whole report to this file.")] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Worker processes; default one per core, where they pay.")
    ] = None,
) -> None:
    """Prove a copy of a data set complete, or name what is missing, surplus, truncated or unreadable.

    Compares every published count, checks the id and idx files and decodes every image. Exits with 0 when the copy
    is complete as far as verified counts and its own lists tell, 1 when it is not, 2 when there is no copy to check.

    Example: vibench data check --dataset sysu-mm01 --root ~/SYSU-MM01 --json report.json
    """
    from vibench.cli.console import progress
    from vibench.datasets.check import check_dataset
    from vibench.datasets.registry import dataset_root, get_dataset
    from vibench.files.places import keeping, require_writable
    from vibench.files.writing import write_json

    chosen = get_dataset(dataset)
    if json is not None:
        require_writable(json, "--json")
    report = check_dataset(chosen, dataset_root(dataset, root), workers, progress)
    _show(report)
    if json is not None:
        with keeping() as keep:
            keep(json, partial(write_json, value=report.to_dict()))
    if not report.complete:
        raise typer.Exit(1)


def _show(report: CheckReport) -> None:
    from rich.markup import escape
    from rich.table import Table

    from vibench.cli.console import out, show
    from vibench.errors import cited

    counts = Table(title=escape(f"{report.dataset} in {report.root}"))
    counts.add_column("quantity")
    counts.add_column("expected", justify="right")
    counts.add_column("found", justify="right")
    counts.add_column("")
    for count in report.counts:
        verdict = "[green]ok[/]" if count.agrees else "[red]differs[/]" if count.verified else "[yellow]differs[/]"
        note = "" if count.verified else " (expected number unverified)"
        counts.add_row(count.quantity, str(count.expected), str(count.found), verdict + note)
    show(counts)
    # Warnings must not push what makes the copy incomplete out of sight.
    problems = sorted(report.problems, key=lambda problem: problem.warning)
    for problem in problems[:_SHOWN_PROBLEMS]:
        colour = "yellow" if problem.warning else "red"
        out.print(f"[{colour}]{problem.kind}[/] {escape(problem.path)}: {escape(problem.detail)}", soft_wrap=True)
    hidden = problems[_SHOWN_PROBLEMS:]
    if hidden:
        out.print(f"and {len(hidden)} more (see --json):")
    for kind in dict.fromkeys(problem.kind for problem in hidden):
        paths = [problem.path for problem in hidden if problem.kind == kind]
        out.print(f"{len(paths)} {kind}: {escape(cited(paths, _CITED))}", soft_wrap=True)
    colour = "red" if not report.complete else "green" if report.verdict == "complete" else "yellow"
    out.print(f"[{colour}]{report.verdict}[/]", soft_wrap=True)
