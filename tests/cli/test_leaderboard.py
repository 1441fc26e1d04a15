"""``vibench leaderboard`` as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import REPOSITORY
from tests.leaderboard.records import make_per_query, make_record
from vibench.cli.main import app
from vibench.leaderboard.store import alone, write_record

OUTCOMES = (make_per_query(0), make_per_query(1))


def test_boards_are_shown_and_written_and_bad_records_reported(
    vibench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    path = write_record(tmp_path / "leaderboards", make_record("agw"), OUTCOMES)
    (path.parent / "broken.json").write_text("{")
    done = vibench("leaderboard", COLUMNS="160")
    assert done.returncode == 0
    assert "agw" in done.stdout and "50.50 ± 0.50" in done.stdout and "(synthetic data)" in done.stdout
    assert "zero-pad" not in done.stdout
    assert "broken.json" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "leaderboards" / "index.md").is_file()
    assert (tmp_path / "leaderboards" / "sysu-mm01" / "sysu-all-official.csv").is_file()
    # Showing boards needs no torch.
    imports = vibench("leaderboard", PYTHONPROFILEIMPORTTIME="1").stderr
    assert "vibench.leaderboard.board" in imports and "torch" not in imports


def test_protocol_chooses_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    arguments = ["leaderboard", "--leaderboards", str(tmp_path / "here"), "--protocol", "regdb-t2v"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "regdb: regdb-t2v" in result.output and "sysu-mm01" not in result.output
    # All boards are written nevertheless, so that the index is whole.
    assert (tmp_path / "here" / "sysu-mm01" / "sysu-all-seeded.md").is_file()


def test_unknown_protocol_is_bad_usage(vibench: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = vibench("leaderboard", "--protocol", "sysu-al")
    assert done.returncode == 2
    assert "sysu-all" in done.stderr and "Traceback" not in done.stderr


def test_rendering_waits_for_another_process_that_renders(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vibench", "leaderboard", "--leaderboards", str(tmp_path)]
    with alone(tmp_path):
        write_record(tmp_path, make_record("agw"), OUTCOMES)
        waiting = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(5)
        assert not (tmp_path / "index.md").exists()
    assert waiting.wait(60) == 0
    assert (tmp_path / "index.md").is_file()
