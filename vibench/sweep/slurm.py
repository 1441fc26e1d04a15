"""Workers as jobs of a Slurm cluster, in arrays, through submitit.

A job that is pre-empted, reaches its time limit or loses its node is queued again by Slurm or by submitit, claims its
work anew and goes on from its checkpoint. What was queued is remembered in files, so that a sweep started again
follows what is there already.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from vibench.errors import UsageError, VibenchError
from vibench.sweep.executor import Ended, Start
from vibench.sweep.job import Job
from vibench.sweep.plan import Plan, SlurmTable
from vibench.sweep.submission import Submission, read_submission, write_submission
from vibench.sweep.worker import STOPPED, work

_QUEUE_SECONDS = 60
"""How long the cluster may take to answer."""


@dataclass(frozen=True)
class ClusterWork:
    """What a job of the cluster calls; submitit pickles it."""

    out: Path
    job_id: str
    over: int

    def __call__(self) -> int:
        """Work; at the signal before the time limit, save the state first and then be queued again."""
        queue_again = signal.getsignal(signal.SIGUSR2)
        asked = []

        def ask(number: int, frame: FrameType | None) -> None:
            asked.append(number)
            # What training knows as a request to save its state and stop.
            os.kill(os.getpid(), signal.SIGTERM)

        signal.signal(signal.SIGUSR2, ask)
        try:
            status = work(self.out, self.job_id, self.over)
        finally:
            signal.signal(signal.SIGUSR2, queue_again)
        if asked and status == STOPPED and callable(queue_again):
            queue_again(signal.SIGUSR2, None)
        return status

    def checkpoint(self) -> Any:
        """What submitit queues again: the same, for all state is in files."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(ClusterWork(self.out, self.job_id, 0))


class SlurmExecutor:
    """The cluster's queue. What is in it stays there when the sweep ends."""

    def __init__(self, plan: Plan, table: SlurmTable, jobs: Sequence[Job]) -> None:
        """Takes up what an earlier sweep queued; raises `UsageError` where submitit or Slurm is missing."""
        self.poll_seconds = table.poll_seconds
        self._out = plan.out
        self._table = table
        self._executor = _submitit(plan, table)
        self._handles: dict[str, Any] = {}
        """By number on the cluster: submitit's view of what this process queued."""
        self._missing: set[str] = set()
        self._queued: dict[str, tuple[Job, Submission]] = {}
        for job in jobs:
            found = read_submission(plan.out, job.id)
            if found is not None and found.cluster == table.cluster:
                self._queued[job.id] = (job, found)

    def start(self, ready: Sequence[Start]) -> list[Start]:
        """See `vibench.sweep.executor.Executor`: all of them, as one array."""
        if not ready:
            return []
        calls = [ClusterWork(self._out, one.job.id, one.over) for one in ready]
        try:
            with self._executor.batch():
                handles = [self._executor.submit(call) for call in calls]
        except Exception as error:
            # submitit raises what sbatch said as an error of its own.
            said = " ".join(str(error).split())
            raise VibenchError(
                f"the cluster does not take the jobs ({said[-300:]}); check [executor] of the plan."
            ) from error
        for one, handle in zip(ready, handles, strict=True):
            submission = Submission(self._table.cluster, str(handle.job_id), one.attempts)
            write_submission(self._out, one.job.id, submission)
            self._queued[one.job.id] = (one.job, submission)
            self._handles[submission.cluster_job] = handle
        return list(ready)

    def busy(self) -> set[str]:
        """See `vibench.sweep.executor.Executor`."""
        return set(self._queued)

    def ended(self) -> list[Ended]:
        """See `vibench.sweep.executor.Executor`."""
        there = self._there()
        if there is None:
            return []
        gone = {job_id for job_id, (_, found) in self._queued.items() if found.cluster_job not in there}
        # Twice in a row: a queue that was just filled, or that is being read, may not show everything.
        over, self._missing = gone & self._missing, gone
        ended = [self._queued.pop(job_id) for job_id in sorted(over)]
        return [Ended(job, found.attempts, self._reason(found)) for job, found in ended]

    def stop(self) -> str:
        """Leave the queue as it is."""
        count = len(self._queued)
        return f"{count} jobs stay in the queue of the cluster and go on ('scancel' ends them)" if count else ""

    def _there(self) -> set[str] | None:
        """The numbers of the cluster's jobs that are queued or running; None where it does not answer."""
        if not self._queued:
            return set()
        if self._table.cluster == "slurm":
            return _slurm_queue()
        numbers = {found.cluster_job for _, found in self._queued.values()}
        return {number for number in numbers if not self._stand_in_done(number)}

    def _stand_in_done(self, number: str) -> bool:
        handle = self._handles.get(number)
        if handle is not None:
            return bool(handle.done())
        # Of an earlier sweep: the number is that of a process.
        return not (number.isdecimal() and Path(f"/proc/{number}").exists())

    def _reason(self, submission: Submission) -> str:
        folder = _submitit_folder(self._out)
        for name in (f"{submission.cluster_job}_0_log.err", f"{submission.cluster_job}_0_log.out"):
            try:
                lines = (folder / name).read_text(encoding="utf-8", errors="replace").split("\n")
            except OSError:
                continue
            said = next((line.strip() for line in reversed(lines) if line.strip()), "")
            if said:
                return (
                    f"job {submission.cluster_job} of the cluster ended before it began; its output ends: {said[:300]}"
                )
        return f"job {submission.cluster_job} of the cluster ended before it began, without any output"


def _submitit(plan: Plan, table: SlurmTable) -> Any:
    try:
        import submitit
    except ImportError:
        raise UsageError(
            "[executor] kind = 'slurm' needs submitit, which is not installed: pip install 'vibench[cluster]'."
        ) from None
    limit = {} if table.cluster == "debug" else {f"{table.cluster}_max_num_timeout": table.requeues}
    folder = _submitit_folder(plan.out)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        executor = submitit.AutoExecutor(folder, cluster=table.cluster, **limit)
    except RuntimeError:
        raise UsageError(
            "[executor] kind = 'slurm': there is no Slurm on this machine (no 'srun'); start the sweep where jobs are "
            "submitted, or say kind = 'local'."
        ) from None
    executor.update_parameters(**_parameters(plan, table))
    return executor


def _parameters(plan: Plan, table: SlurmTable) -> dict[str, Any]:
    """The plan's keys as submitit's."""
    parameters: dict[str, Any] = {"name": f"vibench-{plan.name}", "timeout_min": table.time_minutes}
    if table.cpus:
        parameters["cpus_per_task"] = table.cpus
    if table.memory_gb:
        parameters["mem_gb"] = table.memory_gb
    for name in ("partition", "account", "qos", "constraint", "gres"):
        if getattr(table, name):
            parameters[f"slurm_{name}"] = getattr(table, name)
    if table.setup:
        parameters["slurm_setup"] = list(table.setup)
    parameters["slurm_array_parallelism"] = table.parallel
    parameters["slurm_signal_delay_s"] = table.signal_seconds
    parameters["slurm_additional_parameters"] = {"requeue": True, **table.options}
    return parameters


def _submitit_folder(out: Path) -> Path:
    """Where submitit keeps what it submits and what that prints before a worker has claimed its job."""
    return out / "cluster"


def _slurm_queue() -> set[str] | None:
    """The numbers of this user's jobs, an array's with their places; None where Slurm does not answer."""
    command = ["squeue", "--noheader", "--array", "--user", str(os.getuid()), "--format", "%i %T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_QUEUE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    lines = [line.split() for line in done.stdout.splitlines()]
    ending = ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")
    return {number for number, state in (line for line in lines if len(line) == 2) if state not in ending}
