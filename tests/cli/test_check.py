"""``vibench check`` and ``--plugin`` as a user meets them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.datasets import mini
from tests.training import toy  # noqa: F401  (registers the method)
from vibench.cli.main import app
from vibench.conformance import check as checks
from vibench.conformance.finding import Finding
from vibench.errors import UsageError, VibenchError
from vibench.methods.plugin import VARIABLE
from vibench.scaffold.new_method import write_new_method

Vibench = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> list[Finding]:
    """What the next check finds."""
    found: list[Finding] = []

    def check_method(*_: object) -> Iterator[Finding]:
        yield from found

    monkeypatch.setattr(checks, "check_method", check_method)
    return found


def test_one_line_per_check(findings: list[Finding]):
    findings += [Finding("losses", "passed", "identity 1.95"), Finding("gradients", "passed", "[all] of them")]
    result = CliRunner().invoke(app, ["check", "toy"])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "ok    losses            identity 1.95",
        "ok    gradients         [all] of them",
        "toy does all that vibench asks of a method",
    ]


def test_what_is_wrong_ends_in_exit_code_1(findings: list[Finding]):
    findings += [Finding("losses", "failed", "it is inf."), Finding("gradients", "not reached")]
    result = CliRunner().invoke(app, ["check", "toy"])
    assert result.stdout.splitlines() == ["wrong losses            it is inf.", "-     gradients"]
    assert isinstance(result.exception, VibenchError) and result.exception.exit_code == 1
    assert str(result.exception) == "toy is not ready: put right losses, then check it again."


def test_a_plugin_stands_before_or_behind_the_command(vibench: Vibench, tmp_path: Path):
    folders = [write_new_method(name, tmp_path) for name in ("one", "two-b")]
    done = vibench("--plugin", folders[0], "methods", f"--plugin={folders[1].name}", COLUMNS="200")
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert {"one", "two-b", "agw"} <= set(names)
    done = vibench("methods", "--plugin", "nowhere")
    assert done.returncode == 2 and done.stderr.startswith("error: --plugin nowhere: there is no such file or folder")
    done = vibench("methods", "--plugin")
    assert done.returncode == 2 and "requires an argument" in done.stderr


def test_new_method_says_what_it_wrote_and_what_is_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["new-method", "two_b"])
    assert result.stdout.splitlines()[0] == "two_b/__init__.py"
    assert "next: vibench check two-b --plugin two_b" in result.stdout
    again = CliRunner().invoke(app, ["new-method", "two-b"])
    assert isinstance(again.exception, UsageError)


def test_a_run_of_a_method_that_is_not_registered(tmp_path: Path, vibench: Vibench, monkeypatch: pytest.MonkeyPatch):
    """Trained with a plugin, evaluated without it."""
    from vibench.methods.recipe import load_recipe
    from vibench.training.prepare import prepare
    from vibench.training.spec import TrainingSpec

    monkeypatch.setenv(VARIABLE, "")
    mini.write_sysu(tmp_path / "data")
    run = prepare(TrainingSpec(load_recipe("toy", "", "sysu-mm01"), tmp_path / "data", folder=tmp_path / "run"))
    done = vibench("train", "--resume", run.path)
    assert done.returncode == 2
    assert "is of the method 'toy', which is not registered; name its folder with --plugin PATH." in done.stderr
