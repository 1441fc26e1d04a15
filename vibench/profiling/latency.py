"""How long a piece of work takes: warmed up, repeated, median and spread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Duration:
    """Milliseconds of one repetition, over all repetitions."""

    median: float
    lower_quartile: float
    upper_quartile: float
    repetitions: int


def measure_duration(
    work: Callable[[], object],
    device: torch.device,
    *,
    warm_up: int = 3,
    at_least: int = 5,
    at_most: int = 100,
    seconds: float = 5.0,
) -> Duration:
    """Time ``work`` on ``device``: up to ``warm_up`` runs unmeasured, then ``at_least`` to ``at_most`` measured ones.

    Warming up ends early, after one run or more, and so does measuring between its bounds, when ``seconds`` have
    passed. On CUDA each run is timed by a pair of events in the stream,
    which leaves out what Python does before the first kernel starts; on CPU by the wall clock.
    """
    deadline = time.perf_counter() + seconds
    for _ in range(warm_up):
        work()
        if time.perf_counter() > deadline:
            break
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    one = _time_on_cuda if device.type == "cuda" else _time_on_cpu
    times: list[float] = []
    deadline = time.perf_counter() + seconds
    while len(times) < at_least or (len(times) < at_most and time.perf_counter() < deadline):
        times.append(one(work))
    lower, median, upper = (float(value) for value in np.percentile(times, (25, 50, 75)))
    return Duration(median=median, lower_quartile=lower, upper_quartile=upper, repetitions=len(times))


def _time_on_cpu(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return 1000.0 * (time.perf_counter() - start)


def _time_on_cuda(work: Callable[[], object]) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    work()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))
