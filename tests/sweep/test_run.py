"""Whole sweeps in one process: what is skipped, tried again, reported and recovered."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sweep.conftest import TOY, InProcess
from vibench.errors import UsageError
from vibench.records.store import read_records
from vibench.sweep.attempts import claim, read_attempts
from vibench.sweep.executor import Start
from vibench.sweep.expansion import expand
from vibench.sweep.job import Job, job_folder
from vibench.sweep.plan import Plan
from vibench.sweep.run import Result, run_sweep

MakePlan = Callable[..., Plan]
FRAGILE = """
[[jobs]]
methods = ["fragile"]
datasets = ["sysu-mm01-twin"]
protocols = ["sysu-indoor"]
set = ["model.failures={failures}", 'model.tally="{tally}"']
"""


def sweep(plan: Plan, executor: InProcess | None = None) -> tuple[Result, InProcess, list[str]]:
    executor = executor or InProcess(plan.out)
    said: list[str] = []
    return run_sweep(plan, expand(plan), executor, say=said.append), executor, said


def folder_of(plan: Plan, kind: str) -> Path:
    return next(job_folder(plan.out, job.id) for job in expand(plan) if job.kind == kind)


def test_a_sweep_trains_evaluates_and_skips_what_is_done(make_plan: MakePlan):
    plan = make_plan(sweep="seeds = [0, 1]")
    result, executor, said = sweep(plan)
    assert len(result.done) == 4 and not result.failed and not result.unfinished
    # The worker that trains evaluates as well.
    assert executor.started == ["train", "train"]
    assert "done: evaluate toy sysu-mm01-twin s1" in said
    records, problems = read_records(plan.leaderboards)
    assert sorted((record.run.seed, record.protocol) for record in records) == [(0, "sysu-indoor"), (1, "sysu-indoor")]
    assert not problems
    assert "attempt 1" in (folder_of(plan, "evaluate") / "log.txt").read_text()

    before = {path: path.stat().st_mtime_ns for path in plan.out.rglob("*") if path.is_file()}
    again, executor, _ = sweep(plan)
    assert len(again.done) == 4 and executor.started == []
    assert before == {path: path.stat().st_mtime_ns for path in plan.out.rglob("*") if path.is_file()}


def test_a_plan_that_evaluates_differently_trains_nothing_anew(make_plan: MakePlan):
    sweep(make_plan())
    plan = make_plan(TOY.replace('["sysu-indoor"]', '["sysu-all"]\nquery_modes = ["all", "single"]'))
    checkpoint = next(plan.out.rglob("last.pt"))
    before = checkpoint.stat().st_mtime_ns
    result, executor, _ = sweep(plan)
    assert executor.started == ["evaluate"] and len(result.done) == 2
    assert checkpoint.stat().st_mtime_ns == before
    records, _ = read_records(plan.leaderboards)
    assert sorted((record.protocol, record.query_mode) for record in records) == [
        ("sysu-all", "all"),
        ("sysu-all", "single"),
        ("sysu-indoor", "all"),
    ]


def test_what_was_deleted_is_made_again(make_plan: MakePlan):
    plan = make_plan()
    sweep(plan)
    shutil.rmtree(plan.leaderboards)
    _, executor, _ = sweep(plan)
    assert executor.started == ["evaluate"] and len(read_records(plan.leaderboards)[0]) == 1


def test_a_finished_run_folder_is_not_trained_again(make_plan: MakePlan):
    """Killed between the last checkpoint and the word about it."""
    plan = make_plan()
    sweep(plan)
    checkpoint = next(plan.out.rglob("last.pt"))
    before = checkpoint.stat().st_mtime_ns
    shutil.rmtree(folder_of(plan, "train") / "attempts")
    result, executor, _ = sweep(plan)
    assert executor.started == ["train"] and len(result.done) == 2
    assert checkpoint.stat().st_mtime_ns == before


def test_a_failed_job_is_tried_again(make_plan: MakePlan, tmp_path: Path):
    plan = make_plan(FRAGILE.format(failures=2, tally=tmp_path / "tally"), sweep="retries = 2")
    result, executor, said = sweep(plan)
    assert not result.failed and len(result.done) == 2
    assert executor.started == ["train", "train", "train"] and executor.statuses == [1, 1, 0]
    assert said[0] == (
        "failed: train fragile sysu-mm01-twin s0: RuntimeError: induced failure 1; trying again (1 of 2)"
    )
    log = (folder_of(plan, "train") / "log.txt").read_text()
    assert log.count("Traceback") == 2 and "attempt 3" in log


def test_a_job_that_keeps_failing_is_reported_and_blocks_its_evaluation_alone(make_plan: MakePlan, tmp_path: Path):
    plan = make_plan(FRAGILE.format(failures=100, tally=tmp_path / "tally") + TOY, sweep="retries = 1")
    result, _, _ = sweep(plan)
    (failure,) = result.failed
    assert failure.job.method == "fragile" and failure.failures == 2
    assert failure.reason == "RuntimeError: induced failure 2"
    assert any("RuntimeError: induced failure 2" in line for line in failure.last_lines)
    assert [(job.kind, job.method) for job in result.blocked] == [("evaluate", "fragile")]
    assert [job.method for job in result.done] == ["toy", "toy"]
    # Every start gives the retries anew.
    again, _, _ = sweep(plan)
    assert again.failed[0].failures == 4


def test_a_lost_job_is_recovered(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch):
    from vibench.sweep import attempts, run

    plan = make_plan()
    jobs = expand(plan)
    with monkeypatch.context() as patch:
        # A worker of another machine that died with its claim.
        holder = attempts.this_process()
        gone = attempts.Holder(**{**holder.__dict__, "machine": "elsewhere"})
        patch.setattr(attempts, "this_process", lambda: gone)
        assert claim(job_folder(plan.out, jobs[0].id)) is not None
    clock = itertools.count(0.0, 50.0)
    monkeypatch.setattr(run, "Watch", lambda lost_after: attempts.Watch(lost_after, lambda: next(clock)))
    result, executor, _ = sweep(plan)
    assert len(result.done) == 2 and executor.started == ["train"]
    assert [one.end and one.end.outcome for one in read_attempts(job_folder(plan.out, jobs[0].id))] == [None, "done"]


def test_workers_that_never_begin_do_not_run_for_ever(make_plan: MakePlan):
    class Broken(InProcess):
        def start(self, ready):  # type: ignore[no-untyped-def]
            from vibench.sweep.executor import Ended

            self.started += [one.job.kind for one in ready]
            self._ended += [Ended(one.job, one.attempts, "the worker was killed before it began") for one in ready]
            return list(ready)

    plan = make_plan(sweep="retries = 2")
    result, executor, _ = sweep(plan, Broken(plan.out))
    assert executor.started == ["train"] * 3
    assert result.failed[0].reason == "the worker was killed before it began" and len(result.blocked) == 1


def test_a_stopped_sweep_says_what_is_left(make_plan: MakePlan):
    plan = make_plan(sweep="seeds = [0, 1]")
    result = run_sweep(plan, expand(plan), InProcess(plan.out), stop=lambda: True)
    assert len(result.unfinished) == 4 and not result.done
    assert len(sweep(plan)[0].done) == 4


def test_two_sweeps_on_one_folder_do_no_job_twice(make_plan: MakePlan):
    plan = make_plan(sweep="seeds = [0, 1]")
    jobs = expand(plan)

    class WithRival(InProcess):
        """While this one starts its first job, another sweep comes and does everything else."""

        rival: Result | None = None

        def start(self, ready: list[Start]) -> list[Start]:  # type: ignore[override]
            if ready and self.rival is None:
                WithRival.rival = run_sweep(plan, jobs, InProcess(plan.out))
            return super().start(ready)

    result = run_sweep(plan, jobs, WithRival(plan.out))
    assert len(result.done) == 4 and WithRival.rival is not None and len(WithRival.rival.done) == 4
    assert all(len(read_attempts(job_folder(plan.out, job.id))) == 1 for job in jobs)


def test_profiles_are_files(make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch):
    from vibench.sweep import execution

    measure = execution.profile_method
    quick = {"parts": ("embedding",), "seconds": 0.05, "largest_batch": 2}
    monkeypatch.setattr(execution, "profile_method", lambda *given, **named: measure(*given, **quick, **named))
    plan = make_plan(sweep="profile = true")
    result, _, _ = sweep(plan)
    assert [job.kind for job in result.done] == ["train", "evaluate", "profile"]
    (file,) = (plan.leaderboards / "profiles").iterdir()
    assert file.name.startswith("toy-sysu-mm01-twin-") and '"parameters_train"' in file.read_text()


def test_one_plan_does_not_run_what_only_another_named_before(make_plan: MakePlan):
    """The evaluation of an older form of the plan stays undone."""
    plan = make_plan()
    run_sweep(plan, expand(plan), InProcess(plan.out), stop=lambda: True)
    old: Job = expand(plan)[1]
    plan = make_plan(TOY.replace("sysu-indoor", "sysu-all"))
    result, _, _ = sweep(plan)
    assert len(result.done) == 2 and read_attempts(job_folder(plan.out, old.id)) == []


@pytest.mark.parametrize("sweep_table", ['leaderboards = "file/boards"', ""])
def test_unusable_folders_are_said_before_a_job_begins(make_plan: MakePlan, tmp_path: Path, sweep_table: str):
    plan = make_plan(sweep=sweep_table)
    (tmp_path / "file").write_text("")
    if not sweep_table:
        plan.out.write_text("")
    with pytest.raises(UsageError, match=r"cannot be written \(.*Not a directory\); choose another .* in the plan"):
        sweep(plan)


def test_a_record_that_cannot_be_written_is_kept_and_its_scores_are_in_the_log(
    make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
):
    plan = make_plan(sweep="retries = 0")
    rename = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if Path(target).is_relative_to(plan.leaderboards):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    result, _, _ = sweep(plan)
    (failure,) = result.failed
    (record,), problems = read_records(next(failure.log.parent.glob("vibench-kept-*/leaderboards")))
    assert not problems and record.protocol == "sysu-indoor"
    log = failure.log.read_text()
    assert f"rank-1 {record.mean['r1']:.2%}, mAP {record.mean['map']:.2%}" in log
    assert "No space left on device" in failure.reason and "kept as" in failure.reason
