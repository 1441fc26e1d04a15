"""Functions run by several processes at once, connected by gloo on the CPU."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tests.conftest import REPOSITORY
from vibench.distributed.world import World, connected
from vibench.errors import VibenchError

PATIENCE = timedelta(minutes=10)
"""Longer than any of them takes on a busy machine."""


def on_processes(function: Callable[..., Any], folder: Path, *arguments: Any, size: int = 2) -> list[Any]:
    """What ``function(world, *arguments)`` returns on each of ``size`` processes; a `VibenchError` counts as returned.

    A process that dies returns its exit code.
    """
    task = folder / "task.pickle"
    task.write_bytes(pickle.dumps((function, arguments)))
    command = [sys.executable, "-m", "tests.distributed.several", str(folder), str(size)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    processes = [subprocess.Popen([*command, str(rank)], cwd=REPOSITORY, env=environment) for rank in range(size)]
    try:
        codes = [process.wait(timeout=PATIENCE.total_seconds()) for process in processes]
    finally:
        for process in processes:
            process.kill()
    results = [folder / f"result-{rank}.pt" for rank in range(size)]
    return [
        torch.load(result, weights_only=False) if result.exists() else code
        for result, code in zip(results, codes, strict=True)
    ]


def _main(folder: Path, size: int, rank: int) -> None:
    torch.set_num_threads(1)
    function, arguments = pickle.loads((folder / "task.pickle").read_bytes())
    store = dist.FileStore(str(folder / "store"), size)
    try:
        with connected(World(rank, size, "cpu"), store, "gloo", PATIENCE) as world:
            result = function(world, *arguments)
    except VibenchError as error:
        result = error
    torch.save(result, folder / f"result-{rank}.pt")


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
