"""The console of the command line: results on stdout, progress and errors on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from vibench.runtime.progress import Advance, silent

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def progress(description: str, total: int) -> Iterator[Advance]:
    """A rich progress bar on stderr, `vibench.runtime.progress.Progress`; nothing where it is no terminal, or quiet."""
    if err.quiet or not err.is_terminal:
        with silent(description, total) as advance:
            yield advance
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[status]}"),
    )
    with Bar(*columns, console=err, transient=True) as bar:
        task = bar.add_task(description, total=total, status="")

        def show(count: int, status: str = "") -> None:
            if status:
                bar.update(task, advance=count, status=status)
            else:
                bar.update(task, advance=count)

        yield show
