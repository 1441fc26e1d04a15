"""Exclusive use of a folder by one process at a time."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vibench.runtime.progress import Progress, silent


@contextmanager
def exclusive(file: Path, waiting: str, progress: Progress = silent) -> Iterator[None]:
    """Hold the lock ``file`` (made if absent), waiting for its present holder; a killed holder loses it.

    ``waiting`` describes the wait to ``progress``.
    """
    with file.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with progress(waiting, 1):
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
