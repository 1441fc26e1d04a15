"""What was handed to a cluster's queue: one file per job, so that a sweep started again does not queue it twice."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vibench.errors import UsageError
from vibench.files.json_table import read_json_table, write_json_table
from vibench.sweep.job import job_folder


@dataclass(frozen=True)
class Submission:
    """``<out>/jobs/<id>/submission.json``: the last one."""

    cluster: str
    """``slurm``, or submitit's ``local`` or ``debug``."""
    cluster_job: str
    """Its number there."""
    attempts: int
    """How many attempts at the job there were."""


def write_submission(out: Path, job_id: str, submission: Submission) -> None:
    """Replace the file."""
    write_json_table(_path(out, job_id), submission)


def read_submission(out: Path, job_id: str) -> Submission | None:
    """The last submission of a job; None without one."""
    path = _path(out, job_id)
    if not path.exists():
        return None
    try:
        return read_json_table(Submission, path)
    except UsageError:
        return None


def _path(out: Path, job_id: str) -> Path:
    return job_folder(out, job_id) / "submission.json"
