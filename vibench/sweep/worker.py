"""A worker: claims one job, does it, then the jobs that this made ready, and leaves everything in files.

``python -m vibench.sweep.worker OUT JOB`` is how the local pool starts one; on a cluster `work` is called.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

from vibench.errors import UsageError, VibenchError
from vibench.runtime.progress import Advance, Progress
from vibench.sweep.attempts import BUSY, Attempt, End, Outcome, Pulse, beating, claim, end
from vibench.sweep.holder import process_lives
from vibench.sweep.job import Job, job_folder, listed_jobs, log_path, read_job
from vibench.sweep.states import job_state

STOPPED = 130
PATIENCE_SECONDS = 0.5
"""Between two looks whether the sweep that started this process is there still."""


class Stopped(KeyboardInterrupt):
    """A signal asked this process to end where nothing was there to be saved.

    No `Exception`, so that code which turns any error of a file into a sentence lets it pass.
    """


def work(out: Path, job_id: str, over: int = 0) -> int:
    """Do a job and then those that it made ready; the exit status: 0, 1 for a failure, `BUSY`, or `STOPPED`.

    ``over`` is the number of an attempt that was found dead (`vibench.sweep.attempts.claim`). A signal to end
    (SIGTERM, SIGINT) lets training save its state and ends the attempt as stopped.
    """
    job = read_job(out, job_id)
    with _logging(out, job), _stop_requests() as stop:
        if job_state(out, job, _may_live).name == "done":
            return 0
        attempt = claim(job_folder(out, job_id), over)
        if attempt is None:
            print(f"{job.label}: another process is at work on {job.id}")
            return BUSY
        status, following = _attempt(out, job, attempt, job, stop)
        while following is not None and status != STOPPED and not stop.requested:
            its_job, its_attempt = following
            with _logging(out, its_job):
                its_status, following = _attempt(out, its_job, its_attempt, job, stop)
            status = max(status, its_status)
    return status


def _attempt(
    out: Path, job: Job, attempt: Attempt, finished: Job, stop: _Stop
) -> tuple[int, tuple[Job, Attempt] | None]:
    """Do a claimed job; its exit status, and a job that is ready for what ``finished`` left, claimed."""
    now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
    assert attempt.claim is not None
    holder = attempt.claim.holder
    print(
        f"== {job.kind} {job.label}: attempt {attempt.number}, process {holder.pid} on {holder.host}, {now} UTC",
        flush=True,
    )
    pulse = Pulse()
    started = time.monotonic()
    outcome: Outcome
    results: tuple[str, ...] = ()
    following, reason = None, ""
    with beating(attempt, pulse):
        try:
            with stop.armed():
                # Imported here, because importing torch takes seconds and the claim comes first.
                from vibench.sweep.execution import execute

                results = execute(out, job, _telling(pulse))
            outcome = "done"
        except KeyboardInterrupt as error:
            outcome, reason = "stopped", _sentence(error)
        except Exception as error:
            outcome, reason = "failed", _sentence(error)
            if saved := _saved(error):
                outcome, reason = "stopped", saved
            elif not isinstance(error, VibenchError):
                traceback.print_exc()
        if outcome == "done" and not stop.requested:
            # Before anybody sees this job done, so that no other process is started for it.
            following = _claim_ready(out, finished, job)
        seconds = round(time.monotonic() - started, 3)
        end(attempt, End(outcome, seconds, reason, results))
    print(f"== {outcome} after {seconds:.1f} s{': ' if reason else ''}{reason}", flush=True)
    return {"done": 0, "failed": 1, "stopped": STOPPED}[outcome], following


def _saved(error: Exception) -> str:
    """What an interrupted training has saved; empty for any other error."""
    from vibench.training.interrupt import TrainingInterrupted

    return error.saved if isinstance(error, TrainingInterrupted) else ""


def _claim_ready(out: Path, finished: Job, now_done: Job) -> tuple[Job, Attempt] | None:
    """Claim an untouched job that needs ``finished``, and otherwise only jobs that are done; None without one.

    ``now_done`` counts as done, although that is not written yet.
    """
    for job_id in listed_jobs(out):
        with contextlib.suppress(UsageError):
            job = read_job(out, job_id)
            if finished.id not in job.needs or job_state(out, job, _may_live).name != "waiting":
                continue
            others = (read_job(out, needed) for needed in job.needs if needed != now_done.id)
            if all(job_state(out, other, _may_live).name == "done" for other in others):
                attempt = claim(job_folder(out, job.id))
                if attempt is not None:
                    return job, attempt
    return None


def _may_live(attempt: Attempt) -> bool:
    return attempt.claim is None or process_lives(attempt.claim.holder) is not False


def _sentence(error: BaseException) -> str:
    said = " ".join(str(error).split())
    if isinstance(error, VibenchError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _telling(pulse: Pulse) -> Progress:
    """Progress that the heartbeats tell."""

    @contextlib.contextmanager
    def progress(description: str, total: int) -> Iterator[Advance]:
        pulse.doing, pulse.done, pulse.total = description, 0, total

        def advance(count: int, status: str = "") -> None:
            pulse.done += count

        yield advance

    return progress


@contextlib.contextmanager
def _logging(out: Path, job: Job) -> Iterator[None]:
    """Append all that this process and its children print to the job's log."""
    sys.stdout.flush()
    sys.stderr.flush()
    before = [os.dup(number) for number in (1, 2)]
    try:
        with log_path(out, job.id).open("a", encoding="utf-8", errors="backslashreplace", buffering=1) as log:
            for number in (1, 2):
                os.dup2(log.fileno(), number)
            # Python's own streams need not be those of the process.
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                yield
    finally:
        for number, saved in zip((1, 2), before, strict=True):
            os.dup2(saved, number)
            os.close(saved)


@dataclass
class _Stop:
    """A signal to end, remembered or acted upon."""

    requested: bool = False
    acts: bool = False

    @contextlib.contextmanager
    def armed(self) -> Iterator[None]:
        """Let a signal raise `Stopped` here; while a training is at work, it takes signals and saves its state."""
        self.acts = True
        try:
            if self.requested:
                raise Stopped("stopped by a signal")
            yield
        finally:
            self.acts = False


@contextlib.contextmanager
def _stop_requests() -> Iterator[_Stop]:
    """Take SIGTERM and SIGINT, which outside of `_Stop.armed` only prevent what would come next."""
    stop = _Stop()

    def take(number: int, frame: FrameType | None) -> None:
        stop.requested = True
        if stop.acts:
            raise Stopped(f"stopped by {signal.Signals(number).name}")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, take) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with(parent: int) -> None:
    """Stop this process, as a signal would, once its parent process is gone: a killed sweep leaves nothing running."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PATIENCE_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of a worker of the local pool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("job")
    parser.add_argument("--over", type=int, default=0)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--cores", default="", help="processor cores to use, such as 0,1")
    options = parser.parse_args(arguments)
    if options.cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in options.cores.split(",")})
    end_with(options.parent)
    sys.exit(work(options.out, options.job, options.over))


if __name__ == "__main__":
    main()
