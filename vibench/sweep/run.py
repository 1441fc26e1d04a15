"""Running a sweep: one process that starts what is ready and reads from files how it went.

It keeps nothing that files do not say, so that it can be killed and started again, or run twice at the same time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vibench.errors import VibenchError
from vibench.files.places import require_folder
from vibench.runtime.progress import Progress, silent
from vibench.sweep.attempts import Watch, record_failure
from vibench.sweep.executor import Executor, Start
from vibench.sweep.job import Job, JobList, job_folder, log_path, write_job, write_job_list
from vibench.sweep.plan import Plan
from vibench.sweep.states import JobState, job_state

LOG_LINES = 8


class SweepStopped(VibenchError):
    """The sweep was ended by a signal or its time; the next start goes on."""

    exit_code = 130


@dataclass(frozen=True)
class Failure:
    """A job that failed as often as it may."""

    job: Job
    failures: int
    reason: str
    log: Path
    last_lines: tuple[str, ...]


@dataclass(frozen=True)
class Result:
    """How a sweep ended."""

    done: tuple[Job, ...]
    failed: tuple[Failure, ...]
    blocked: tuple[Job, ...]
    """Not begun, because a job that they need failed."""
    unfinished: tuple[Job, ...]
    """Left for the next start."""
    stopped: str = ""
    """What became of running jobs where the sweep was stopped."""


def prepare(plan: Plan, jobs: Sequence[Job]) -> None:
    """Write the jobs and their list, from which workers and `vibench.sweep.status` work.

    Raises `UsageError` where the sweep's folder or that of the records cannot be written.
    """
    require_folder(plan.out, "'out' in the plan")
    require_folder(plan.leaderboards / "records", "'leaderboards' in the plan")
    for job in jobs:
        write_job(plan.out, job)
    write_job_list(plan.out, plan.name, JobList(tuple(job.id for job in jobs), plan.sweep.lost_after))


def run_sweep(
    plan: Plan,
    jobs: Sequence[Job],
    executor: Executor,
    *,
    stop: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda line: None,
    progress: Progress = silent,
) -> Result:
    """Do the jobs of a plan that are not done yet, until all are done or have failed once more than ``retries``.

    ``stop`` is asked now and then whether to end early. ``say`` gets a line per job that is done or has failed.
    """
    prepare(plan, jobs)
    course = _Course(plan, jobs, say)
    with progress("sweep", len(jobs)) as advance:
        advance(course.look(executor.busy()))
        while course.open:
            if stop():
                return course.result(executor.stop())
            executor.start(course.ready(executor.busy()))
            time.sleep(executor.poll_seconds)
            for ended in executor.ended():
                course.note_end(ended.job, ended.attempts, ended.reason)
            advance(course.look(executor.busy()))
    return course.result()


class _Course:
    """What is known of the jobs of one start of the sweep."""

    def __init__(self, plan: Plan, jobs: Sequence[Job], say: Callable[[str], None]) -> None:
        self._out = plan.out
        self._retries = plan.sweep.retries
        self._watch = Watch(plan.sweep.lost_after)
        self._jobs = {job.id: job for job in jobs}
        self._say = say
        self._states: dict[str, JobState] = {}
        self._before: dict[str, int] = {}
        """Attempts that there were at the start; what they came to is forgiven."""
        self._told: dict[str, int] = {}
        self._done: dict[str, None] = {}
        self._failed: dict[str, Failure] = {}
        self._blocked: dict[str, None] = {}

    @property
    def open(self) -> list[Job]:
        """The jobs that are not settled."""
        settled = {*self._done, *self._failed, *self._blocked}
        return [job for job_id, job in self._jobs.items() if job_id not in settled]

    def look(self, busy: set[str]) -> int:
        """Read how it stands with the open jobs; returns how many have been settled by that."""
        before = len(self.open)
        for job in self.open:
            state = job_state(self._out, job, self._watch.alive)
            self._states[job.id] = state
            first = job.id not in self._before
            self._before.setdefault(job.id, len(state.attempts))
            if state.name == "done":
                self._done[job.id] = None
                if not first:
                    self._say(f"done: {job.kind} {job.label}")
            elif state.name in ("failed", "lost") and job.id not in busy:
                self._judge(job, state)
        for job in self.open:
            if any(needed in self._failed or needed in self._blocked for needed in job.needs):
                self._blocked[job.id] = None
        return before - len(self.open)

    def _judge(self, job: Job, state: JobState) -> None:
        failures = state.failures(self._before[job.id])
        if failures > self._told.get(job.id, 0):
            self._told[job.id] = failures
            again = "" if failures > self._retries else f"; trying again ({failures} of {self._retries})"
            self._say(f"{state.name}: {job.kind} {job.label}: {_reason(state)}{again}")
        if failures > self._retries:
            log = log_path(self._out, job.id)
            self._failed[job.id] = Failure(job, state.failures(), _reason(state), log, last_lines(log))

    def ready(self, busy: set[str]) -> list[Start]:
        """What can be started: not busy, at work nowhere, and what it needs is done."""
        ready = []
        for job in self.open:
            state = self._states[job.id]
            if job.id in busy or state.name == "running" or not all(needed in self._done for needed in job.needs):
                continue
            over = len(state.attempts) if state.name == "lost" else 0
            ready.append(Start(job, len(state.attempts), over))
        return ready

    def note_end(self, job: Job, attempts: int, reason: str) -> None:
        """A worker has ended that was started when there were so many attempts."""
        state = job_state(self._out, job, self._watch.alive)
        if state.name != "done" and len(state.attempts) == attempts:
            record_failure(job_folder(self._out, job.id), attempts + 1, reason)

    def result(self, stopped: str = "") -> Result:
        """How it ended."""
        return Result(
            done=tuple(self._jobs[job_id] for job_id in self._done),
            failed=tuple(self._failed.values()),
            blocked=tuple(self._jobs[job_id] for job_id in self._blocked),
            unfinished=tuple(self.open),
            stopped=stopped,
        )


def last_lines(log: Path) -> tuple[str, ...]:
    """The last lines of a log, long ones shortened; none where there is no log."""
    try:
        with log.open("rb") as handle:
            handle.seek(0, 2)
            handle.seek(max(0, handle.tell() - (1 << 16)))
            text = handle.read().decode("utf-8", errors="replace")
    except OSError:
        return ()
    return tuple(line[:300] for line in text.splitlines() if line.strip())[-LOG_LINES:]


def _reason(state: JobState) -> str:
    if state.name == "lost":
        holder = state.last.claim.holder if state.last and state.last.claim else None
        where = f"process {holder.pid} on {holder.host}" if holder else "its process"
        return f"{where} is gone"
    return state.last.end.reason if state.last and state.last.end else ""
