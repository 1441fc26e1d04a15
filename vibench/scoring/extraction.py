"""Checkpoint -> features: every test image passes the network once, for all protocols and trials of its data set."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vibench.data.cache import ImageCache
from vibench.data.normalise import normalise
from vibench.data.pixels import images_on_device
from vibench.datasets.index import SampleIndex
from vibench.errors import UsageError, VibenchError, suggestion
from vibench.evaluation.features import Features
from vibench.methods.base import Method
from vibench.modality import MODALITIES
from vibench.runtime.devices import Precision, compile_function
from vibench.runtime.memory import PeakMemory, measure_peak_memory
from vibench.runtime.progress import Progress, silent

EMBEDDING = "embedding"
BATCH_SIZE = 64

WARM_UP = 3
"""Batches of each modality that compiled code meets before the time counts: it is compiled, tried, and recorded."""


@dataclass(frozen=True)
class Extraction:
    """Features and what they cost."""

    features: Features
    """Rows in the order of the index."""
    images_per_second: float
    """From cached pixels to features on the host."""
    memory: PeakMemory
    notes: tuple[str, ...] = ()
    """What a result from these images must say."""


def extract_features(
    method: Method,
    cache: ImageCache,
    index: SampleIndex,
    *,
    device: torch.device,
    precision: Precision,
    compiled: bool = False,
    batch_size: int = BATCH_SIZE,
    attributes: np.ndarray | None = None,
    extras: bool = False,
    feature: str = EMBEDDING,
    meta: dict[str, Any] | None = None,
    progress: Progress = silent,
) -> Extraction:
    """Embed the images of ``index`` with a method that is in eval mode on ``device``.

    Each modality passes in batches of its own. ``attributes`` (N, 8) are those of the images' people, for a method that
    takes them (`Method.embed_with_attributes`). With ``extras``, what `Method.embed` returns beside the embedding is
    kept as further arrays. ``feature`` names what of it takes the embedding's place, flattened to one row per image.
    ``compiled``: by `torch.compile`, on a GPU with CUDA graphs; the time that compiling takes is not counted, nor is
    that in which a GPU loads its libraries.
    Raises `UsageError` where the method has no such feature or was trained on images of another size, and
    `VibenchError` where a feature is NaN or infinite.
    """
    _check_size(method, cache)
    # The layout that images come in; a GPU would turn the weights of every convolution around at every batch.
    method.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rows = np.asarray(cache.rows(index["path"]), dtype=np.int64)
    batches = _batches(index["modality"].to_numpy(dtype=str), batch_size)
    embed = _Embedder(method, precision, batch_size if compiled else None)
    places = [embed.padded(batch.places) for batch in batches]
    codes = _codes_of_batches(attributes, places, device)
    read = [rows[padded] for padded in places]
    if warm_up := uncounted_batches(device.type, compiled):
        for batch, of_batch, known in _first_of_each_modality(batches, read, codes):
            for pixels in images_on_device(cache.images, [of_batch] * warm_up, device):
                embed(pixels, batch.modality, known)
    results = _Results(len(index), device)
    start = time.perf_counter()
    with (
        precision.float32_products(),
        progress(f"extracting {method.name} features", len(index)) as advance,
        measure_peak_memory(str(device)) as memory,
        closing(images_on_device(cache.images, read, device)) as pixels_of_batches,
    ):
        for batch, pixels, known in zip(batches, pixels_of_batches, codes, strict=True):
            outputs = embed(pixels, batch.modality, known)
            ranked = {EMBEDDING: _named(outputs, feature, method)}
            results.add({**(outputs if extras else {}), **ranked}, batch.places)
            advance(len(batch.places))
        arrays = results.arrays()
    seconds = time.perf_counter() - start
    embedding = arrays.pop(EMBEDDING)
    finite = np.isfinite(embedding).all(axis=1)
    if not finite.all():
        raise VibenchError(
            f"{method.name} gives a NaN or infinite embedding for {index['path'].iloc[int(np.argmin(finite))]} and "
            f"{int((~finite).sum())} of {len(index)} images; try --amp off, or train anew with a lower rate."
        )
    features = Features(embedding, paths=tuple(index["path"]), extras=arrays, meta=meta or {})
    return Extraction(features, len(index) / seconds, memory.peak)


def uncounted_batches(device_type: str, compiled: bool) -> int:
    """How many batches of a modality are embedded before the clock starts."""
    if compiled:
        return WARM_UP
    return 1 if device_type == "cuda" else 0


def _check_size(method: Method, cache: ImageCache) -> None:
    trained, (height, width) = method.recipe.input, cache.images.shape[1:3]
    if (trained.height, trained.width) != (height, width):
        raise UsageError(
            f"{cache.folder}: holds images of {height}x{width}, but {method.name} was trained on "
            f"{trained.height}x{trained.width}; open the cache of that size."
        )


@dataclass(frozen=True)
class _ModalityBatch:
    """Images that pass the network together."""

    places: np.ndarray
    """(B,) rows of the index."""
    modality: str


def _batches(modalities: np.ndarray, size: int) -> list[_ModalityBatch]:
    """All rows of the index, modality after modality, at most ``size`` together."""
    places = {modality: np.flatnonzero(modalities == modality) for modality in MODALITIES}
    return [
        _ModalityBatch(rows[first : first + size], modality)
        for modality, rows in places.items()
        for first in range(0, len(rows), size)
    ]


def _codes_of_batches(
    attributes: np.ndarray | None, places: list[np.ndarray], device: torch.device
) -> Sequence[Tensor | None]:
    """The attributes of every batch, on ``device``; all in one copy, because a GPU would wait for one per batch."""
    if attributes is None or not places:
        return [None] * len(places)
    codes = torch.from_numpy(attributes[np.concatenate(places)]).to(device, torch.float32)
    return codes.split([len(batch) for batch in places])


def _first_of_each_modality(
    batches: list[_ModalityBatch], *others: Sequence[Any]
) -> list[tuple[_ModalityBatch, Any, Any]]:
    """The first batch of every modality that there is, with its entries in ``others``."""
    first = {batch.modality: place for place, batch in reversed(list(enumerate(batches)))}
    return [(batches[place], *(other[place] for other in others)) for place in first.values()]


class _Embedder:
    """A method's embedding of cached pixels: as it is, or compiled for batches of one size."""

    def __init__(self, method: Method, precision: Precision, compiled_size: int | None) -> None:
        self._method = method
        self._precision = precision
        self._compiled_size = compiled_size
        self._embed: Callable[..., dict[str, Tensor]] = self._eager
        if compiled_size is not None:
            self._embed = compile_function(self._eager, precision.device_type, graphs=True)

    def padded(self, places: np.ndarray) -> np.ndarray:
        """``places`` of a batch, for compiled code with the last one repeated up to the size of all batches."""
        return np.pad(places, (0, max(0, (self._compiled_size or 0) - len(places))), mode="edge")

    @torch.inference_mode()
    def __call__(self, pixels: Tensor, modality: str, attributes: Tensor | None) -> dict[str, Tensor]:
        """What the method makes of ``pixels`` (B, H, W, 3) uint8 of people with ``attributes`` (B, 8)."""
        images = normalise(pixels)
        if self._compiled_size is not None:
            # The results of the latest replay of a CUDA graph are on their way to the host before the next begins.
            torch.compiler.cudagraph_mark_step_begin()
        with self._precision.autocast():
            return self._embed(images, modality, attributes)

    def _eager(self, images: Tensor, modality: str, attributes: Tensor | None) -> dict[str, Tensor]:
        if attributes is not None:
            return self._method.embed_with_attributes(images, modality, attributes)
        return self._method.embed(images, modality)


class _Results:
    """What the network gave, gathered on the host one batch late, so that a GPU has the next to work on meanwhile."""

    def __init__(self, count: int, device: torch.device) -> None:
        self._count = count
        self._device = device
        self._arrays: dict[str, np.ndarray] = {}
        self._on_the_way: tuple[dict[str, Tensor], np.ndarray, torch.cuda.Event | None] | None = None

    def add(self, outputs: dict[str, Tensor], places: np.ndarray) -> None:
        """Row i of ``outputs`` is for row ``places[i]`` of the index; what lies behind was padding."""
        copies = {name: _to_host(values[: len(places)].float()) for name, values in outputs.items()}
        arrived = None
        if self._device.type == "cuda":
            arrived = torch.cuda.current_stream(self._device).record_event()
        self._take_over()
        self._on_the_way = copies, places, arrived

    def arrays(self) -> dict[str, np.ndarray]:
        """By name, float32 (N, ...) in the order of the index."""
        self._take_over()
        return self._arrays

    def _take_over(self) -> None:
        if self._on_the_way is None:
            return
        copies, places, arrived = self._on_the_way
        self._on_the_way = None
        if arrived is not None:
            arrived.synchronize()
        for name, values in copies.items():
            if name not in self._arrays:
                self._arrays[name] = np.empty((self._count, *values.shape[1:]), dtype=np.float32)
            self._arrays[name][places] = values.numpy()


def _to_host(values: Tensor) -> Tensor:
    """A copy on the host; of a GPU's tensor one that is still on its way."""
    if not values.is_cuda:
        return values
    return torch.empty(values.shape, dtype=values.dtype, pin_memory=True).copy_(values, non_blocking=True)


def _named(outputs: dict[str, Tensor], feature: str, method: Method) -> Tensor:
    """One of the features of a batch, (B, D)."""
    if feature not in outputs:
        label = f"{method.name} {method.recipe.variant}".strip()
        raise UsageError(
            f"--feature {feature}: {label} has no such feature{suggestion(feature, tuple(outputs))}; it has "
            f"{', '.join(outputs)}."
        )
    return outputs[feature].flatten(1)
