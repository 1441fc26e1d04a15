"""A pool of worker processes on this machine: one per GPU, or per share of the processor's cores."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from vibench.errors import UsageError
from vibench.sweep.executor import Ended, Start
from vibench.sweep.job import log_path
from vibench.sweep.plan import LocalTable, Plan

GRACE_SECONDS = 60.0
"""How long a worker that was told to stop may take to save its state."""


@dataclass(frozen=True)
class Slot:
    """Room for one worker."""

    gpu: str
    """As ``CUDA_VISIBLE_DEVICES`` names it; empty for none."""
    cores: tuple[int, ...]


@dataclass
class _Running:
    start: Start
    slot: Slot
    process: subprocess.Popen[bytes]


class LocalExecutor:
    """The pool. Its workers end when this process does."""

    poll_seconds = 0.5

    def __init__(self, plan: Plan, slots: Sequence[Slot]) -> None:
        self._out = plan.out
        self._slots = tuple(slots)
        self._running: list[_Running] = []

    def start(self, ready: Sequence[Start]) -> list[Start]:
        """See `vibench.sweep.executor.Executor`. Profiles are measured alone, so that nothing else slows them down."""
        started = []
        for one in ready:
            alone = one.job.kind == "profile"
            occupied = [running.slot for running in self._running]
            free = list(self._slots)
            for slot in occupied:
                free.remove(slot)
            if not free or (alone and occupied) or any(other.start.job.kind == "profile" for other in self._running):
                break
            self._running.append(_Running(one, free[0], self._spawn(one, free[0])))
            started.append(one)
        return started

    def busy(self) -> set[str]:
        """See `vibench.sweep.executor.Executor`."""
        return {running.start.job.id for running in self._running}

    def ended(self) -> list[Ended]:
        """See `vibench.sweep.executor.Executor`."""
        over = [running for running in self._running if running.process.poll() is not None]
        self._running = [running for running in self._running if running not in over]
        return [Ended(one.start.job, one.start.attempts, _reason(one.process.returncode)) for one in over]

    def stop(self) -> str:
        """Tell all workers to stop, wait until they have saved their states, and kill those that do not."""
        for running in self._running:
            running.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for running in self._running:
            try:
                running.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                running.process.kill()
                running.process.wait()
        count = len(self._running)
        self._running = []
        return f"{count} running jobs were stopped and have saved their states" if count else ""

    def _spawn(self, one: Start, slot: Slot) -> subprocess.Popen[bytes]:
        cores = ",".join(map(str, slot.cores))
        command = [sys.executable, "-m", "vibench.sweep.worker", str(self._out), one.job.id, "--over", str(one.over)]
        environment = {
            **os.environ,
            "CUDA_VISIBLE_DEVICES": slot.gpu,
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, len(slot.cores)))),
        }
        with log_path(self._out, one.job.id).open("ab") as log:
            # A session of its own: Ctrl-C reaches the sweep alone, which then tells its workers.
            return subprocess.Popen(
                [*command, "--parent", str(os.getpid()), "--cores", cores],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )


def local_slots(table: LocalTable, device: str) -> tuple[Slot, ...]:
    """Where workers run: on the GPUs where ``device`` is ``cuda``, and with what cores.

    Raises `UsageError` for GPUs and cores that are not there.
    """
    gpus = [gpu for gpu in _gpus(table) for _ in range(table.jobs_per_gpu)] if device == "cuda" else []
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    workers = len(gpus) or table.workers or 1
    share = table.cores or max(1, len(cores) // workers)
    if table.cores and workers * table.cores > len(cores):
        raise UsageError(
            f"[executor]: {workers} processes of {table.cores} cores need {workers * table.cores}, but there are "
            f"{len(cores)}; lower 'workers', 'jobs_per_gpu' or 'cores'."
        )
    # More processes than cores take turns.
    shares = [tuple(cores[(place * share + step) % len(cores)] for step in range(share)) for place in range(workers)]
    return tuple(Slot(gpu, share) for gpu, share in zip(gpus or [""] * workers, shares, strict=True))


def _gpus(table: LocalTable) -> list[str]:
    """The chosen GPUs as ``CUDA_VISIBLE_DEVICES`` names them."""
    import torch

    count = torch.cuda.device_count()
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    names = visible[:count] if visible else [str(number) for number in range(count)]
    for gpu in table.gpus:
        if gpu >= count:
            raise UsageError(f"[executor]: 'gpus' names {gpu}, but there are {count}, numbered from 0.")
    return [names[gpu] for gpu in table.gpus or range(count)]


def _reason(status: int) -> str:
    how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return f"the worker {how} before it began"
