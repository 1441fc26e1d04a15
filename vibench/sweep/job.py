"""The jobs of a sweep: what is to be done, under an id that follows from it, in a file that a worker works from.

``<out>/jobs/<id>/job.json``. A training's id says nothing about evaluations, so that a plan that only evaluates
differently trains nothing anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vibench.errors import UsageError
from vibench.files.json_table import read_json_table, write_json_table

KINDS = ("train", "evaluate", "profile")


@dataclass(frozen=True)
class Training:
    """One run folder."""

    recipe: dict[str, Any]
    """`vibench.methods.recipe.recipe_dict` of the effective recipe."""
    root: str
    """Absolute folder of the data set."""
    seed: int
    pretrained: str
    """``imagenet``, ``none`` or the absolute path of a weights file."""
    precision: str
    """``off``, ``bf16`` or ``fp16``, as ``--amp`` names it."""
    device: str
    run: str
    """The run folder, relative to the sweep's."""
    trial: int | None = None
    allow_incomplete: bool = False
    """Of a copy whose training split is not the whole one."""


@dataclass(frozen=True)
class Evaluating:
    """All evaluations of one experiment: of one run, or of the runs of all its trials."""

    runs: tuple[str, ...]
    """Run folders, relative to the sweep's."""
    root: str
    precision: str
    device: str
    protocols: tuple[str, ...]
    query_modes: tuple[str, ...]
    test_attributes: tuple[str, ...]
    features: tuple[str, ...]
    draws: tuple[str, ...]
    reranks: tuple[str, ...]
    leaderboards: str
    """Absolute folder of the record store."""
    allow_incomplete: bool = False
    """On a copy whose test split is not the whole one."""


@dataclass(frozen=True)
class Profiling:
    """What a recipe costs, by a network with random weights."""

    recipe: dict[str, Any]
    precision: str
    device: str
    leaderboards: str
    """Absolute folder of the record store."""
    file: str
    """Where the profile goes in it."""


@dataclass(frozen=True)
class Job:
    """One job; exactly one of ``train``, ``evaluate`` and ``profile`` is there."""

    id: str
    """Kind and hash of what defines the job."""
    label: str
    """Method, variant, data set, seed and trial, for people."""
    method: str
    variant: str
    dataset: str
    needs: tuple[str, ...] = ()
    """The ids of the jobs whose results it takes."""
    train: Training | None = None
    evaluate: Evaluating | None = None
    profile: Profiling | None = None

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        return "train" if self.train else "evaluate" if self.evaluate else "profile"


@dataclass(frozen=True)
class JobList:
    """``<out>/plans/<name of the plan>.json``: the jobs of a plan as it was started last."""

    jobs: tuple[str, ...]
    """Ids, in the order of the plan."""
    lost_after: float


def jobs_folder(out: Path) -> Path:
    """Where the jobs of a sweep lie."""
    return out / "jobs"


def job_folder(out: Path, job_id: str) -> Path:
    """Where everything about a job lies."""
    return jobs_folder(out) / job_id


def log_path(out: Path, job_id: str) -> Path:
    """What all attempts at a job have printed."""
    return job_folder(out, job_id) / "log.txt"


def write_job(out: Path, job: Job) -> None:
    """Write ``job.json``, unless it says the same already."""
    _write(job_folder(out, job.id) / "job.json", job)


def read_job(out: Path, job_id: str) -> Job:
    """Read ``job.json``."""
    return read_json_table(Job, job_folder(out, job_id) / "job.json")


def job_list_path(out: Path, plan: str) -> Path:
    """Where the list of a plan's jobs lies."""
    return out / "plans" / f"{plan}.json"


def write_job_list(out: Path, plan: str, jobs: JobList) -> None:
    """Write the list of a plan's jobs, unless it says the same already."""
    _write(job_list_path(out, plan), jobs)


def read_job_list(out: Path, plan: str) -> JobList:
    """Read the list of a plan's jobs."""
    return read_json_table(JobList, job_list_path(out, plan))


def listed_jobs(out: Path) -> tuple[str, ...]:
    """The ids of the jobs of all plans of a folder; not those that no plan names any more."""
    lists = (read_job_list(out, path.stem) for path in sorted((out / "plans").glob("*.json")))
    return tuple(dict.fromkeys(job_id for found in lists for job_id in found.jobs))


def _write(path: Path, value: Any) -> None:
    try:
        same = read_json_table(type(value), path) == value
    except UsageError:
        # Absent, or of another version of vibench: the plan says all that is in it.
        same = False
    if not same:
        write_json_table(path, value)
