"""How it stands with a job, from its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vibench.sweep.attempts import Attempt, lost, read_attempts
from vibench.sweep.job import Job, job_folder

StateName = Literal["waiting", "running", "done", "failed", "stopped", "lost"]
"""stopped: ended at a signal, with its state saved. lost: its process is gone and left no word."""


@dataclass(frozen=True)
class JobState:
    """A job as its files are now."""

    name: StateName
    attempts: tuple[Attempt, ...] = ()

    def failures(self, since: int = 0) -> int:
        """How many attempts after the first ``since`` failed or were lost."""
        count = 0
        for at, attempt in enumerate(self.attempts):
            failed = attempt.end is not None and attempt.end.outcome == "failed"
            count += at >= since and (failed or lost(self.attempts, at))
        open_end = self.name == "lost" and len(self.attempts) > since
        return count + open_end

    @property
    def last(self) -> Attempt | None:
        """The attempt that counts."""
        return self.attempts[-1] if self.attempts else None


def results_folder(out: Path, job: Job) -> Path:
    """What the results of a job are relative to: the record store, or the sweep's folder."""
    stored = job.evaluate or job.profile
    return Path(stored.leaderboards) if stored else out


def job_state(out: Path, job: Job, alive: Callable[[Attempt], bool]) -> JobState:
    """The state of a job; ``alive`` tells of an attempt without an end whether its process may be at work.

    Done is a job whose results are still there: what was deleted is made again.
    """
    attempts = tuple(read_attempts(job_folder(out, job.id)))
    if not attempts:
        return JobState("waiting")
    folder = results_folder(out, job)
    for attempt in reversed(attempts):
        how = attempt.end
        if how is not None and how.outcome == "done" and all((folder / name).exists() for name in how.results):
            return JobState("done", attempts)
    how = attempts[-1].end
    if how is None:
        return JobState("running" if alive(attempts[-1]) else "lost", attempts)
    return JobState("waiting" if how.outcome == "done" else how.outcome, attempts)
