"""Checkpoint -> features: every test image passes the network once, for all protocols and trials of its data set."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vibench.data.cache import ImageCache
from vibench.data.normalise import normalise
from vibench.datasets.index import SampleIndex
from vibench.devices import Precision
from vibench.errors import UsageError, VibenchError, suggestion
from vibench.evaluation.features import Features
from vibench.methods.base import Method
from vibench.modality import MODALITIES
from vibench.profiling.memory import PeakMemory, measure_peak_memory
from vibench.progress import Progress, silent

EMBEDDING = "embedding"


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
    batch_size: int = 64,
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
    Raises `UsageError` where the method has no such feature or was trained on images of another size, and
    `VibenchError` where a feature is NaN or infinite.
    """
    _check_size(method, cache)
    rows = cache.rows(index["path"])
    modalities = index["modality"].to_numpy(dtype=str)
    arrays: dict[str, np.ndarray] = {}
    start = time.perf_counter()
    with (
        progress(f"extracting {method.name} features", len(index)) as advance,
        measure_peak_memory(str(device)) as memory,
    ):
        for modality in MODALITIES:
            places = np.flatnonzero(modalities == modality)
            for first in range(0, len(places), batch_size):
                batch = places[first : first + batch_size]
                pixels = torch.from_numpy(cache.images[rows[batch]]).to(device, non_blocking=True)
                codes = None if attributes is None else torch.from_numpy(attributes[batch]).to(device, torch.float32)
                outputs = _embed(method, pixels, modality, precision, codes)
                ranked = {EMBEDDING: _named(outputs, feature, method)}
                for name, values in {**(outputs if extras else {}), **ranked}.items():
                    if name not in arrays:
                        arrays[name] = np.empty((len(index), *values.shape[1:]), dtype=np.float32)
                    arrays[name][batch] = values.float().cpu().numpy()
                advance(len(batch))
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


def _check_size(method: Method, cache: ImageCache) -> None:
    trained, (height, width) = method.recipe.input, cache.images.shape[1:3]
    if (trained.height, trained.width) != (height, width):
        raise UsageError(
            f"{cache.folder}: holds images of {height}x{width}, but {method.name} was trained on "
            f"{trained.height}x{trained.width}; open the cache of that size."
        )


def _named(outputs: dict[str, Tensor], feature: str, method: Method) -> Tensor:
    """One of the features of a batch, (B, D)."""
    if feature not in outputs:
        label = f"{method.name} {method.recipe.variant}".strip()
        raise UsageError(
            f"--feature {feature}: {label} has no such feature{suggestion(feature, tuple(outputs))}; it has "
            f"{', '.join(outputs)}."
        )
    return outputs[feature].flatten(1)


@torch.inference_mode()
def _embed(
    method: Method, pixels: Tensor, modality: str, precision: Precision, attributes: Tensor | None
) -> dict[str, Tensor]:
    with precision.autocast():
        if attributes is not None:
            return method.embed_with_attributes(normalise(pixels), modality, attributes)
        return method.embed(normalise(pixels), modality)
