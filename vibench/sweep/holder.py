"""Who holds a job: a process on a machine, perhaps within a job of a cluster, told apart from all others."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Holder:
    """A process."""

    host: str
    machine: str
    """Boot and process name space: where it is the same, process numbers mean the same. Empty where unknown."""
    pid: int
    start: str
    """When the process started, in the kernel's clock: a number used again has another one."""
    cluster_job: str = ""
    """The job's number on the cluster; a job that is queued again keeps it."""
    token: str = ""
    """Different for every claim."""


def this_process() -> Holder:
    """The process that asks."""
    pid = os.getpid()
    return Holder(
        host=socket.gethostname(),
        machine=_machine(),
        pid=pid,
        start=_start(pid),
        cluster_job=_cluster_job(),
        token=uuid.uuid4().hex,
    )


def process_lives(holder: Holder) -> bool | None:
    """Whether the process still runs; None where that cannot be told from here."""
    machine = _machine()
    if not machine or holder.machine != machine or not holder.start:
        return None
    return _start(holder.pid) == holder.start


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _start(pid: int) -> str:
    """The start of a running process in clock ticks since the boot; empty for one that is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # The second field is the command in parentheses and may hold spaces; the third is the state.
    fields = text.rpartition(")")[2].split()
    return "" if fields[0] in ("Z", "X") else fields[19]


def _cluster_job() -> str:
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"
    return os.environ.get("SLURM_JOB_ID", "")
