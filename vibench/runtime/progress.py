"""How library code reports progress without knowing about terminals.

Library functions take ``progress: Progress = silent`` and write::

    with progress("resizing images", total) as advance:
        for ...:
            advance(1)

The command line passes ``vibench.cli.console.progress``, which draws a rich bar on a terminal only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Advance(Protocol):
    """Counts ``count`` more units as done; a ``status`` that is not empty is shown beside the bar from then on."""

    def __call__(self, count: int, status: str = "") -> None: ...


class Progress(Protocol):
    """Opens a counter of ``total`` units and yields the function that advances it."""

    def __call__(self, description: str, total: int) -> AbstractContextManager[Advance]: ...


@contextmanager
def silent(description: str, total: int) -> Iterator[Advance]:
    """Reports nothing."""

    def advance(count: int, status: str = "") -> None:
        return None

    yield advance
