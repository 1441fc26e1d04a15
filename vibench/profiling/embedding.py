"""What embedding images costs: operations, latency of one image, throughput as the batch grows."""

from __future__ import annotations

import torch

from vibench.methods.base import Method
from vibench.modality import VISIBLE
from vibench.profiling.flops import count_flops
from vibench.profiling.latency import measure_duration
from vibench.profiling.profile import BatchCost, EmbeddingCost
from vibench.runtime.devices import Precision
from vibench.runtime.memory import available_bytes, measure_peak_memory, release_cached_memory, resident_bytes

PLATEAU = 1.05
"""Throughput that is less than this times the one of half the batch has reached its plateau."""

_LEAST_RUNS = 3


def profile_embedding(
    method: Method, device: torch.device, precision: Precision, *, seconds: float, largest: int
) -> EmbeddingCost:
    """Measure ``method``, in eval mode on ``device``, on batches of 1, 2, 4, ... up to ``largest`` visible images.

    The batches grow until throughput does not, memory ends, or a size would take longer than four times ``seconds``,
    which bounds the timing of each size (but for three runs of it). ``torch.OutOfMemoryError`` where not even one image
    fits.
    """
    size = method.recipe.input
    flops = count_flops(method, size.height, size.width)
    costs: list[BatchCost] = []
    before = resident_bytes()
    while True:
        ended = _end(costs, device, before, seconds, largest)
        if ended:
            return EmbeddingCost(flops, tuple(costs), ended)  # type: ignore[arg-type]  # one of its words
        images = 2 * costs[-1].images if costs else 1
        try:
            costs.append(_measure(method, device, precision, images, seconds))
        except torch.OutOfMemoryError:
            if not costs:
                raise
            release_cached_memory(str(device))
            return EmbeddingCost(flops, tuple(costs), "memory")


def _measure(method: Method, device: torch.device, precision: Precision, images: int, seconds: float) -> BatchCost:
    size = method.recipe.input
    generator = torch.Generator().manual_seed(0)
    batch = torch.randn(images, 3, size.height, size.width, generator=generator)
    batch = batch.to(device, memory_format=torch.channels_last)

    def embed() -> None:
        with torch.inference_mode(), precision.autocast():
            method.embed(batch, VISIBLE)

    release_cached_memory(str(device))
    with measure_peak_memory(str(device)) as memory:
        duration = measure_duration(embed, device, at_least=_LEAST_RUNS, seconds=seconds)
    return BatchCost(images, duration, memory.peak)


def _end(costs: list[BatchCost], device: torch.device, before: int | None, seconds: float, largest: int) -> str:
    """Why no batch twice as large follows; empty where one does."""
    if not costs:
        return ""
    last = costs[-1]
    if len(costs) > 1 and last.images_per_second < PLATEAU * costs[-2].images_per_second:
        return "plateau"
    if 2 * last.images > largest:
        return "limit"
    if (_LEAST_RUNS + 1) * 2 * last.duration.median > 4 * 1000.0 * seconds:
        return "time"
    free, peak = available_bytes(), last.memory.resident
    # A GPU says so itself when its memory ends; a process that takes all of the host's is killed.
    if device.type == "cpu" and None not in (free, peak, before) and 2 * (peak - before) > free:  # type: ignore[operator]
        return "memory"
    return ""
