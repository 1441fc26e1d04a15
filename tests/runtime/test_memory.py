"""Peak memory: at least what was allocated, and about as much."""

from __future__ import annotations

import threading

import pytest
import torch

from tests.profiling.toy import allocate
from vibench.runtime.memory import PeakMemory, measure_peak_memory, resident_bytes

MIB = 2**20


def test_peak_covers_an_allocation_that_outlives_the_block() -> None:
    before = resident_bytes()
    assert before is not None
    with measure_peak_memory() as reading:
        kept = allocate(200)
    assert reading.peak.resident is not None
    grown = reading.peak.resident - before
    assert 195 * MIB <= grown <= 400 * MIB
    assert reading.peak.allocated is None
    assert kept.nbytes == 200 * MIB


def test_peak_covers_an_allocation_that_is_gone_at_the_end() -> None:
    before = resident_bytes()
    assert before is not None
    with measure_peak_memory() as reading:
        temporary = allocate(200)
        # Longer than several sampling intervals.
        threading.Event().wait(0.1)
        del temporary
    assert reading.peak.resident is not None
    assert reading.peak.resident - before >= 195 * MIB


def test_sampling_ends_with_the_block_even_on_an_error() -> None:
    threads = threading.active_count()
    with pytest.raises(RuntimeError, match="inside"), measure_peak_memory() as reading:
        raise RuntimeError("inside")
    assert threading.active_count() == threads
    assert reading.peak.resident


def test_headline_is_allocated_on_cuda_and_resident_on_cpu() -> None:
    assert PeakMemory(allocated=1, reserved=2).headline == 1
    assert PeakMemory(resident=3).headline == 3
    assert PeakMemory().headline is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_peak_on_cuda() -> None:
    with measure_peak_memory("cuda") as reading:
        temporary = torch.ones(200 * MIB // 4, device="cuda")
        del temporary
    peak = reading.peak
    assert peak.allocated is not None and peak.reserved is not None and peak.resident is None
    assert peak.reserved >= peak.allocated >= 200 * MIB
    assert peak.allocated < 300 * MIB
