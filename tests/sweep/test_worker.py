"""Workers: what a signal leaves, and what they do after their first job."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sweep.conftest import TOY
from vibench.errors import VibenchError
from vibench.sweep import execution
from vibench.sweep.attempts import BUSY, claim, read_attempts
from vibench.sweep.expansion import expand
from vibench.sweep.job import Job, job_folder
from vibench.sweep.plan import Plan
from vibench.sweep.run import prepare
from vibench.sweep.slurm import ClusterWork
from vibench.sweep.worker import STOPPED, work

MakePlan = Callable[..., Plan]


def outcomes(plan: Plan, job: Job) -> list[str | None]:
    return [one.end and one.end.outcome for one in read_attempts(job_folder(plan.out, job.id))]


def signalled(make_plan: MakePlan, tally: Path, name: str) -> tuple[Plan, tuple[Job, ...]]:
    """A plan whose training sends its own process a signal in the second of three epochs."""
    settings = ["schedule.epochs=3", "sampler.batches_per_epoch=2", "model.signal_step=2", f"model.signal={name}"]
    entry = TOY.replace("toy", "fragile") + f"""set = {[*settings, f'model.tally="{tally}"']}"""
    plan = make_plan(entry)
    jobs = expand(plan)
    prepare(plan, jobs)
    return plan, jobs


def test_a_signal_saves_the_training_and_the_next_attempt_ends_in_the_same_bytes(make_plan: MakePlan, tmp_path: Path):
    plan, (training, evaluation) = signalled(make_plan, tmp_path / "tally", "SIGTERM")
    assert work(plan.out, training.id) == STOPPED
    (attempt,) = read_attempts(job_folder(plan.out, training.id))
    assert attempt.end is not None and attempt.end.outcome == "stopped" and "saved epoch 1" in attempt.end.reason
    assert "--resume" not in attempt.end.reason, "the sweep goes on by itself"
    assert outcomes(plan, evaluation) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert work(plan.out, training.id) == 0
    assert outcomes(plan, training) == ["stopped", "done"] and outcomes(plan, evaluation) == ["done"]

    assert training.train is not None
    checkpoint = plan.out / training.train.run / "checkpoints" / "last.pt"
    resumed = checkpoint.read_bytes()
    for file in (checkpoint, checkpoint.parent.parent / "timing.json", checkpoint.parent.parent / "log.csv"):
        file.unlink()
    assert work(plan.out, training.id) == 0
    assert checkpoint.read_bytes() == resumed


def test_before_its_time_limit_a_cluster_job_saves_first_and_is_queued_again_then(
    make_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plan, (training, _) = signalled(make_plan, tmp_path / "tally", "SIGUSR2")
    seen: list[list[str | None]] = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: seen.append(outcomes(plan, training)))
    try:
        assert ClusterWork(plan.out, training.id, 0)() == STOPPED
        assert seen == [["stopped"]], "submitit's handler came once, after the state was saved"
        assert ClusterWork(plan.out, training.id, 0)() == 0
        assert outcomes(plan, training) == ["stopped", "done"] and len(seen) == 1
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_a_signal_during_an_evaluation_stops_it(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch):
    plan = make_plan()
    training, evaluation = jobs = expand(plan)
    prepare(plan, jobs)

    def interrupted(*given: object) -> tuple[str, ...]:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("goes on after the signal")

    with monkeypatch.context() as patch:
        patch.setattr(execution, "_evaluate", interrupted)
        assert work(plan.out, training.id) == STOPPED
    assert outcomes(plan, training) == ["done"] and outcomes(plan, evaluation) == ["stopped"]
    assert work(plan.out, evaluation.id) == 0 and outcomes(plan, evaluation) == ["stopped", "done"]


def test_a_failing_evaluation_is_no_failure_of_its_training(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch):
    plan = make_plan()
    training, evaluation = jobs = expand(plan)
    prepare(plan, jobs)

    def failing(*given: object) -> tuple[str, ...]:
        raise VibenchError("no such file")

    monkeypatch.setattr(execution, "_evaluate", failing)
    assert work(plan.out, training.id) == 1
    assert outcomes(plan, training) == ["done"] and outcomes(plan, evaluation) == ["failed"]
    end = read_attempts(job_folder(plan.out, evaluation.id))[0].end
    assert end is not None and end.reason == "no such file"


def test_a_job_of_another_process_is_left_alone(make_plan: MakePlan):
    plan = make_plan()
    jobs = expand(plan)
    prepare(plan, jobs)
    claim(job_folder(plan.out, jobs[0].id))
    assert work(plan.out, jobs[0].id) == BUSY
    assert len(read_attempts(job_folder(plan.out, jobs[0].id))) == 1


def test_the_trainings_of_several_trials_are_evaluated_by_the_last(make_plan: MakePlan, regdb_twin: Path):
    entry = '[[jobs]]\nmethods = ["toy"]\ndatasets = ["regdb-twin"]\ntrials = [1, 2]\nprotocols = ["regdb-v2t"]\n'
    plan = make_plan(entry, regdb=regdb_twin)
    first, second, evaluation = jobs = expand(plan)
    prepare(plan, jobs)
    assert work(plan.out, first.id) == 0 and outcomes(plan, evaluation) == []
    assert work(plan.out, second.id) == 0 and outcomes(plan, evaluation) == ["done"]
    assert work(plan.out, second.id) == 0 and outcomes(plan, second) == ["done"]
