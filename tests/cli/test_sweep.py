"""``vibench sweep`` as a user meets it; whole sweeps are in tests/sweep."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.sweep.conftest import TOY, make_plan  # noqa: F401  (a fixture)
from tests.training import toy  # noqa: F401  (registers the method)
from vibench.cli.main import app
from vibench.errors import UsageError
from vibench.sweep.attempts import End, claim, end
from vibench.sweep.expansion import expand
from vibench.sweep.job import job_folder
from vibench.sweep.plan import Plan
from vibench.sweep.run import Failure, SweepStopped, prepare
from vibench.sweep.run import Result as SweepResult

MakePlan = Callable[..., Plan]


def sweep(*arguments: object) -> Result:
    """Run ``vibench sweep ARGS...`` in this process."""
    result = CliRunner().invoke(app, ["sweep", *map(str, arguments)], env={"COLUMNS": "140"})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_dry_run_lists_jobs_and_starts_nothing(make_plan: MakePlan, tmp_path: Path):  # noqa: F811
    plan = make_plan(sweep="seeds = [0, 1]\nprofile = true")
    lines = sweep(tmp_path / "plan.toml", "--dry-run").stdout.splitlines()
    assert [line.split()[3] for line in lines[1:5]] == ["train", "evaluate", "train", "evaluate"]
    assert "5 jobs, 0 done, 5 to do; nothing was started." in lines
    assert "2 trainings see 16 images (steps times images per step): a relative measure." in lines
    assert "No finished run here of the same method says how long an image takes, so there are no times." in lines
    assert not plan.out.exists()


def test_status_is_printed_once_where_there_is_no_terminal(make_plan: MakePlan, tmp_path: Path):  # noqa: F811
    plan = make_plan()
    jobs = expand(plan)
    prepare(plan, jobs)
    attempt = claim(job_folder(plan.out, jobs[0].id))
    assert attempt is not None
    end(attempt, End("failed", 1.0, "no [memory]"))
    text = sweep(tmp_path / "plan.toml", "--status").stdout
    assert "failed 1x, no [memory]" in text and jobs[0].label in text
    assert "2 jobs: 1 waiting, 1 failed; if the sweep has ended, the command" in " ".join(text.split())
    claim(job_folder(plan.out, jobs[0].id))
    text = sweep(tmp_path / "plan.toml", "--status").stdout
    assert "2 jobs: 1 running, 1 waiting" in text and "has ended" not in text and "silent" not in text
    (claimed,) = job_folder(plan.out, jobs[0].id).rglob("002/claim.json")
    before = time.time() - 40
    os.utime(claimed, (before, before))
    assert re.search(r"silent for 4\d s", " ".join(sweep(tmp_path / "plan.toml", "--status").stdout.split()))


def test_wrong_arguments_get_one_sentence(make_plan: MakePlan, tmp_path: Path):  # noqa: F811
    make_plan(TOY.replace("toy", "tyo"))
    with pytest.raises(UsageError, match="--dry-run and --status exclude each other"):
        sweep(tmp_path / "plan.toml", "--dry-run", "--status")
    with pytest.raises(UsageError, match=r"nothing.toml: cannot be read"):
        sweep(tmp_path / "nothing.toml")
    with pytest.raises(UsageError, match=r"number 1: there is no method 'tyo' \(did you mean 'toy'\?\)"):
        sweep(tmp_path / "plan.toml")
    assert not (tmp_path / "out").exists()


def test_failures_end_with_their_logs_and_exit_1(
    make_plan: MakePlan,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    from vibench.sweep import run

    jobs = expand(make_plan())
    failure = Failure(jobs[0], 2, "out of memory", tmp_path / "log.txt", ("Traceback", "MemoryError: 3 [GiB]"))
    result = SweepResult(done=(), failed=(failure,), blocked=(jobs[1],), unfinished=())
    monkeypatch.setattr(run, "run_sweep", lambda *given, **named: result)
    runner = CliRunner().invoke(app, ["sweep", str(tmp_path / "plan.toml")])
    assert str(runner.exception).startswith("1 of 2 jobs failed and 1 could not begin") and runner.exit_code == 1
    assert f"failed: train toy sysu-mm01-twin s0, 2 times; {tmp_path}/log.txt ends with:" in runner.stderr
    assert "    MemoryError: 3 [GiB]" in runner.stderr
    assert "not begun: evaluate toy sysu-mm01-twin s0" in runner.stderr

    stopped = SweepResult((), (), (), jobs, "1 running jobs were stopped and have saved their states")
    monkeypatch.setattr(run, "run_sweep", lambda *given, **named: stopped)
    with pytest.raises(SweepStopped, match=r"2 of 2 jobs left; 1 running jobs were stopped .*; the same command"):
        sweep(tmp_path / "plan.toml")


def test_time_that_is_up_stops_the_sweep(make_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    from vibench.sweep import local

    monkeypatch.setattr(local.LocalExecutor, "start", lambda self, ready: [])
    make_plan()
    with pytest.raises(SweepStopped, match="2 of 2 jobs left"):
        sweep(tmp_path / "plan.toml", "--stop-after", 0.001)
