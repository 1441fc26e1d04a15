"""How a sweep stands, read from its files; what it will cost."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.sweep.conftest import TOY
from vibench.errors import UsageError
from vibench.files.json_table import write_json_table
from vibench.sweep.attempts import Claim, End, Heartbeat, claim, end, read_attempts
from vibench.sweep.estimate import estimate
from vibench.sweep.expansion import expand
from vibench.sweep.job import Job, job_folder
from vibench.sweep.plan import Plan
from vibench.sweep.run import prepare
from vibench.sweep.status import Standing, counts, standings
from vibench.sweep.submission import Submission, write_submission
from vibench.sweep.worker import work

MakePlan = Callable[..., Plan]


@pytest.fixture
def started(make_plan: MakePlan) -> tuple[Plan, tuple[Job, ...]]:
    plan = make_plan(sweep="seeds = [0, 1]")
    jobs = expand(plan)
    prepare(plan, jobs)
    return plan, jobs


def at_work_elsewhere(plan: Plan, job: Job) -> Path:
    """A worker of another machine has the job; returns the folder of its attempt."""
    attempt = claim(job_folder(plan.out, job.id))
    assert attempt is not None and attempt.claim is not None
    holder = dataclasses.replace(attempt.claim.holder, host="node7", machine="another", pid=4242, cluster_job="9_1")
    write_json_table(attempt.folder / "claim.json", Claim(holder, attempt.claim.at))
    write_json_table(attempt.folder / "heartbeat.json", Heartbeat(3, "training toy", 5, 8))
    return attempt.folder


def first(plan: Plan) -> Standing:
    return standings(plan.out, plan.name)[0]


def test_a_plan_that_was_never_started_is_named(make_plan: MakePlan):
    plan = make_plan()
    with pytest.raises(UsageError, match=r"the sweep 'plan' has not been started there, .*plan.toml' starts it"):
        standings(plan.out, plan.name)


def test_waiting_and_queued(started: tuple[Plan, tuple[Job, ...]]):
    plan, jobs = started
    assert counts(standings(plan.out, plan.name)) == {"waiting": 4}
    write_submission(plan.out, jobs[0].id, Submission("slurm", "9_0", 0))
    assert (first(plan).state, first(plan).where) == ("queued", "queue: 9_0")


def test_running_elsewhere_then_lost(started: tuple[Plan, tuple[Job, ...]]):
    plan, jobs = started
    folder = at_work_elsewhere(plan, jobs[0])
    standing = first(plan)
    assert standing.state == "running" and standing.where == "node7:4242 (9_1)"
    assert standing.detail == "epoch 0/1, step 5/8"
    assert standing.heartbeat is not None and standing.heartbeat < 60
    before = time.time() - 500
    os.utime(folder / "heartbeat.json", (before, before))
    assert first(plan).state == "lost" and first(plan).failures == 1


def test_failures_are_counted_and_explained(started: tuple[Plan, tuple[Job, ...]]):
    plan, jobs = started
    for reason in ("first reason", "second reason"):
        attempt = claim(job_folder(plan.out, jobs[0].id))
        assert attempt is not None
        end(attempt, End("failed", 2.0, reason))
    assert (first(plan).state, first(plan).failures, first(plan).detail) == ("failed", 2, "second reason")


def test_done(started: tuple[Plan, tuple[Job, ...]]):
    plan, jobs = started
    work(plan.out, jobs[0].id)
    found = standings(plan.out, plan.name)
    assert counts(found) == {"waiting": 2, "done": 2}
    assert found[0].seconds is not None and found[0].seconds > 0 and found[0].detail == ""


def test_costs_are_images_and_times_follow_from_finished_runs_of_the_same_method(make_plan: MakePlan):
    entry = TOY + 'set = ["schedule.epochs=3", "sampler.batches_per_epoch=4"]\n'
    plan = make_plan(entry, sweep="seeds = [0, 1]")
    jobs = expand(plan)
    prepare(plan, jobs)
    before = estimate(plan.out, jobs)
    # P = K = 2: four images of each modality a batch.
    assert [before[job.id].images for job in jobs if job.train] == [3 * 4 * 8] * 2
    assert all(one.seconds is None for one in before.values())
    work(plan.out, jobs[0].id)
    assert read_attempts(job_folder(plan.out, jobs[0].id))[0].end
    after = estimate(plan.out, jobs)
    assert [after[job.id].images for job in jobs if job.train] == [0, 96]
    waiting = after[jobs[2].id]
    assert waiting.measured is not None and (waiting.measured.runs, waiting.measured.images) == (1, 96)
    assert waiting.seconds == pytest.approx(waiting.measured.seconds)
    other = expand(make_plan(entry.replace("toy", "fragile")))
    assert estimate(plan.out, other)[other[0].id].seconds is None


def test_batches_that_the_recipe_does_not_count_follow_from_the_images(make_plan: MakePlan, sysu_twin: Path):
    from vibench.datasets.index import training_rows
    from vibench.datasets.registry import get_dataset

    rows = training_rows(get_dataset("sysu-mm01-twin").index(sysu_twin))
    most = rows["modality"].value_counts().max()
    jobs = expand(make_plan(TOY + 'set = ["sampler.batches_per_epoch=0"]\n'))
    assert estimate(Path("nowhere"), jobs)[jobs[0].id].images == (most // 4 + 1) * 8
