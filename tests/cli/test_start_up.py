"""What answers without data answers at once: no numerical package is imported for it."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import REPOSITORY

COMMANDS = (
    "--help",
    "--version",
    "methods",
    "protocols",
    "protocols sysu-all",
    "data --help",
    *(f"{command} --help" for command in ("train", "eval", "leaderboard", "profile", "compare", "report")),
)
HEAVY = {"torch", "torchvision", "pandas", "numpy", "scipy", "matplotlib"}
SCRIPT = f"""
import sys
from vibench.cli.main import main
for command in {COMMANDS}:
    try:
        main(command.split())
    except SystemExit as end:
        assert not end.code, command
    found = {HEAVY} & set(sys.modules)
    assert not found, f"{{command}} imports {{found}}"
"""


def test_help_and_lists_import_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "sysu-indoor" in done.stdout and "cm-ssft" in done.stdout
