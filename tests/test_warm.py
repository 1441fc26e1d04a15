"""Processes forked from a warm one are as good as any other."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.warm import REPOSITORY, Warm

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def test_each_has_its_own_folder_environment_streams_and_status(warm: Warm, tmp_path: Path) -> None:
    wide = warm.run(["protocols"], tmp_path, {**ENVIRONMENT, "COLUMNS": "120"}, 100)
    narrow = warm.run(["protocols"], tmp_path, {**ENVIRONMENT, "COLUMNS": "60"}, 100)
    assert (wide.returncode, narrow.returncode) == (0, 0) and "sysu-all" in wide.stdout
    assert max(map(len, narrow.stdout.splitlines())) <= 60 < max(map(len, wide.stdout.splitlines()))
    refused = warm.run(["data", "check", "--root", "here"], tmp_path, ENVIRONMENT, 100)
    assert refused.returncode == 2 and refused.stdout == "" and "Error" in refused.stderr
    made = warm.run(["data", "twin", "--preview", "sheet.png", "--size", "32x16"], tmp_path, ENVIRONMENT, 100)
    assert made.returncode == 0 and (tmp_path / "sheet.png").exists()


def test_it_writes_where_it_is_told_in_the_letters_it_is_told(warm: Warm, tmp_path: Path) -> None:
    wanted = {**ENVIRONMENT, "PYTHONIOENCODING": "utf-16-le"}
    with (tmp_path / "out").open("wb") as out:
        done = warm.run(["--version"], tmp_path, wanted, 100, stdout=out)
    assert (done.returncode, done.stdout) == (0, "")
    assert (tmp_path / "out").read_bytes().decode("utf-16-le").startswith("vibench ")


def test_one_that_takes_too_long_is_killed_and_leaves_nothing_to_the_next(warm: Warm, tmp_path: Path) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        warm.run(["protocols"], tmp_path, ENVIRONMENT, timeout=0)
    assert warm.run(["nonsense"], tmp_path, ENVIRONMENT, 100).returncode == 2
    assert warm.run(["--version"], tmp_path, ENVIRONMENT, 100).returncode == 0


def test_what_an_interpreter_reads_at_its_start_needs_a_new_one(warm: Warm) -> None:
    assert warm.fits({**warm.environment, "COLUMNS": "40", "HOME": "/elsewhere"})
    for name in ("PYTHONUTF8", "LANG", "LC_ALL", "OMP_NUM_THREADS"):
        assert not warm.fits({**warm.environment, name: "another"})
    assert not warm.fits({**warm.environment, "PYTHONPATH": f"elsewhere:{REPOSITORY}"})
