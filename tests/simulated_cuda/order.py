"""What comes before what: streams, events, the host that waits for them, and memory that several of them use.

A stream works off what it is given in order; between streams, and between a stream and the host, only a wait makes
order. Each has a clock: how far it has waited for every stream. What uses memory without having waited for its last
writer, or writes it without having waited for its readers, is a race, whatever happens to come out of it.
"""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from tests.simulated_cuda.hook import DEVICES

CAPACITY = 24 << 30
"""Bytes of memory of each device."""

LOCK = threading.RLock()


class Fault(RuntimeError):
    """What is undefined on a GPU."""


Clock = dict["Stream", int]


def _join(one: Clock, other: Clock) -> None:
    for stream, count in other.items():
        if count > one.get(stream, 0):
            one[stream] = count


class Stream:
    """As `torch.cuda.Stream`."""

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self.device = torch.device("cuda", device_index(device))
        self.number = next(_NUMBERS)
        self.clock: Clock = {}
        self.count = 0
        self.busy = 0.0
        """Seconds that its kernels took."""
        _STREAMS.append(self)

    def __repr__(self) -> str:
        return f"stream {self.number} of {self.device}"

    def launch(self) -> int:
        """The number of a kernel that the stream is given now."""
        _join(self.clock, HOST.clock)
        self.count += 1
        self.clock[self] = self.count
        return self.count

    def wait_event(self, event: Event) -> None:
        with LOCK:
            _join(self.clock, event.clock)
            self.busy = max(self.busy, event.busy)

    def wait_stream(self, stream: Stream) -> None:
        self.wait_event(stream.record_event())

    def record_event(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record(self)
        return event

    def synchronize(self) -> None:
        HOST.wait({self: self.count} | self.clock)

    def query(self) -> bool:
        return HOST.clock.get(self, 0) >= self.count


class Event:
    """As `torch.cuda.Event`; time is that of the stream's kernels, so that an idle stream's does not pass."""

    def __init__(self, enable_timing: bool = False, **_: Any) -> None:
        self.clock: Clock = {}
        self.busy = 0.0
        self._timed = enable_timing

    def record(self, stream: Stream | None = None) -> None:
        with LOCK:
            stream = stream or current_stream()
            _join(stream.clock, HOST.clock)
            self.clock = {**stream.clock, stream: stream.count}
            self.busy = stream.busy

    def wait(self, stream: Stream | None = None) -> None:
        (stream or current_stream()).wait_event(self)

    def synchronize(self) -> None:
        HOST.wait(self.clock)

    def query(self) -> bool:
        return all(HOST.clock.get(stream, 0) >= count for stream, count in self.clock.items())

    def elapsed_time(self, end: Event) -> float:
        if not (self._timed and end._timed):
            raise ValueError("both events must be made with enable_timing=True")
        if not end.query():
            raise RuntimeError("device not ready: nobody waited for the event")
        return 1000.0 * (end.busy - self.busy)


@dataclass
class Host:
    """What runs Python; all its threads are one."""

    clock: Clock = field(default_factory=dict)
    debug: str = "default"
    """As `torch.cuda.set_sync_debug_mode`."""
    downloads: list[tuple[Stream, int, Callable[[], None]]] = field(default_factory=list)
    """Copies to pinned memory that are on their way: behind which kernel, and what they do."""

    def wait(self, clock: Clock) -> None:
        """Until the streams have come so far."""
        with LOCK:
            _join(self.clock, clock)
            arrived = [one for one in self.downloads if self.clock.get(one[0], 0) >= one[1]]
            self.downloads = [one for one in self.downloads if self.clock.get(one[0], 0) < one[1]]
            for *_, land in arrived:
                land()

    def wait_within_operation(self, stream: Stream, why: str) -> None:
        """For an operation that cannot be given to a stream and left alone."""
        if self.debug == "error":
            raise RuntimeError(f"called a synchronizing CUDA operation: {why}")
        stream.synchronize()


@dataclass
class _Use:
    """Of a block that was handed back."""

    stream: Stream
    count: int


class Block:
    """A piece of a device's memory, as the caching allocator hands it out to a stream."""

    def __init__(self, stream: Stream, count: int, size: int) -> None:
        self.home = stream
        self.size = size
        self.written = (stream, count)
        self.readers: Clock = {}
        self.recorded: set[Stream] = set()
        self.uploads: list[Callable[[], None]] = []
        """Copies from pinned memory that nobody has needed yet."""

    def read(self, stream: Stream, count: int) -> None:
        self._behind_writer(stream)
        self.readers[stream] = count
        self._land()

    def write(self, stream: Stream, count: int) -> None:
        self._behind_writer(stream)
        for reader, at in self.readers.items():
            if stream.clock.get(reader, 0) < at:
                raise Fault(f"{stream} writes what {reader} may still read; it has not waited for it.")
        self.written = (stream, count)
        self.readers = {}
        self._land()

    def _behind_writer(self, stream: Stream) -> None:
        writer, at = self.written
        if stream.clock.get(writer, 0) < at:
            raise Fault(f"{stream} uses what {writer} may still write; it has not waited for it.")

    def _land(self) -> None:
        uploads, self.uploads = self.uploads, []
        for land in uploads:
            land()

    def __del__(self) -> None:
        with LOCK:
            memory = MEMORY[self.home.device.index]
            memory.allocated -= self.size
            uses = [_Use(*self.written), *(_Use(stream, count) for stream, count in self.readers.items())]
            others = [use for use in uses if use.stream is not self.home and use.stream not in self.recorded]
            if others:
                memory.handed_back[self.home] += others


class Memory:
    """Of one device."""

    def __init__(self) -> None:
        self.capacity = CAPACITY
        self.allocated = self.peak = self.reserved = self.peak_reserved = 0
        self.handed_back: defaultdict[Stream, list[_Use]] = defaultdict(list)

    def take(self, size: int) -> None:
        self.allocated += size
        self.peak = max(self.peak, self.allocated)
        self.reserved = max(self.reserved, self.allocated)
        self.peak_reserved = max(self.peak_reserved, self.reserved)


def allocate(stream: Stream, count: int, size: int) -> Block:
    """``size`` bytes that the kernel ``count`` of a stream writes.

    Raises `torch.OutOfMemoryError`, and `Fault` where the memory may be what another stream still uses.
    """
    memory = MEMORY[stream.device.index]
    if memory.allocated + size > memory.capacity:
        raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate {size} bytes on {stream.device}.")
    for use in memory.handed_back.pop(stream, []):
        if stream.clock.get(use.stream, 0) < use.count:
            raise Fault(
                f"memory of {stream} was handed back while {use.stream} may still use it, and is handed out again; "
                "record_stream, or a wait, is missing."
            )
    memory.take(size)
    return Block(stream, count, size)


class _Current(threading.local):
    """Of a thread."""

    def __init__(self) -> None:
        self.device = 0
        self.streams: dict[int, Stream] = {}


def device_index(device: Any = None) -> int:
    """The number of ``device``, which may be a number, a name, or None for the current one."""
    if device is None:
        return CURRENT.device
    if isinstance(device, int):
        return device
    index = torch.device(device).index
    return CURRENT.device if index is None else index


def current_stream(device: Any = None) -> Stream:
    index = device_index(device)
    return CURRENT.streams.get(index) or DEFAULT_STREAMS[index]


def synchronize(device: Any = None) -> None:
    """Wait for all streams of a device."""
    index = device_index(device)
    HOST.wait({stream: stream.count for stream in _STREAMS if stream.device.index == index})


_NUMBERS = itertools.count()
_STREAMS: list[Stream] = []
CURRENT = _Current()
HOST = Host()
MEMORY = [Memory() for _ in range(DEVICES)]
DEFAULT_STREAMS = [Stream(index) for index in range(DEVICES)]
