from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.datasets import mini
from vibench.cli.data_cache import cache
from vibench.cli.main import app
from vibench.data.cache import parse_size
from vibench.errors import UsageError

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = mini.write_sysu(tmp_path / "sysu-mm01-twin")
    mini.write_sysu_truth(root)
    return root


@pytest.mark.parametrize("command", ["check", "cache", "info"])
def test_help_has_an_example(command: str) -> None:
    result = CliRunner().invoke(app, ["data", command, "--help"])
    assert result.exit_code == 0
    assert f"Example: vibench data {command}" in " ".join(result.output.split())


def test_check_exits_with_0_1_or_2(vibench: Command, root: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = vibench("data", "check", "--dataset", "sysu-mm01-twin", "--root", root, "--json", report)
    assert (done.returncode, done.stderr) == (0, "")
    assert "complete" in done.stdout
    assert json.loads(report.read_text())["complete"] is True

    for number, path in enumerate(sorted(root.glob("cam1/*/*.jpg"))):
        path.write_bytes(b"" if number else b"no image")
    for path in sorted(root.glob("cam2/*/*.jpg")):
        path.unlink()
    done = vibench("data", "check", "--dataset", "sysu-mm01-twin", "--json", report, VIBENCH_DATA=str(tmp_path))
    assert done.returncode == 1
    assert "missing cam2/0001/0001.jpg: no such file" in done.stdout
    assert "and 5 more (see --json)" in done.stdout
    assert len(json.loads(report.read_text())["problems"]) == 25

    done = vibench("data", "check", "--dataset", "sysu-mm01-twin", "--root", tmp_path / "absent")
    assert done.returncode == 2
    assert "does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_cache_is_built_then_reused(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIBENCH_CACHE", str(tmp_path / "cache"))
    arguments = ["data", "cache", "-d", "sysu-mm01", "--root", str(root), "--size", "16x8"]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    again = CliRunner().invoke(app, [*arguments, "--verify"])
    assert "72 images" in again.output
    assert "reused" in again.output
    assert len(list((tmp_path / "cache").glob("sysu-mm01-16x8-lanczos-*"))) == 1


@pytest.mark.parametrize("size", ["288", "288x", "axb", "288X144", "288x144x3", "-1x4", ""])
def test_sizes_of_another_form_are_refused(size: str) -> None:
    with pytest.raises(UsageError, match="is not of the form HEIGHTxWIDTH"):
        parse_size(size)
    with pytest.raises(UsageError, match="is not of the form HEIGHTxWIDTH"):
        cache("sysu-mm01", Path("absent"), size)


def test_info_shows_every_camera(root: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "info", "-d", "sysu-mm01", "--root", str(root)])
    assert result.exit_code == 0, result.output
    assert "SYSU-MM01 in" in result.output
    words = [[word.strip() for word in line.split("│")[1:-1]] for line in result.output.splitlines() if "│" in line]
    assert ["train", "infrared", "6", "2", "4"] in words
    assert ["test", "all", "all", "2", "24"] in words
