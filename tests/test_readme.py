"""The README's walk through a method of one's own, executed to the letter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY


def _commands(section: str) -> str:
    """The shell blocks of one section of the README."""
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (body,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    return "\n".join(re.findall(r"^```sh\n(.*?)^```", body, flags=re.MULTILINE | re.DOTALL))


def test_a_method_is_added_as_the_readme_says(tmp_path: Path) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, arguments in (("vibench", "-m vibench"), ("python", "")):
        shim = commands / name
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        shim.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "VIBENCH_CACHE": str(tmp_path / "cache"),
        "COLUMNS": "200",
    }
    for name in ("VIBENCH_PLUGINS", "VIBENCH_DATA", "VIBENCH_LEADERBOARDS"):
        environment.pop(name, None)
    work = tmp_path / "work"
    work.mkdir()
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", _commands("Add your method")],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "my-method does all that vibench asks of a method" in done.stdout
    assert "2 passed" in done.stdout
    board = next((work / "leaderboards" / "sysu-mm01-twin").rglob("sysu-all*.csv")).read_text()
    assert "my-method" in board
