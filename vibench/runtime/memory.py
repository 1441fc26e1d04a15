"""Memory: the peak of a block of code (CUDA allocator statistics, or the resident set of the process), what is left."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SAMPLING_INTERVAL = 0.005
"""Seconds between two readings of the resident set."""


@dataclass(frozen=True)
class PeakMemory:
    """Highest memory use during a block, in bytes; None where it was not measured."""

    allocated: int | None = None
    """CUDA: bytes in tensors (``torch.cuda.max_memory_allocated``)."""
    reserved: int | None = None
    """CUDA: bytes held by the caching allocator (``torch.cuda.max_memory_reserved``)."""
    resident: int | None = None
    """CPU: resident set of the whole process, the interpreter and libraries included."""

    @property
    def headline(self) -> int | None:
        """The figure a table shows: allocated on CUDA, resident on CPU."""
        return self.allocated if self.allocated is not None else self.resident


def largest_memory(peaks: Sequence[PeakMemory]) -> PeakMemory:
    """The highest use of each kind in any of several blocks."""

    def largest(kind: str) -> int | None:
        return max((size for peak in peaks if (size := getattr(peak, kind)) is not None), default=None)

    return PeakMemory(largest("allocated"), largest("reserved"), largest("resident"))


class PeakMemoryReading:
    """Filled when the block of `measure_peak_memory` ends."""

    def __init__(self) -> None:
        self.peak = PeakMemory()


@contextmanager
def measure_peak_memory(device: str = "cpu") -> Iterator[PeakMemoryReading]:
    """Measure the peak memory of the block; read ``.peak`` after it.

    On CUDA the allocator's peak statistics are reset at the start, so blocks must not be nested. On CPU a thread
    samples the resident set every `SAMPLING_INTERVAL` seconds and once at either end: an allocation that lives
    shorter than the interval can be missed, one alive at the end of the block cannot.
    """
    reading = PeakMemoryReading()
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield reading
        torch.cuda.synchronize(device)
        reading.peak = PeakMemory(torch.cuda.max_memory_allocated(device), torch.cuda.max_memory_reserved(device))
        return
    sampler = _ResidentSampler()
    sampler.start()
    try:
        yield reading
    finally:
        reading.peak = PeakMemory(resident=sampler.finish())


def release_cached_memory(device: str = "cpu") -> None:
    """Hand what the CUDA allocator keeps for later back, so that the next block's reserved memory is its own."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()


def resident_bytes() -> int | None:
    """Resident set of this process in bytes, or None where the system does not tell."""
    try:
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    import sys

    # Without /proc only the peak since the start of the process is known; macOS counts it in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def available_bytes() -> int | None:
    """Memory that the system can still give to processes, in bytes; None where it does not tell."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


class _ResidentSampler(threading.Thread):
    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._ended = threading.Event()
        self._peak = resident_bytes()

    def _sample(self) -> None:
        now = resident_bytes()
        if now is not None:
            self._peak = max(self._peak or 0, now)

    def run(self) -> None:
        while not self._ended.wait(SAMPLING_INTERVAL):
            self._sample()

    def finish(self) -> int | None:
        self._ended.set()
        self.join()
        self._sample()
        return self._peak
