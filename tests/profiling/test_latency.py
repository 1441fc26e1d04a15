"""Durations: what is timed, how often, and the spread."""

from __future__ import annotations

import time

import pytest
import torch

from vibench.profiling.latency import measure_duration

CPU = torch.device("cpu")


def test_median_is_that_of_the_work() -> None:
    found = measure_duration(lambda: time.sleep(0.02), CPU, seconds=0.1)
    assert 20.0 <= found.lower_quartile <= found.median <= found.upper_quartile
    # Generous: the machine may be busy.
    assert found.median < 200.0


def test_warm_up_is_not_measured() -> None:
    calls = []

    def work() -> None:
        calls.append(None)
        if len(calls) <= 2:
            time.sleep(0.05)

    found = measure_duration(work, CPU, warm_up=2, at_least=5, at_most=5, seconds=10.0)
    assert len(calls) == 7
    assert found.repetitions == 5
    assert found.median < 25.0


@pytest.mark.parametrize(("seconds", "repetitions"), [(0.0, 4), (60.0, 9)])
def test_repetitions_keep_their_bounds(seconds: float, repetitions: int) -> None:
    assert measure_duration(lambda: None, CPU, at_least=4, at_most=9, seconds=seconds).repetitions == repetitions


def test_slow_work_is_warmed_up_once() -> None:
    calls = []
    measure_duration(lambda: calls.append(None), CPU, warm_up=3, at_least=2, seconds=0.0)
    assert len(calls) == 1 + 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_work_is_timed_to_its_end() -> None:
    device = torch.device("cuda")
    matrix = torch.randn(8192, 8192, device=device)
    found = measure_duration(lambda: matrix @ matrix, device, seconds=1.0)
    # 1.1 TFLOP in float32 take more than launching the kernel does.
    assert 1.0 < found.median < 1000.0


def test_cuda_work_is_timed_on_the_stream_of_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--device cuda:1` leaves cuda:0 the current device, whose stream is empty."""
    recorded = []

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            assert enable_timing

        def record(self, stream: object = None) -> None:
            recorded.append(stream)

        def synchronize(self) -> None:
            pass

        def elapsed_time(self, end: Event) -> float:
            return 1.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: f"stream of {device}")
    measure_duration(lambda: None, torch.device("cuda:1"), warm_up=0, at_least=2, at_most=2)
    assert recorded == ["stream of cuda:1"] * 4
