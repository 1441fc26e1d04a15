"""Every speed target with what is measured here, in one table: ``python -m tests.benchmarks``.

    python -m tests.benchmarks [--quick] [--only NAME ...] [--threads 2] [--markdown FILE] [--json FILE]

Each benchmark runs in a process of its own, one after the other. On a machine with other work the absolute figures
mean little; the ratios to the plain reference, measured in the same run, hold. There, set ``OMP_WAIT_POLICY=PASSIVE``:
OpenMP threads that spin while they wait for one that is not scheduled multiply the time several fold.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import platform
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.benchmarks.target import Options, Target, measure_here
from vibench.files.writing import write_json, write_text

BENCHMARKS = tuple(
    sorted(path.stem for path in Path(__file__).parent.glob("*.py") if "\ndef targets(" in path.read_text("utf-8"))
)
"""The modules of this folder that hand over targets, in the order of the table."""

COLUMNS = ("what", "measured", "target", "met", "reference in the same run", "hardware")


def measure(name: str, options: Options) -> list[Target]:
    """The targets of the benchmark ``name``, measured in a fresh process; raises what it raises."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(measure_here, name, options).result()


def cells(target: Target, quick: bool) -> tuple[str, ...]:
    """A target as texts, one per `COLUMNS`; the figures of ``quick`` sizes get no verdict."""
    goal = "-"
    if target.at_most is not None:
        goal = f"<= {target.at_most:g} {target.unit}"
    elif target.at_least is not None:
        goal = f">= {target.at_least:g} {target.unit}"
    verdict = {None: "-", True: "yes", False: "no"}[None if quick else target.met]
    measured = "-" if target.measured is None else f"{_figure(target.measured)} {target.unit}"
    what = f"{target.what} ({target.note})" if target.note else target.what
    return what, measured, goal, verdict, target.reference or "-", target.hardware


def _figure(value: float) -> str:
    """Three significant digits, never in powers of ten."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def markdown(rows: Sequence[Sequence[str]], footer: str) -> str:
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{footer}\n"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, no verdict")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, help="this benchmark alone; repeatable")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path, help="write the table to this file as well")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    arguments_ = parser.parse_args(arguments)
    options = Options(arguments_.quick, arguments_.threads)

    table = Table(*COLUMNS, title="Speed targets" + (", quick sizes" if options.quick else ""))
    found: list[Target] = []
    console, status = Console(), Console(stderr=True)
    if not console.is_terminal:
        console.width = 180
    for name in arguments_.only or BENCHMARKS:
        status.print(f"measuring {name} ...", style="dim")
        found += measure(name, options)
    rows = [cells(target, options.quick) for target in found]
    for row in rows:
        table.add_row(*row)
    console.print(table)
    load = os.getloadavg()[0]
    footer = f"Python {platform.python_version()}, PyTorch {version('torch')}, load average at the end {load:.1f}."
    console.print(footer)
    if arguments_.markdown:
        write_text(arguments_.markdown, markdown(rows, footer))
    if arguments_.json:
        write_json(arguments_.json, [asdict(target) | {"met": target.met} for target in found])


if __name__ == "__main__":
    main()
