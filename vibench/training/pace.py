"""How long methods' steps take on this machine, and how many of them fit into a time."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from vibench.training.log import read_log
from vibench.training.run import train
from vibench.training.spec import TrainingSpec

_EMBEDDING_SHARE = 0.35
"""Time to embed an image, as a share of the time to train on one: 0.27 to 0.33 on CPUs."""
_OVERHEADS = 2.0
"""How often a whole training pays what the measured one, of two epochs, paid outside of its steps."""
_PROBE_SECONDS = 0.3


@dataclass(frozen=True)
class Pace:
    """What a method needs, in seconds."""

    step: float
    overhead: float = 0.0
    """Of a training of two epochs, outside of its steps: start and checkpoints."""


@dataclass(frozen=True)
class Work:
    """What is to be done with every method alike."""

    epochs: int
    batch_size: int
    test_images: int
    """To be embedded once."""

    def seconds(self, batches_per_epoch: int, paces: Sequence[Pace]) -> float:
        """How long training and embedding take in all."""
        steps = self.epochs * batches_per_epoch + _EMBEDDING_SHARE * self.test_images / self.batch_size
        return sum(steps * pace.step + _OVERHEADS * pace.overhead for pace in paces)

    def fitting_batches(self, seconds: float, paces: Sequence[Pace]) -> int:
        """The most batches per epoch that take at most so many ``seconds``; 0 where not even one does."""
        left = seconds - self.seconds(0, paces)
        return max(0, int(left / (self.epochs * sum(pace.step for pace in paces))))


def measure_pace(spec: TrainingSpec, device: str, cache: Path | None = None) -> Pace:
    """Train two epochs as ``spec`` says and throw them away, ``spec.folder`` and what lies there included.

    Errors as `vibench.training.run.train`; `ValueError` for another number of epochs, or of no given length.
    """
    batches = spec.recipe.sampler.batches_per_epoch
    if spec.recipe.schedule.epochs != 2 or not batches or spec.folder is None:
        raise ValueError("a pace is measured on two epochs of a given length, in a folder of their own")
    shutil.rmtree(spec.folder, ignore_errors=True)
    start = time.monotonic()
    run = train(spec, device=device, cache=cache)
    # The first epoch chooses kernels and makes room in memory. A log counts hundredths of a second.
    first, second = (max(row["seconds"], 0.01) for row in read_log(run.log_path))
    overhead = time.monotonic() - start - first - second
    shutil.rmtree(spec.folder, ignore_errors=True)
    return Pace(second / batches, overhead)


def quickest_threads() -> int:
    """With how many threads PyTorch works fastest on the CPU now, up to as many as it takes by itself.

    Threads wait for one another at every layer: on busy or lent processors one alone can be many times as fast.
    """
    usual = torch.get_num_threads()
    counts = [usual, *(2**power for power in range(usual.bit_length()) if 2**power < usual)]
    return max(counts, key=_convolutions_per_second) if len(counts) > 1 else usual


def _convolutions_per_second(threads: int) -> float:
    """Of a layer as small networks have them."""
    layer, images = torch.nn.Conv2d(64, 64, 3, padding=1), torch.zeros(32, 64, 16, 8)
    with torch_threads(threads), torch.inference_mode():
        layer(images)
        done, start = 0, time.perf_counter()
        while (seconds := time.perf_counter() - start) < _PROBE_SECONDS:
            layer(images)
            done += 1
    return done / seconds


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let PyTorch work with so many threads on a CPU."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
