"""Locks on open files and folders. All locking is done here, by ``flock``: the system takes a lock from who dies.

Windows has no lock on a folder, and none that a dead holder loses at once; there vibench does not run.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vibench.runtime.parallel import require_started
from vibench.runtime.platform import require_platform
from vibench.runtime.progress import Progress, silent


def take(handle: int, wait: bool) -> bool:
    """Lock an open file or folder for its handle; False where another handle has it and is not waited for.

    Closing the handle gives the lock back, once no child process has a copy of it. Raises `OSError` where the file
    system has no locks, and `VibenchError` in place of a wait that would never end, see `require_started`.
    """
    require_platform()
    if wait:
        require_started()
    # Imported where it is needed, so that a system without it gets as far as the sentence that says so.
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def give_back(handle: int) -> None:
    """Unlock what `take` has locked, even where a child process was forked meanwhile and has the handle too."""
    import fcntl

    fcntl.flock(handle, fcntl.LOCK_UN)


@contextmanager
def exclusive(file: Path, waiting: str, progress: Progress = silent) -> Iterator[None]:
    """Hold the lock ``file`` (made if absent), waiting for its present holder; a killed holder loses it.

    ``waiting`` describes the wait to ``progress``.
    """
    with file.open("w") as handle:
        if not take(handle.fileno(), wait=False):
            with progress(waiting, 1):
                take(handle.fileno(), wait=True)
        yield


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Let one process at a time, of those that ask, change what is in ``folder``, which is made.

    A killed holder loses its hold, and no file is left behind. File systems without locks of folders give none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            take(handle, wait=True)
        yield
    finally:
        with contextlib.suppress(OSError):
            give_back(handle)
        os.close(handle)
