"""A sweep on a real Slurm of one node under induced failures, pre-emption and kills: is anything lost?

    .ci/slurm && python -m tests.benchmarks.slurm_sweep --out FOLDER

60 trainings of the toy method on the tiny twin and their 60 evaluations. Some trainings fail at first, some always.
While they run, at random moments (seeded): running jobs are queued again (``scontrol requeue``), workers are killed
(SIGKILL), the node goes down and returns, slurmd is killed and started again, and so is the sweep itself. At the end
every checkpoint is compared, to the byte, with that of the same training left in peace. Started again in the same
folder it goes on; what was done to the sweep is counted in ``disturbances.txt``.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from vibench.datasets.twin.make import make_twin
from vibench.methods.recipe import recipe_from_dict
from vibench.records.store import read_records
from vibench.sweep.expansion import expand
from vibench.sweep.job import Job
from vibench.sweep.plan import Plan, read_plan
from vibench.sweep.states import JobState, job_state
from vibench.training.folder import RunFolder
from vibench.training.run import train_or_resume
from vibench.training.spec import TrainingSpec

REPOSITORY = Path(__file__).resolve().parents[2]
PLAN = """
[sweep]
out = "sweep"
retries = 4
device = "cpu"
amp = "off"
pretrained = "none"
plugins = ["{repository}/tests/sweep/fragile"]
set = ["sampler.batches_per_epoch=1"]
lost_after = 30

[roots]
sysu-mm01-twin = "twin"

[[jobs]] # short ones
methods = ["fragile"]
datasets = ["sysu-mm01-twin"]
seeds = {plain}
protocols = ["sysu-indoor"]

[[jobs]] # long enough to be interrupted in the middle
methods = ["fragile"]
datasets = ["sysu-mm01-twin"]
seeds = {long}
protocols = ["sysu-indoor"]
set = ["schedule.epochs=20", "model.pause=1"]

{failing}
[executor]
kind = "slurm"
cpus = 1
time_minutes = 5
poll_seconds = 2
"""
FAILING = """
[[jobs]]
methods = ["fragile"]
datasets = ["sysu-mm01-twin"]
seeds = [{seed}]
protocols = ["sysu-indoor"]
set = ["model.failures={failures}", 'model.tally="{tally}"']
"""
ALWAYS = 1000


def slurmd_pid_file() -> Path:
    """Where the running Slurm says that its node daemon writes its process id."""
    shown = subprocess.run(["scontrol", "show", "config"], check=True, capture_output=True, text=True).stdout
    values = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    return Path(next(value.strip() for key, value in values.items() if key.strip() == "SlurmdPidFile"))


@dataclass
class Disturber:
    """What is done to the sweep, and how often it was."""

    random: random.Random
    plan: Path
    folder: Path
    sweep: subprocess.Popen[bytes] | None = None

    def done(self) -> Counter[str]:
        """How often what was done."""
        file = self.folder / "disturbances.txt"
        return Counter(file.read_text(encoding="utf-8").split() if file.exists() else ())

    def start(self) -> None:
        """Start the sweep."""
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
        with (self.folder / "sweep.log").open("ab") as log:
            command = [sys.executable, "-m", "vibench", "sweep", str(self.plan)]
            self.sweep = subprocess.Popen(command, stdout=log, stderr=log, env=environment)

    def disturb(self) -> None:
        """Do one of the things, where it can be done now."""
        running = [line.split()[0] for line in _slurm("squeue", "-h", "-r", "-t", "R", "-o", "%i").splitlines()]
        workers = _workers()
        kind = self.random.choice(("requeue", "requeue", "requeue", "worker", "sweep", "node", "slurmd"))
        if kind == "requeue" and running:
            _slurm("scontrol", "requeue", self.random.choice(running))
        elif kind == "worker" and workers:
            os.kill(self.random.choice(workers), signal.SIGKILL)
        elif kind == "sweep" and self.sweep is not None:
            self.sweep.kill()
            self.sweep.wait()
            time.sleep(self.random.uniform(0, 5))
            self.start()
        elif kind == "node" and running:
            _node("DOWN", "Reason=test")
            time.sleep(3)
            _node("RESUME")
        elif kind == "slurmd" and running:
            os.kill(int(slurmd_pid_file().read_text()), signal.SIGKILL)
            time.sleep(self.random.uniform(1, 5))
            subprocess.run(["slurmd"], check=False)
        else:
            return
        with (self.folder / "disturbances.txt").open("a", encoding="utf-8") as file:
            print(kind, file=file)


def _slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60).stdout


def _node(state: str, *more: str) -> None:
    _slurm("scontrol", "update", f"NodeName={socket.gethostname().split('.')[0]}", f"State={state}", *more)


def _workers() -> list[int]:
    """Processes that submitit started for the sweep."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"submitit.core._submit" in words and words[0].endswith(Path(sys.executable).name.encode()):
                found.append(int(entry.name))
    return found


def write_plan(folder: Path, trainings: int) -> Path:
    """A plan of so many trainings: a sixth of them long, a sixth failing once or twice, two failing always."""
    part = trainings // 6
    failing = [1 + place % 2 for place in range(part)] + [ALWAYS, ALWAYS]
    plain = trainings - part - len(failing)
    text = PLAN.format(
        repository=REPOSITORY,
        plain=list(range(plain)),
        long=list(range(100, 100 + part)),
        failing="".join(
            FAILING.format(seed=200 + place, failures=failures, tally=folder / f"tally-{place}")
            for place, failures in enumerate(failing)
        ),
    )
    path = folder / "plan.toml"
    path.write_text(text, encoding="utf-8")
    return path


def undisturbed(job: Job, folder: Path) -> bytes:
    """The checkpoint of the same training in peace, on one thread, as the sweep's jobs have it."""
    torch.set_num_threads(1)
    assert job.train is not None
    recipe = recipe_from_dict(job.train.recipe)
    spec = TrainingSpec(recipe, Path(job.train.root), None, job.train.seed, "off", "none", folder / job.id)
    return train_or_resume(spec, "cpu").checkpoint_path.read_bytes()


def check(plan: Plan, jobs: tuple[Job, ...], folder: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """Figures of what happened, and what is wrong."""
    states = {job.id: job_state(plan.out, job, lambda attempt: False) for job in jobs}
    doomed = {job.id for job in jobs if job.train and job.train.recipe["model"]["failures"] == ALWAYS}
    problems = []
    for job in jobs:
        expected = "failed" if job.id in doomed else "waiting" if doomed & set(job.needs) else "done"
        if states[job.id].name != expected:
            problems.append(f"{job.kind} {job.label} is {states[job.id].name}, not {expected}")
        if _done_ends(states[job.id]) > 1:
            problems.append(f"{job.kind} {job.label} was done {_done_ends(states[job.id])} times")
        if job.train and job.id not in doomed and states[job.id].name == "done":
            run = RunFolder(plan.out / job.train.run)
            if run.checkpoint_path.read_bytes() != undisturbed(job, folder / "undisturbed"):
                problems.append(f"{run.checkpoint_path}: differs from the same training in peace")
    records, unsound = read_records(plan.leaderboards)
    problems += unsound
    evaluations = sum(job.evaluate is not None and not doomed & set(job.needs) for job in jobs)
    if len(records) != evaluations:
        problems.append(f"{len(records)} records of {evaluations} evaluations")
    attempts = Counter(
        attempt.end.outcome if attempt.end else "killed" for state in states.values() for attempt in state.attempts
    )
    figures = [
        ("jobs", f"{len(jobs)} ({sum(job.train is not None for job in jobs)} trainings)"),
        ("done", str(sum(state.name == "done" for state in states.values()))),
        ("failed for good, as induced", str(sum(states[job_id].name == "failed" for job_id in doomed))),
        ("attempts", ", ".join(f"{number} {name}" for name, number in sorted(attempts.items()))),
        ("records", str(len(records))),
    ]
    return figures, problems


def _done_ends(state: JobState) -> int:
    return sum(attempt.end is not None and attempt.end.outcome == "done" for attempt in state.attempts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trainings", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, default=15.0, help="mean seconds between two disturbances")
    parser.add_argument("--disturbances", type=int, default=60, help="after so many it is left in peace")
    options = parser.parse_args()
    if not _slurm("sinfo", "-h"):
        sys.exit("no Slurm answers on this machine; start one with .ci/slurm")
    folder = options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["VIBENCH_CACHE"] = str(folder / "cache")
    make_twin("sysu-mm01", "tiny", 0, folder / "twin", workers=1)
    path = write_plan(folder, options.trainings)
    disturber = Disturber(random.Random(options.seed), path, folder)
    started = time.monotonic()
    disturber.start()
    pause = 0.0
    while disturber.sweep is not None and disturber.sweep.poll() is None:
        time.sleep(1)
        pause -= 1
        if pause <= 0 and sum(disturber.done().values()) < options.disturbances:
            disturber.disturb()
            pause = disturber.random.expovariate(1 / options.pause)
    minutes = (time.monotonic() - started) / 60
    plan = read_plan(path)
    figures, problems = check(plan, expand(plan), folder)
    table = Table("what", "figure", title="A sweep on Slurm, disturbed (toy method, synthetic data)")
    for row in figures:
        table.add_row(*row)
    table.add_row("disturbances", ", ".join(f"{number} x {name}" for name, number in sorted(disturber.done().items())))
    table.add_row("minutes of the last start", f"{minutes:.1f}")
    table.add_row("lost or wrong", str(len(problems)))
    console = Console(width=110)
    console.print(table)
    for problem in problems:
        console.print(problem, style="bold red")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
