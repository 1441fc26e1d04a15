"""How long a call takes, for benchmarks."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Timing:
    seconds: float
    """Wall time of the fastest repetition."""
    processor_seconds: float
    """Of all threads of this process, in the repetition that took least; on a machine with other work the better
    figure."""


def timed(call: Callable[[], object], repeats: int = 1, device: str = "cpu") -> Timing:
    """Repeat ``call``, each time until ``device`` has finished."""
    walls, processors = [], []
    for _ in range(repeats):
        started, processor = time.perf_counter(), time.process_time()
        call()
        if device != "cpu":
            torch.cuda.synchronize(device)
        walls.append(time.perf_counter() - started)
        processors.append(time.process_time() - processor)
    return Timing(min(walls), min(processors))


def peak_gibibytes() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
