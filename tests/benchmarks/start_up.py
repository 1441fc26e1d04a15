"""How long commands take that need no data: a fresh process each, the fastest of several."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.target import Options, Target, cpu_hardware
from tests.benchmarks.timing import Timing

COMMANDS = ("--help", "methods", "protocols", "--version", "train --help", "leaderboard --help")
REPOSITORY = Path(__file__).resolve().parents[2]


def process(arguments: Sequence[str], repeats: int) -> Timing:
    """Wall and processor time of ``python ARGUMENTS``."""
    walls, processors = [], []
    for _ in range(repeats):
        before, started = os.times(), time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
        walls.append(time.perf_counter() - started)
        after = os.times()
        processors.append(after.children_user + after.children_system - before.children_user - before.children_system)
    return Timing(min(walls), min(processors))


def targets(options: Options) -> list[Target]:
    """One row per command; the first three have a target."""
    repeats = 2 if options.quick else 7
    torch = process(["-c", "import torch"], 2)
    empty = process(["-c", "pass"], repeats)
    found = []
    for command in COMMANDS:
        took = process(["-m", "vibench", *command.split()], repeats)
        found.append(
            Target(
                f"vibench {command}",
                took.seconds,
                "s",
                cpu_hardware(1),
                at_most=0.4,
                reference=f"importing torch: {torch.seconds:.2f} s; an empty Python: {empty.seconds:.2f} s",
                note=f"{took.processor_seconds:.2f} s of processor time",
            )
        )
    return found
