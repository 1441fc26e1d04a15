"""How library code reports progress without knowing about terminals.

Library functions take ``progress: Progress = silent`` and write::

    with progress("resizing images", total) as advance:
        for ...:
            advance(1)

The command line passes ``vibench.cli.console.progress``, which draws a rich bar on a terminal only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """Opens a counter of ``total`` units and yields the function that advances it."""

    def __call__(self, description: str, total: int) -> AbstractContextManager[Callable[[int], None]]: ...


@contextmanager
def silent(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """Reports nothing."""
    yield lambda count: None
