"""Everything worth knowing of a GPU in ten minutes, most important first: ``python -m tests.benchmarks.gpu_check``.

    python -m tests.benchmarks.gpu_check [--minutes 10] [--out gpu-check] [--device auto|cpu|cuda] [--only PART ...]

It asks whether CUDA gives what the CPU does (the tests marked gpu, metrics to 1e-9, embeddings to 1e-4), and how fast
evaluation, training and extraction are, in every precision, eager and compiled, beside a plain reference pipeline.
Profiles of all methods and a trace of the slowest training step follow. Nothing is downloaded; images are rendered or
noise, weights are random.

Each part runs in a process of its own, which is ended when its share of the time is used up; what a part does not use
is for those behind it. FOLDER/gpu-check.json and FOLDER/gpu-check.md are written anew after each figure. Without a GPU
the same code runs on the CPU, at sizes of seconds, whose figures mean nothing.

Needed are a clone, a PyTorch that sees the card, and what ``pip install -e '.[test]'`` adds to it.
"""

from __future__ import annotations

import argparse
import importlib.util
import multiprocessing
import os
import platform
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from rich.console import Console

from tests.benchmarks.__main__ import COLUMNS, cells
from tests.benchmarks.gpu_parts import ON_CPU, ON_GPU, PARTS, Context, Scale
from tests.benchmarks.target import Target
from vibench.files.writing import write_json, write_text
from vibench.runtime.devices import resolve_device
from vibench.runtime.environment import describe_environment

SHARES = {
    "tests": 4.0,
    "equality": 2.0,
    "evaluation": 1.0,
    "training": 3.0,
    "extraction": 2.0,
    "profiles": 2.0,
    "trace": 1.0,
}
"""How the time is dealt out, by part."""
_GRACE = 5.0
"""Seconds in which a part that is out of time may put its things away."""
NEEDED = ("numpy", "pandas", "scipy", "torchvision", "PIL", "rich", "typer", "tabulate", "pytest", "hypothesis")


@dataclass
class Part:
    """What became of one."""

    name: str
    seconds: float = 0.0
    ended: str = "whole"
    """``whole``, ``out of time``, or what went wrong."""
    figures: dict[str, Target] = field(default_factory=dict)
    """By what they are about: a later one takes the place of an earlier."""


def limit(name: str, waiting: Sequence[str], left: float) -> float:
    """Seconds for ``name``, of ``left`` for it and the ``waiting`` ones."""
    share = SHARES[name]
    return left * share / (share + sum(SHARES[other] for other in waiting))


def run_part(name: str, context: Context, sender: Connection) -> None:
    """In a process of its own: send each figure, then None or what went wrong."""
    # What this process starts, such as loaders, ends with it.
    os.setsid()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        for figure in PARTS[name](context):
            sender.send(figure)
        sender.send(None)
    except Exception as error:
        traceback.print_exc()
        sender.send(f"{type(error).__name__}: {error}".splitlines()[0])


def figures(name: str, context: Context, seconds: float) -> Iterator[Target | str]:
    """The figures of a part as they come, and last how it ended."""
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=run_part, args=(name, context, sender))
    deadline = time.monotonic() + seconds
    process.start()
    sender.close()
    try:
        while receiver.poll(max(0.0, deadline - time.monotonic())):
            found = receiver.recv()
            if not isinstance(found, Target):
                yield found or "whole"
                return
            yield found
        yield "out of time"
    except EOFError:
        process.join()
        yield f"its process died with status {process.exitcode}"
    finally:
        process.join(1.0)
        if process.pid is not None and process.is_alive():
            # First it alone, which puts its things away; then with whatever it has started.
            os.kill(process.pid, signal.SIGTERM)
            process.join(_GRACE)
            if process.is_alive():
                alone = os.getpgid(process.pid) == process.pid
                (os.killpg if alone else os.kill)(process.pid, signal.SIGKILL)
        process.join()


def check(minutes: float, out: Path, device: torch.device, only: Sequence[str], console: Console) -> list[Part]:
    """All parts, in ``minutes`` together."""
    scale = ON_GPU if device.type == "cuda" else ON_CPU
    deadline = time.monotonic() + 60 * minutes
    parts: list[Part] = []
    for place, name in enumerate(only):
        part, started = Part(name), time.monotonic()
        parts.append(part)
        console.print(f"{name} ...", style="dim", markup=False)
        before = tuple(figure for earlier in parts for figure in earlier.figures.values())
        context = Context(str(device), scale, str(out), before)
        told: dict[str, str] = {}
        for found in figures(name, context, limit(name, only[place + 1 :], deadline - started)):
            part.seconds = time.monotonic() - started
            if isinstance(found, Target):
                # One that takes the place of another is told of once, when the part has ended.
                if found.what not in part.figures:
                    told[found.what] = _line(found, scale)
                    console.print(told[found.what], markup=False)
                part.figures[found.what] = found
            else:
                part.ended = found
            write(parts, minutes, out, device)
        for line in (_line(one, scale) for one in part.figures.values()):
            if line not in told.values():
                console.print(line, markup=False)
        console.print(f"  {part.seconds:.0f} s, {part.ended}", style="dim", markup=False)
    return parts


def _line(figure: Target, scale: Scale) -> str:
    return "  " + " | ".join(cells(figure, quick=scale is ON_CPU)[:4])


def write(parts: Sequence[Part], minutes: float, out: Path, device: torch.device) -> None:
    """``gpu-check.json`` and ``gpu-check.md``."""
    environment = describe_environment(str(device))
    quick = device.type == "cpu"
    write_json(
        out / "gpu-check.json",
        {
            "minutes": minutes,
            "device": str(device),
            "python": platform.python_version(),
            "environment": asdict(environment),
            "parts": [
                {
                    "name": part.name,
                    "seconds": round(part.seconds, 1),
                    "ended": part.ended,
                    "figures": [asdict(one) | {"met": None if quick else one.met} for one in part.figures.values()],
                }
                for part in parts
            ],
        },
    )
    lines: list[Sequence[str]] = [("part", *COLUMNS), ("---",) * (1 + len(COLUMNS))]
    lines += [
        [part.name, *(cell.replace("|", "/").replace("\n", " ") for cell in cells(one, quick))]
        for part in parts
        for one in part.figures.values()
    ]
    times = ", ".join(f"{part.name} {part.seconds:.0f} s ({part.ended})" for part in parts)
    card = environment.gpu or f"{environment.cpu}, small sizes: no figure of a GPU"
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    footer = f"{card}; Python {platform.python_version()}, PyTorch {torch.__version__}. {times}."
    write_text(out / "gpu-check.md", f"{text}\n{footer}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--out", type=Path, default=Path("gpu-check"), help="folder of the two files and the trace")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--only", action="append", choices=tuple(PARTS), help="this part alone; repeatable")
    options = parser.parse_args(arguments)
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        sys.exit(f"missing: {', '.join(missing)}; pip install -e '.[test]' adds them and leaves PyTorch as it is.")
    console = Console(width=160)
    parts = check(options.minutes, options.out, resolve_device(options.device), tuple(options.only or PARTS), console)
    console.print(f"{options.out / 'gpu-check.md'}, {options.out / 'gpu-check.json'}", markup=False)
    unmet = [one for part in parts for one in part.figures.values() if one.met is False]
    failed = [part for part in parts if part.ended not in ("whole", "out of time")]
    sys.exit(1 if failed or (unmet and options.device != "cpu" and torch.cuda.is_available()) else 0)


if __name__ == "__main__":
    main()
