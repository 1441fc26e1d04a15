"""Independent pieces of work on several processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from vibench.errors import UsageError, VibenchError

Task = TypeVar("Task")
Result = TypeVar("Result")

_MOST_DEFAULT_WORKERS = 32
_WORTH_PROCESSES = 2.0
"""Seconds of work, above which processes are worth their start."""


def default_workers() -> int:
    """One worker per processor core this process may use, at most 32."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return min(cores, _MOST_DEFAULT_WORKERS)


def require_started() -> None:
    """`VibenchError` in a process that is still importing the script which started it.

    Such a script began processes outside of ``if __name__ == "__main__":``, so that each of them begins it anew and
    waits for what its parent holds.
    """
    # As multiprocessing itself asks before it starts a process.
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise VibenchError(
            "a script that starts processes is run anew by each of them; put what it does under "
            "if __name__ == '__main__':"
        )


def map_in_processes(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int | None = None
) -> Generator[tuple[Task, Result], None, None]:
    """Yield (task, function(task)) as tasks complete, in no fixed order; one worker works in this process.

    With ``workers`` None, this process works alone as long as the last task says that little is left, and then
    hands the rest to as many as there are cores.

    ``function``, tasks and results must be picklable; the function's module should be quick to import, as every
    worker imports it afresh. An exception in a worker is raised here and cancels what has not started.

    Raises:
        UsageError: ``workers`` is below 1.
        VibenchError: a worker died.
    """
    if workers is not None and workers < 1:
        raise UsageError(f"{workers} worker processes are too few; use 1 or more")
    wanted = min(workers or default_workers(), len(tasks))
    left = 0.0
    while tasks and (wanted <= 1 or (workers is None and left < _WORTH_PROCESSES)):
        start = time.perf_counter()
        result = function(tasks[0])
        left = (len(tasks) - 1) * (time.perf_counter() - start)
        yield tasks[0], result
        tasks = tasks[1:]
    if not tasks:
        return
    # Forking a process that has run torch threads can dead-lock its child, hence spawn.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(wanted, len(tasks)), mp_context=context, initializer=_begin_worker)
    try:
        futures = {pool.submit(function, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()
    except BrokenProcessPool as error:
        raise VibenchError(
            "a worker process died, perhaps for want of memory or because the calling script has no "
            "`if __name__ == '__main__':` guard; run again with --workers 1"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides how to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot shut its pool down, and its workers would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
