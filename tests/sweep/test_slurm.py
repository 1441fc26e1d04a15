"""Clusters: submitit's stand-ins, and a real Slurm of one node where one runs (.ci/slurm)."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.sweep.conftest import TOY
from vibench.errors import UsageError, VibenchError
from vibench.records.store import read_records
from vibench.sweep import slurm
from vibench.sweep.attempts import read_attempts
from vibench.sweep.executor import Start
from vibench.sweep.expansion import expand
from vibench.sweep.job import job_folder
from vibench.sweep.plan import Plan, SlurmTable
from vibench.sweep.run import prepare, run_sweep
from vibench.sweep.slurm import SlurmExecutor
from vibench.sweep.submission import Submission, read_submission, write_submission

pytest.importorskip("submitit", reason="submitit is not installed (the extra 'cluster')")

MakePlan = Callable[..., Plan]
DEBUG = '[executor]\nkind = "slurm"\ncluster = "debug"\npoll_seconds = 0.01\n'


def executor_of(plan: Plan) -> SlurmExecutor:
    assert isinstance(plan.executor, SlurmTable)
    return SlurmExecutor(plan, plan.executor, expand(plan))


def test_a_sweep_through_submitit_in_this_process(make_plan: MakePlan, tmp_path: Path):
    failing = TOY.replace("toy", "fragile") + f"""set = ["model.failures=1", 'model.tally="{tmp_path / "tally"}"']\n"""
    plan = make_plan(TOY + failing + DEBUG)
    said: list[str] = []
    result = run_sweep(plan, expand(plan), executor_of(plan), say=said.append)
    assert len(result.done) == 4 and not result.failed
    assert any("induced failure 1; trying again" in line for line in said)
    assert len(read_records(plan.leaderboards)[0]) == 2


def test_a_worker_of_submitits_own_process(make_plan: MakePlan):
    """The pickled call, the environment and the end of a process."""
    local = DEBUG.replace("debug", "local")
    plan = make_plan(TOY + local, sweep=f'plugins = ["{REPOSITORY}/tests/training/toy"]')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPOSITORY))
        result = run_sweep(plan, expand(plan), executor_of(plan))
    assert len(result.done) == 2
    assert read_submission(plan.out, result.done[0].id) is not None


class Queue:
    """A submitit executor whose jobs stay in the queue."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def batch(self) -> Queue:
        return self

    def __enter__(self) -> Queue:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def submit(self, call: Any) -> Any:
        self.calls.append(call)
        return type("Handle", (), {"job_id": f"7_{len(self.calls) - 1}"})()


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """What ``squeue`` shows, to be changed by a test."""
    numbers: set[str] = set()
    monkeypatch.setattr(slurm, "_submitit", lambda plan, table: Queue())
    monkeypatch.setattr(slurm, "_slurm_queue", lambda: set(numbers))
    return numbers


def test_a_sweep_started_again_follows_what_is_queued(make_plan: MakePlan, queue: set[str]):
    plan = make_plan(f'{TOY}[executor]\nkind = "slurm"\n')
    training, _ = jobs = expand(plan)
    prepare(plan, jobs)
    first = executor_of(plan)
    first.start([Start(training, 0, 0)])
    assert read_submission(plan.out, training.id) == Submission("slurm", "7_0", 0)
    queue.add("7_0")
    again = executor_of(plan)
    assert again.busy() == {training.id} and again.ended() == [] and again.ended() == []
    queue.clear()
    # A queue that is being read may miss a job once.
    assert again.ended() == []
    (ended,) = again.ended()
    assert ended.job == training and ended.reason.startswith("job 7_0 of the cluster ended before it began")
    assert again.busy() == set()


def test_a_cluster_that_does_not_answer_is_no_reason_to_queue_again(
    make_plan: MakePlan, queue: set[str], monkeypatch: pytest.MonkeyPatch
):
    plan = make_plan(f'{TOY}[executor]\nkind = "slurm"\n')
    training, _ = jobs = expand(plan)
    prepare(plan, jobs)
    write_submission(plan.out, training.id, Submission("slurm", "7_0", 0))
    executor = executor_of(plan)
    monkeypatch.setattr(slurm, "_slurm_queue", lambda: None)
    assert executor.ended() == [] and executor.ended() == [] and executor.busy() == {training.id}


def test_what_a_job_said_before_it_could_begin_is_its_reason(make_plan: MakePlan, queue: set[str]):
    plan = make_plan(f'{TOY}[executor]\nkind = "slurm"\n')
    training, _ = jobs = expand(plan)
    prepare(plan, jobs)
    write_submission(plan.out, training.id, Submission("slurm", "7_0", 0))
    (plan.out / "cluster").mkdir()
    (plan.out / "cluster" / "7_0_0_log.err").write_text("slurmstepd: error: no such module: cuda/99\n\n")
    executor = executor_of(plan)
    executor.ended()
    assert executor.ended()[0].reason.endswith("and said last: slurmstepd: error: no such module: cuda/99")


def test_the_plans_keys_are_slurms(make_plan: MakePlan):
    plan = make_plan(
        f"""{TOY}[executor]
kind = "slurm"
partition = "gpu"
gres = "gpu:a100:1"
cpus = 8
memory_gb = 32
time_minutes = 90
parallel = 4
signal_seconds = 120
setup = ["module load cuda"]
options = {{exclude = "node7"}}
"""
    )
    assert isinstance(plan.executor, SlurmTable)
    from submitit.slurm.slurm import SlurmExecutor as Submitit

    parameters = slurm._parameters(plan, plan.executor)
    text = Submitit.__module__ and _sbatch_text(plan.out, parameters)
    for line in (
        "--job-name=vibench-plan",
        "--partition=gpu",
        "--gres=gpu:a100:1",
        "--cpus-per-task=8",
        "--mem=32GB",
        "--time=90",
        "--array=0-5%4",
        "--signal=USR2@120",
        "--exclude=node7",
        "--requeue",
    ):
        assert f"#SBATCH {line}\n" in text
    assert "\nmodule load cuda\n" in text


def _sbatch_text(folder: Path, parameters: dict[str, Any]) -> str:
    """What submitit hands to sbatch for an array of six."""
    from submitit.slurm import slurm as submitits

    renamed = {"name": "job_name", "timeout_min": "time", "mem_gb": "mem"}
    given = {renamed.get(name, name.removeprefix("slurm_")): value for name, value in parameters.items()}
    given["mem"] = submitits._convert_mem(given["mem"])
    return str(submitits._make_sbatch_string("command", folder, map_count=6, **given))


def test_without_submitit_the_remedy_is_named(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch):
    plan = make_plan(TOY + DEBUG)
    found = builtins.__import__

    def missing(name: str, *given: Any, **named: Any) -> Any:
        if name == "submitit":
            raise ImportError(name)
        return found(name, *given, **named)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(UsageError, match=r"pip install 'vibench\[cluster\]'"):
        executor_of(plan)


def test_without_slurm_the_remedy_is_named(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match=r"there is no Slurm on this machine \(no 'srun'\)"):
        executor_of(make_plan(f'{TOY}[executor]\nkind = "slurm"\n'))


@pytest.fixture
def real_slurm() -> None:
    try:
        answer = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        answer = ""
    if not any(state in answer for state in ("idle", "mix", "alloc")):
        pytest.skip("no Slurm answers on this machine; .ci/slurm starts one")


@pytest.mark.slurm
@pytest.mark.usefixtures("real_slurm")
def test_a_real_slurm_with_a_failure_a_preemption_and_a_killed_sweep(make_plan: MakePlan, tmp_path: Path):
    settings = ["schedule.epochs=3", "sampler.batches_per_epoch=4"]
    failing = TOY.replace("toy", "fragile") + f"""set = ["model.failures=1", 'model.tally="{tmp_path / "tally"}"']\n"""
    slow = TOY.replace("toy", "fragile") + f"set = {[*settings, 'model.pause=0.5']}\nseeds = [1]\n"
    cluster = '[executor]\nkind = "slurm"\ncpus = 1\ntime_minutes = 10\npoll_seconds = 1\n'
    plan = make_plan(slow + failing + cluster, sweep=f'plugins = ["{REPOSITORY}/tests/sweep/fragile"]')
    jobs = expand(plan)
    slow_one = jobs[0]
    assert slow_one.train is not None
    command = [sys.executable, "-m", "vibench", "sweep", str(plan.folder / "plan.toml")]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    killed = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    checkpoint = plan.out / slow_one.train.run / "checkpoints" / "last.pt"
    _wait_for(checkpoint.exists)
    killed.kill()
    killed.wait()
    submission = read_submission(plan.out, slow_one.id)
    assert submission is not None
    subprocess.run(["scontrol", "requeue", submission.cluster_job], check=True, timeout=60)
    # Slurm holds back for a while what was queued again.
    _wait_for(lambda: read_attempts(job_folder(plan.out, slow_one.id))[0].end is not None)
    _wait_for(lambda: _released(submission.cluster_job))

    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    outcomes = [one.end and one.end.outcome for one in read_attempts(job_folder(plan.out, slow_one.id))]
    assert outcomes == ["stopped", "done"]
    holders = [one.claim and one.claim.holder.cluster_job for one in read_attempts(job_folder(plan.out, slow_one.id))]
    assert holders == [submission.cluster_job] * 2, "the same job of the cluster, queued once"
    failed = next(job for job in jobs if job.train and job.train.recipe["model"]["failures"])
    assert [one.end and one.end.outcome for one in read_attempts(job_folder(plan.out, failed.id))] == ["failed", "done"]
    assert len(read_records(plan.leaderboards)[0]) == 2


def _released(number: str) -> bool:
    """Whether a job that was queued again has left its last run and may start at once, which it is told to."""
    subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], capture_output=True, timeout=60)
    shown = subprocess.run(["squeue", "-h", "-j", number, "-o", "%T %r"], capture_output=True, text=True, timeout=60)
    state, _, reason = shown.stdout.strip().partition(" ")
    return state == "RUNNING" or (state == "PENDING" and reason != "BeginTime")


def _wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slurm
@pytest.mark.usefixtures("real_slurm")
def test_what_sbatch_refuses_is_one_sentence(make_plan: MakePlan):
    plan = make_plan(f'{TOY}[executor]\nkind = "slurm"\npartition = "nowhere"\n')
    jobs = expand(plan)
    prepare(plan, jobs)
    with pytest.raises(VibenchError, match=r"the cluster does not take the jobs .*partition.*check \[executor\]"):
        executor_of(plan).start([Start(jobs[0], 0, 0)])
