"""Functions run by several processes at once, connected by gloo on the CPU."""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from tests.warm import REPOSITORY, Warm
from vibench.distributed.world import ENDS_SAFELY, World, connected
from vibench.errors import VibenchError

PATIENCE = timedelta(minutes=10)
"""Longer than any of them takes on a busy machine."""


def on_processes(warm: Warm, function: Callable[..., Any], folder: Path, *arguments: Any, size: int = 2) -> list[Any]:
    """What ``function(world, *arguments)`` returns on each of ``size`` processes; a `VibenchError` counts as returned.

    A process that dies returns its exit code. Skips where they might never end.
    """
    skip_where_ends_hang()
    task = folder / "task.pickle"
    task.write_bytes(pickle.dumps((function, arguments)))
    each = [{**warm.environment, "OMP_NUM_THREADS": "1", "RANK": str(rank)} for rank in range(size)]
    words = [str(folder), str(size)]
    ended = warm.run_together("tests.distributed.several", words, REPOSITORY, each, PATIENCE.total_seconds())
    results = [folder / f"result-{rank}.pt" for rank in range(size)]
    return [
        torch.load(result, weights_only=False) if result.exists() else one.returncode
        for result, one in zip(results, ended, strict=True)
    ]


def skip_where_ends_hang() -> None:
    """Skip the test on a PyTorch whose processes can wait for each other for ever as they end."""
    if torch.__version__ < ENDS_SAFELY:
        pytest.skip(f"several processes of PyTorch {torch.__version__} can hang as they end")


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
    _main(Path(sys.argv[1]), int(sys.argv[2]), int(os.environ["RANK"]))
