"""The console of the command line: results on stdout, progress and errors on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

from vibench.cli.streams import encodable
from vibench.runtime.progress import Advance, silent

NARROWEST = 80
"""Columns that tables are made for."""


class _Console(Console):
    """Lays out texts in the letters that its stream has, so that columns stay in line; rich does so with borders."""

    def render_str(self, text: str, **options: Any) -> Text:  # type: ignore[override]
        return super().render_str(encodable(text, self.encoding), **options)


out = _Console(highlight=False)
err = _Console(stderr=True, highlight=False)
_wide = _Console(highlight=False, width=NARROWEST)


def show(table: RenderableType) -> None:
    """Print a table of figures: a terminal of fewer than `NARROWEST` columns breaks its lines, but shows all of it."""
    (out if out.width >= NARROWEST else _wide).print(table)


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
