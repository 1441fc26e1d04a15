"""How long pieces of work take: warmed up, repeated, median and spread."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

Name = TypeVar("Name", bound=str)


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
    """Time ``work`` on ``device``, as `measure_durations` does."""
    measured = measure_durations(
        {"": work}, device, warm_up=warm_up, at_least=at_least, at_most=at_most, seconds=seconds
    )
    return measured[""]


def measure_durations(
    phases: Mapping[Name, Callable[[], object]],
    device: torch.device,
    *,
    warm_up: int = 3,
    at_least: int = 5,
    at_most: int = 100,
    seconds: float = 5.0,
) -> dict[Name, Duration]:
    """Time ``phases`` that follow one another on ``device``; one repetition is all of them, in their order.

    Up to ``warm_up`` repetitions are not measured, then ``at_least`` to ``at_most`` are. Warming up ends early, after
    one or more, and so does measuring between its bounds, when ``seconds`` have passed. On CUDA pairs of events in the
    stream bound each phase, which leaves out what Python does before the first kernel starts; on CPU the wall clock
    does.
    """
    deadline = time.perf_counter() + seconds
    for _ in range(warm_up):
        for work in phases.values():
            work()
        if time.perf_counter() > deadline:
            break
    repetition = _repetition_on_cpu
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)
        repetition = partial(_repetition_on_cuda, device)
    times: list[list[float]] = []
    deadline = time.perf_counter() + seconds
    while len(times) < at_least or (len(times) < at_most and time.perf_counter() < deadline):
        times.append(repetition(list(phases.values())))
    quartiles = np.percentile(times, (25, 50, 75), axis=0)
    return {
        name: Duration(float(median), float(lower), float(upper), len(times))
        for name, (lower, median, upper) in zip(phases, quartiles.T, strict=True)
    }


def _repetition_on_cpu(works: list[Callable[[], object]]) -> list[float]:
    """Milliseconds of each work."""
    ticks = [time.perf_counter()]
    for work in works:
        work()
        ticks.append(time.perf_counter())
    return [1000.0 * float(span) for span in np.diff(ticks)]


def _repetition_on_cuda(device: torch.device, works: list[Callable[[], object]]) -> list[float]:
    """Milliseconds of each work; the host waits once, behind the last."""
    import torch

    # Of this device: the current one is another where the device was chosen by number.
    stream = torch.cuda.current_stream(device)
    events = [torch.cuda.Event(enable_timing=True) for _ in range(len(works) + 1)]
    events[0].record(stream)
    for work, event in zip(works, events[1:], strict=True):
        work()
        event.record(stream)
    events[-1].synchronize()
    return [float(start.elapsed_time(end)) for start, end in pairwise(events)]
