"""What a training step of every method takes: ``python -m tests.benchmarks.hot_spots``.

    python -m tests.benchmarks.hot_spots [--method NAME ...] [--set key=value ...] [--shapes real|small] [--whole]
                                         [--device auto|cpu|cuda] [--amp off|bf16|fp16] [--steps 5] [--threads 2]
                                         [--against CHECKOUT] [--operators]

By default the head alone is measured, on feature maps of the real size: ResNet-50 at 288x144, 64 images, 395 persons;
``--whole`` runs the backbone and the optimiser as well. Memory is the peak of what a step allocates beside weights and
feature maps. With ``--against`` another checkout of vibench takes turns with this one, step by step, so that the ratio
holds on a machine with other work, where the milliseconds mean little. ``--operators`` shows the profiler's table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks import training_step
from tests.benchmarks.target import Options, Target, cpu_hardware
from tests.benchmarks.training_step import SHAPES, Work
from vibench.methods.registry import method_names
from vibench.runtime.devices import resolve_device

HERE = Path(__file__).parents[2]
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Cost:
    """Of the steps of one checkout."""

    milliseconds: tuple[float, ...]
    peak_bytes: int

    @property
    def best(self) -> float:
        return min(self.milliseconds)

    @property
    def peak_mebibytes(self) -> float:
        return self.peak_bytes / MEBIBYTE


class Worker:
    """A process that runs `tests.benchmarks.training_step` on the vibench of a checkout."""

    def __init__(self, work: Work, checkout: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, training_step.__file__, json.dumps(asdict(work))],
            env={**os.environ, "PYTHONPATH": str(checkout)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def ask(self, word: str) -> Any:
        """The worker's answer to ``step``, ``memory`` or ``operators``."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError("a worker has died; what it said stands above")
        return json.loads(answer)


def costs(work: Work, checkouts: Sequence[Path], steps: int) -> list[Cost]:
    """What ``steps`` steps cost in every checkout; all take turns, after one step that is not counted."""
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(work, checkout)) for checkout in checkouts]
        rounds = [[worker.ask("step") for worker in workers] for _ in range(1 + steps)][1:]
        times = zip(*rounds, strict=True)
        return [Cost(tuple(own), worker.ask("memory")) for own, worker in zip(times, workers, strict=True)]


def targets(options: Options) -> list[Target]:
    """The head of every method, for its own sake."""
    shapes = "small" if options.quick else "real"
    cuda = resolve_device().type == "cuda"
    hardware = torch.cuda.get_device_name() if cuda else cpu_hardware(options.threads)
    found = []
    for method in method_names():
        work = Work(method, shapes=shapes, threads=options.threads)
        (cost,) = costs(work, [HERE], steps=2 if options.quick else 3)
        what = f"{method}, head of a training step, {shapes} shapes, fp32"
        found.append(Target(what, cost.best, "ms", hardware, note=f"peak {cost.peak_mebibytes:.0f} MiB"))
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", action="append", choices=method_names(), help="this method alone; repeatable")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="recipe setting; variant=NAME")
    parser.add_argument("--shapes", choices=tuple(SHAPES), default="real")
    parser.add_argument("--whole", action="store_true", help="backbone and optimiser too")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--amp", default="off")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--against", type=Path, help="another checkout of vibench, to be measured in turns")
    parser.add_argument("--operators", action="store_true", help="the profiler's table of each step, nothing else")
    options = parser.parse_args(arguments)

    console = Console()
    work = Work("", tuple(options.set), options.shapes, options.whole, options.device, options.amp, options.threads)
    checkouts = [HERE] if options.against is None else [HERE, options.against.resolve()]
    table = Table("method", "ms, best", "ms, median", "peak MiB")
    if options.against is not None:
        for column in ("there: ms, best", "ms, median", "peak MiB", "median of there / here"):
            table.add_column(column)
    for method in options.method or method_names():
        if options.operators:
            with Worker(replace(work, method=method), HERE) as worker:
                worker.ask("step")
                print(method, worker.ask("operators"), sep="\n")
            continue
        found = costs(replace(work, method=method), checkouts, options.steps)
        cells = [
            cell
            for cost in found
            for cell in (f"{cost.best:.1f}", f"{np.median(cost.milliseconds):.1f}", f"{cost.peak_mebibytes:.0f}")
        ]
        if options.against is not None:
            here, there = (np.array(cost.milliseconds) for cost in found)
            cells.append(f"{np.median(there / here):.2f}")
        table.add_row(method, *cells)
    if not options.operators:
        console.print(table)
        part = "whole step" if options.whole else "head"
        console.print(f"{part}, {options.shapes} shapes, {options.amp}, {resolve_device(options.device)}")


if __name__ == "__main__":
    main()
