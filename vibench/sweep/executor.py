"""What the sweep asks of an executor: somewhere to run workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vibench.sweep.job import Job


@dataclass(frozen=True)
class Start:
    """A job to be started."""

    job: Job
    attempts: int
    """How many attempts there are."""
    over: int
    """The attempt that was found dead; 0 for none."""


@dataclass(frozen=True)
class Ended:
    """A worker that is no more."""

    job: Job
    attempts: int
    """How many attempts there were when it was started."""
    reason: str
    """What to say of it if it never came to make one."""


class Executor(Protocol):
    """Runs one worker per job that it is given. Whether jobs succeed is told by their files, not by an executor."""

    poll_seconds: float

    def start(self, ready: Sequence[Start]) -> list[Start]:
        """Start or queue as many as there is room for, in order; returns those."""

    def busy(self) -> set[str]:
        """Ids of the jobs whose workers are queued or running."""

    def ended(self) -> list[Ended]:
        """The workers that have ended since the last call."""

    def stop(self) -> str:
        """The sweep ends early: do what is right with workers, and say in a sentence what became of them."""
