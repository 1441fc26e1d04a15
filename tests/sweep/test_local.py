"""The local pool: where workers run, and that a killed sweep loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.conftest import REPOSITORY
from tests.sweep.conftest import TOY
from vibench.errors import UsageError
from vibench.records.store import read_records
from vibench.sweep.attempts import read_attempts
from vibench.sweep.executor import Start
from vibench.sweep.expansion import expand
from vibench.sweep.holder import process_lives
from vibench.sweep.job import job_folder
from vibench.sweep.local import LocalExecutor, Slot, local_slots
from vibench.sweep.plan import LocalTable, Plan
from vibench.sweep.run import prepare
from vibench.sweep.worker import work

MakePlan = Callable[..., Plan]
Vibench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))


@pytest.mark.usefixtures("eight_cores")
def test_workers_share_the_cores():
    assert local_slots(LocalTable(workers=2), "cpu") == (Slot("", (0, 1, 2, 3)), Slot("", (4, 5, 6, 7)))
    assert local_slots(LocalTable(), "cpu") == (Slot("", tuple(range(8))),)
    assert [slot.cores for slot in local_slots(LocalTable(workers=3, cores=1), "cpu")] == [(0,), (1,), (2,)]
    with pytest.raises(UsageError, match="3 processes of 4 cores need 12, but there are 8"):
        local_slots(LocalTable(workers=3, cores=4), "cpu")


@pytest.mark.usefixtures("eight_cores")
def test_gpus_have_one_worker_each_or_several(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert local_slots(LocalTable(), "cuda") == (Slot("0", (0, 1, 2, 3)), Slot("1", (4, 5, 6, 7)))
    assert [slot.gpu for slot in local_slots(LocalTable(gpus=(1,), jobs_per_gpu=2), "cuda")] == ["1", "1"]
    with pytest.raises(UsageError, match="'gpus' names 2, but there are 2"):
        local_slots(LocalTable(gpus=(2,)), "cuda")
    # The numbers are those that this process sees.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-7")
    assert [slot.gpu for slot in local_slots(LocalTable(gpus=(1, 0)), "cuda")] == ["GPU-7", "5"]


def test_a_profile_is_measured_alone(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch):
    class Process:
        returncode = 0
        over = False

        def poll(self) -> int | None:
            return 0 if self.over else None

    plan = make_plan(sweep="profile = true")
    training, evaluation, profile = expand(plan)
    pool = LocalExecutor(plan, (Slot("", (0,)), Slot("", (1,))))
    processes: list[Process] = []
    monkeypatch.setattr(pool, "_spawn", lambda one, slot: processes.append(Process()) or processes[-1])
    starts = {job.id: Start(job, 0, 0) for job in (training, evaluation, profile)}
    assert pool.start([starts[training.id], starts[profile.id]]) == [starts[training.id]]
    assert pool.start([starts[profile.id]]) == []
    processes[0].over = True
    assert [one.job for one in pool.ended()] == [training]
    assert pool.start([starts[profile.id]]) == [starts[profile.id]]
    assert pool.start([starts[evaluation.id]]) == []
    assert pool.busy() == {profile.id}


def test_a_worker_that_cannot_even_begin_says_why_in_the_log(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch):
    plan = make_plan()
    jobs = expand(plan)
    prepare(plan, jobs)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    pool = LocalExecutor(plan, (Slot("", ()),))
    pool.start([Start(jobs[0], 0, 0)])
    deadline = time.monotonic() + 30
    while not (ended := pool.ended()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ended[0].reason == "the worker ended with status 1 before it began"


def test_a_killed_sweep_leaves_no_worker_and_goes_on_where_it_was(
    make_plan: MakePlan, vibench: Vibench, tmp_path: Path
):
    # What is left when the first epoch has ended takes far longer than a worker needs to notice.
    settings = ["schedule.epochs=4", "sampler.batches_per_epoch=2", "model.pause=0.3"]
    plan = make_plan(
        TOY.replace("toy", "fragile") + f"set = {settings}\n",
        sweep=f'plugins = ["{REPOSITORY}/tests/sweep/fragile"]',
    )
    training, _ = jobs = expand(plan)
    assert training.train is not None
    folder, run = job_folder(plan.out, training.id), plan.out / training.train.run
    command = [sys.executable, "-m", "vibench", "sweep", str(plan.folder / "plan.toml")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}

    killed = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for((run / "checkpoints" / "last.pt").exists)
    killed.kill()
    killed.wait()
    claim = read_attempts(folder)[0].claim
    assert claim is not None
    wait_for(lambda: process_lives(claim.holder) is False)
    (stopped,) = read_attempts(folder)
    assert stopped.end is not None and stopped.end.outcome == "stopped"

    again = vibench("sweep", plan.folder / "plan.toml")
    assert again.returncode == 0, again.stderr
    assert "all 2 jobs are done" in again.stdout and "done: evaluate fragile" in again.stderr
    assert [one.end and one.end.outcome for one in read_attempts(folder)] == ["stopped", "done"]
    records, problems = read_records(plan.leaderboards)
    assert len(records) == 1 and not problems

    resumed = (run / "checkpoints" / "last.pt").read_bytes()
    # The same plan in peace, elsewhere.
    peace = tmp_path / "peace"
    undisturbed = Plan(plan.sweep, plan.jobs, plan.executor, plan.roots, peace, plan.name)
    prepare(undisturbed, jobs)
    assert work(undisturbed.out, training.id) == 0
    assert (undisturbed.out / training.train.run / "checkpoints" / "last.pt").read_bytes() == resumed


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
