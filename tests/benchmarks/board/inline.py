"""One job after the other in this process: on a GPU, starting a process takes as long as a training of the board."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vibench.sweep.executor import Ended, Start
from vibench.sweep.worker import work


class InlineExecutor:
    """Runs a job to its end when it is started (`vibench.sweep.executor.Executor`)."""

    poll_seconds = 0.0

    def __init__(self, out: Path) -> None:
        self._out = out
        self._ended: list[Ended] = []

    def start(self, ready: Sequence[Start]) -> list[Start]:
        """Do the first job that is ready."""
        for one in ready[:1]:
            status = work(self._out, one.job.id, one.over)
            self._ended.append(Ended(one.job, one.attempts, f"ended with status {status} before it began"))
        return list(ready[:1])

    def busy(self) -> set[str]:
        """Nothing runs between two calls."""
        return set()

    def ended(self) -> list[Ended]:
        """The job that `start` has done."""
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> str:
        """Nothing runs that would have to be stopped."""
        return ""
