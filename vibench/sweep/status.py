"""How a sweep stands, from the files of its folder alone, on any machine that sees it."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vibench.errors import UsageError
from vibench.sweep.attempts import Attempt
from vibench.sweep.holder import process_lives
from vibench.sweep.job import Job, job_list_path, read_job, read_job_list
from vibench.sweep.states import JobState, job_state
from vibench.sweep.submission import read_submission


@dataclass(frozen=True)
class Standing:
    """One job as a person wants to see it."""

    job: Job
    state: str
    """A name of `vibench.sweep.states.StateName`, or ``queued`` for one that a cluster has not started yet."""
    detail: str
    """What it is doing, or why it ended."""
    where: str
    """Process and machine, or the number in a cluster's queue."""
    heartbeat: float | None
    """Seconds since the last one of a running job."""
    failures: int
    seconds: float | None
    """That the attempt took which ended it."""


def standings(out: Path, plan: str) -> list[Standing]:
    """How it stands with every job of the plan of that name; `UsageError` where it was never started in ``out``."""
    if not job_list_path(out, plan).exists():
        raise UsageError(
            f"{out}: the sweep '{plan}' has not been started there, so it has no status; 'vibench sweep {plan}.toml' "
            "starts it, and --dry-run lists its jobs."
        )
    listed = read_job_list(out, plan)
    offset = _clock_offset(out)

    def alive(attempt: Attempt) -> bool:
        holder = attempt.claim.holder if attempt.claim else None
        lives = process_lives(holder) if holder else None
        return _quiet(attempt, offset) < listed.lost_after if lives is None else lives

    found = []
    for job in (read_job(out, job_id) for job_id in listed.jobs):
        found.append(_standing(out, job, job_state(out, job, alive), offset))
    return found


def _standing(out: Path, job: Job, state: JobState, offset: float) -> Standing:
    last = state.last
    submission = read_submission(out, job.id)
    queued = (
        submission is not None and state.name not in ("running", "done") and submission.attempts == len(state.attempts)
    )
    holder = last.claim.holder if last and last.claim else None
    where = ""
    if queued and submission is not None:
        where = f"queue: {submission.cluster_job}"
    elif holder is not None:
        where = f"{holder.host}:{holder.pid}" + (f" ({holder.cluster_job})" if holder.cluster_job else "")
    running = state.name == "running" and last is not None
    return Standing(
        job=job,
        state="queued" if queued else state.name,
        detail=_doing(out, job, last) if running and last else _why(state),
        where=where,
        heartbeat=_quiet(last, offset) if running and last else None,
        failures=state.failures(),
        seconds=last.end.seconds if last and last.end else None,
    )


def _doing(out: Path, job: Job, attempt: Attempt) -> str:
    """Epochs of a training; and what the last heartbeat said."""
    beat = attempt.heartbeat
    said = "" if beat is None or not beat.doing else beat.doing
    counted = f"{beat.done}/{beat.total}" if said and beat is not None and beat.total else ""
    if job.train is None:
        return f"{said} {counted}".strip()
    epochs = f"epoch {_epochs_done(out / job.train.run)}/{job.train.recipe['schedule']['epochs']}"
    # Which training it is says the job.
    said = f"step {counted}" if counted and said.startswith("training ") else f"{said} {counted}".strip()
    return f"{epochs}, {said}" if said else epochs


def _epochs_done(run: Path) -> int:
    try:
        return int(json.loads((run / "timing.json").read_text(encoding="utf-8"))["epochs"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def _why(state: JobState) -> str:
    last = state.last
    return last.end.reason if last is not None and last.end is not None and state.name != "done" else ""


def _quiet(attempt: Attempt, offset: float) -> float:
    """Seconds since the last heartbeat, by the clock of the file system."""
    for name in ("heartbeat.json", "claim.json", "."):
        try:
            written = (attempt.folder / name).stat().st_mtime
        except OSError:
            continue
        return max(0.0, time.time() + offset - written)
    return 0.0


def _clock_offset(out: Path) -> float:
    """How much the clock that dates files is ahead of this machine's; 0 where nothing can be written."""
    try:
        with tempfile.NamedTemporaryFile(dir=out, prefix=".clock.") as handle:
            return os.fstat(handle.fileno()).st_mtime - time.time()
    except OSError:
        return 0.0


def counts(found: Sequence[Standing]) -> dict[str, int]:
    """How many jobs are in each state, states without jobs left out."""
    order = ("running", "queued", "waiting", "stopped", "lost", "failed", "done")
    numbers = {name: sum(one.state == name for one in found) for name in order}
    return {name: number for name, number in numbers.items() if number}
