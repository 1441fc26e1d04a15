"""``vibench compare`` and ``vibench leaderboard --recompute`` as a user runs them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.records.scored import scored_record
from vibench.cli.main import app
from vibench.records.store import write_record

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def leaderboards(tmp_path: Path) -> Path:
    """Three seeds of one method and two of a better one, in the default folder."""
    folder = tmp_path / "leaderboards"
    for method, variant, skill, count in (("agw", "", 0.3, 3), ("ddag", "b-p", 0.8, 2)):
        for seed in range(count):
            write_record(folder, *scored_record(method, seed, skill, people=30, variant=variant))
    return folder


def test_methods_are_compared_with_words_table_and_json(vibench: Command, leaderboards: Path, tmp_path: Path) -> None:
    done = vibench("compare", "agw", "ddag:b-p", "--protocol", "sysu-all", "--json", "out.json", COLUMNS="120")
    assert done.returncode == 0, done.stderr
    assert "mAP: ddag-b-p is" in done.stdout and "better than agw, more than noise" in done.stdout
    assert "fewer than three seeds (ddag-b-p has 2)" in done.stdout
    for title in ("by query camera", "by gallery camera", "by trial", "95 % interval", "30 identities"):
        assert title in done.stdout
    result = json.loads((tmp_path / "out.json").read_text())
    (pair,) = result["pairs"]
    assert [found["metric"] for found in pair["differences"]] == ["map", "r1"]
    assert pair["differences"][0]["difference"] < 0 and not pair["differences"][0]["within_noise"]
    ids = {path.stem.rpartition("-")[2] for path in leaderboards.rglob("*.json")}
    assert {record for side in result["sides"] for record in side["records"]} == ids
    # The same command, the same bytes; and no network is needed.
    again = vibench("compare", "agw", "ddag", "--json", "again.json", PYTHONPROFILEIMPORTTIME="1")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "out.json").read_bytes()
    imported = {line.rpartition("|")[2].strip() for line in again.stderr.splitlines()}
    assert "vibench.records.comparison" in imported and "torch" not in imported


def test_bad_names_are_bad_usage(vibench: Command, leaderboards: Path) -> None:
    done = vibench("compare", "agw", "dag")
    assert done.returncode == 2
    assert "did you mean" in done.stderr and "Traceback" not in done.stderr
    only = CliRunner().invoke(app, ["compare", "agw", "--leaderboards", str(leaderboards)])
    assert only.exit_code != 0 and "two methods" in str(only.exception)
    level = CliRunner().invoke(app, ["compare", "agw", "ddag", "--level", "95"])
    assert "--level 95.0: give a number from 0.5 to 0.999" in str(level.exception)


def test_records_by_file_and_id(leaderboards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    files = sorted((leaderboards / "records").rglob("agw-*.json"))
    one, other, third = (path.stem.rpartition("-")[2] for path in files)
    arguments = ["compare", str(files[0]), other[:8], third, "--leaderboards", str(leaderboards), "--resamples", "200"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "p Holm" in result.output and "within noise" in result.output
    assert f"agw {one}" in result.output and "by trial" not in result.output
    # The exit code does not depend on the outcome, only on whether there is one.
    assert CliRunner().invoke(app, [*arguments, "--breakdown"]).output.count("by trial") == 3


def test_recompute_proves_or_reports(vibench: Command, leaderboards: Path) -> None:
    done = vibench("leaderboard", "--recompute")
    assert done.returncode == 0
    assert "5 records" in done.stdout and "0 problems" in done.stdout
    # Nothing is rendered.
    assert not (leaderboards / "index.md").exists()
    path = next((leaderboards / "records").rglob("*.npz"))
    path.write_bytes(path.read_bytes()[:-40])
    done = vibench("leaderboard", "--recompute")
    assert done.returncode == 1
    assert path.name in done.stderr and "1 problems" in done.stdout and "Traceback" not in done.stderr
