"""What matching a query costs as the gallery grows, on synthetic features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor

from vibench.errors import VibenchError
from vibench.methods.base import Method
from vibench.profiling.latency import measure_duration
from vibench.profiling.profile import GalleryCost, MatchingCost
from vibench.runtime.memory import available_bytes, measure_peak_memory, release_cached_memory, resident_bytes

GALLERIES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
QUERIES = 64
NEAREST = 20
"""Gallery images that are kept per query."""

CHUNK_BYTES = 64 << 20
"""Memory of the features of a chunk of the gallery."""
POOL_CHUNKS = 4
"""Chunks of features that exist. A larger gallery is these again and again: together they are larger than the caches of
processors, so that each pass reads them from memory, as it would different ones."""

_PATIENCE = 6
"""Times ``seconds`` that one block of queries may take."""

Distances = Callable[[Tensor, Tensor], Tensor]
"""(query (Q, D), gallery rows (R, D)) -> (Q, R)."""


@torch.inference_mode()
def profile_matching(
    method: Method,
    width: int,
    device: torch.device,
    *,
    seconds: float,
    galleries: Sequence[int] = GALLERIES,
) -> tuple[MatchingCost, ...]:
    """Measure the distance that ranks the images of ``method``, whose embeddings have ``width`` numbers, in float32.

    A block of `QUERIES` is compared with the whole gallery, and its `NEAREST` images are kept. A plain distance, and a
    method's own that looks at one pair at a time, meets the gallery in chunks, of which no distance is kept. One that
    looks at the whole gallery has it at once; where it looks at the other queries, query mode ``single`` is measured
    too. Galleries grow until the next does not fit or would take longer than six times ``seconds``.
    """
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(QUERIES, width, generator=generator).to(device)
    if not method.has_own_distance():
        plain: Distances = _cosine_distances if method.distance == "cosine" else torch.cdist
        if method.distance == "cosine":
            query = functional.normalize(query, dim=1)
        return (_chunked(plain, method.distance, query, seconds, galleries),)
    if method.test_time_information == "none":
        own = partial(method.distances, query_mode="all")
        return (_chunked(own, "method", query, seconds, galleries),)
    modes: tuple[Literal["all", "single"], ...] = ("all", "single")
    if "queries" not in method.test_time_information.split("+"):
        modes = ("all",)
    return tuple(_whole(partial(method.distances, query_mode=mode), mode, query, seconds, galleries) for mode in modes)


def nearest(query: Tensor, chunks: Iterator[Tensor], distances: Distances) -> tuple[Tensor, Tensor]:
    """Distances and gallery rows, (Q, `NEAREST`) each, of the nearest images, ascending; all of a smaller gallery."""
    best = torch.empty(len(query), 0, device=query.device)
    rows = torch.empty(len(query), 0, dtype=torch.int64, device=query.device)
    seen = 0
    for chunk in chunks:
        found = distances(query, chunk)
        values, columns = found.topk(min(NEAREST, len(chunk)), dim=1, largest=False)
        best, rows = torch.cat([best, values], dim=1), torch.cat([rows, columns + seen], dim=1)
        best, kept = best.topk(min(NEAREST, best.shape[1]), dim=1, largest=False)
        rows = rows.gather(1, kept)
        seen += len(chunk)
    return best, rows


def repeated_chunks(pool: Tensor, chunk: int, rows: int) -> Iterator[Tensor]:
    """A gallery of ``rows`` rows in chunks of at most ``chunk``, made of the rows of ``pool`` again and again."""
    at = 0
    while rows > 0:
        part = pool[at : at + min(chunk, rows)]
        yield part
        rows -= len(part)
        at = (at + len(part)) % len(pool)


def _cosine_distances(query: Tensor, gallery: Tensor) -> Tensor:
    """Of rows of length 1."""
    return 1.0 - query @ gallery.T


def _chunked(distances: Distances, name: str, query: Tensor, seconds: float, galleries: Sequence[int]) -> MatchingCost:
    width = query.shape[1]
    chunk = max(1, CHUNK_BYTES // (4 * width))
    pool = _noise(min(POOL_CHUNKS * chunk, max(galleries)), width, query.device)
    if name == "cosine":
        pool = functional.normalize(pool, dim=1)

    def prepare(rows: int) -> Callable[[], object]:
        return lambda: nearest(query, repeated_chunks(pool, chunk, rows), distances)

    found, left_out = _grow(prepare, galleries, query.device, seconds, power=1)
    return MatchingCost(name, "all", len(query), True, found, left_out)


def _whole(
    distances: Distances, mode: Literal["all", "single"], query: Tensor, seconds: float, galleries: Sequence[int]
) -> MatchingCost:
    def prepare(rows: int) -> Callable[[], object]:
        gallery = _noise(rows, query.shape[1], query.device)
        return lambda: nearest(query, iter([gallery]), distances)

    found, left_out = _grow(prepare, galleries, query.device, seconds, power=2)
    return MatchingCost("method", mode, len(query), False, found, left_out)


def _noise(rows: int, width: int, device: torch.device) -> Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(1)).to(device)


def _grow(
    prepare: Callable[[int], Callable[[], object]],
    galleries: Sequence[int],
    device: torch.device,
    seconds: float,
    power: int,
) -> tuple[tuple[GalleryCost, ...], str]:
    """The costs of one gallery after another, and why the last ones are left out.

    ``prepare`` makes the work on a gallery of so many rows; time, and with ``power`` 2 memory, is expected to grow
    with that power of the rows.
    """
    found: list[GalleryCost] = []
    before = resident_bytes()
    for rows in galleries:
        obstacle = _obstacle(found[-1], rows, device, before, seconds, power) if found else ""
        if obstacle:
            return tuple(found), obstacle
        release_cached_memory(str(device))
        try:
            with measure_peak_memory(str(device)) as memory:
                duration = measure_duration(prepare(rows), device, warm_up=1, at_least=1, seconds=seconds)
        except torch.OutOfMemoryError:
            if not found:
                raise VibenchError(f"matching {rows:,} synthetic features does not fit on {device}.") from None
            release_cached_memory(str(device))
            return tuple(found), f"a gallery of {rows:,} rows does not fit into the memory of the device"
        found.append(GalleryCost(rows, duration, memory.peak))
    return tuple(found), ""


def _obstacle(
    last: GalleryCost, rows: int, device: torch.device, before: int | None, seconds: float, power: int
) -> str:
    """Why a gallery of ``rows`` is not tried after the ``last`` one; empty where it is."""
    growth = (rows / last.rows) ** power
    expected = growth * last.duration.median / 1000.0
    if expected > _PATIENCE * seconds:
        return f"a gallery of {rows:,} rows would take about {expected:.0f} s per block of queries"
    free, peak = available_bytes(), last.memory.resident
    # A GPU says so itself when its memory ends; a process that takes all of the host's is killed.
    if device.type == "cpu" and power > 1 and free is not None and peak is not None and before is not None:
        needed = growth * (peak - before)
        if needed > free:
            return f"a gallery of {rows:,} rows would need about {needed / 2**30:.0f} GiB of memory"
    return ""
