"""Features of images of which one modality, or each of both, comes from a cache of corrupted images."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import numpy as np

from vibench.corruption import Corruption
from vibench.data.cache import ImageCache
from vibench.data.corruption.imagenet_c import library_versions
from vibench.datasets.index import SampleIndex
from vibench.evaluation.features import Features
from vibench.runtime.memory import largest_memory
from vibench.scoring.extraction import Extraction

ExtractFrom = Callable[[ImageCache, SampleIndex, np.ndarray | None], Extraction]
"""Embeds images, with the attributes of their people or None, out of a cache."""


def extract_apart(
    caches: Mapping[str, ImageCache], index: SampleIndex, attributes: np.ndarray | None, extract: ExtractFrom
) -> Extraction:
    """What ``extract`` makes of ``index``, each modality out of its own of the ``caches``.

    Batches hold one modality anyway, so that every image meets the network beside the same others. The speed is that of
    all images together, the memory the larger one.
    """
    modalities = index["modality"].to_numpy(dtype=str)
    parts: list[tuple[np.ndarray, Extraction]] = []
    for modality, cache in caches.items():
        places = np.flatnonzero(modalities == modality)
        if len(places):
            codes = None if attributes is None else attributes[places]
            parts.append((places, extract(cache, index.iloc[places], codes)))
    first = parts[0][1].features
    arrays = {
        name: _whole([(places, one.features.extras[name]) for places, one in parts], len(index))
        for name in first.extras
    }
    features = Features(
        _whole([(places, one.features.features) for places, one in parts], len(index)),
        paths=tuple(index["path"]),
        extras=arrays,
        meta=first.meta,
    )
    seconds = sum(len(places) / one.images_per_second for places, one in parts)
    return Extraction(features, len(index) / seconds, largest_memory([one.memory for _, one in parts]))


def corruption_note(corruption: Corruption, caches: Mapping[str, ImageCache]) -> str:
    """Which pixels were evaluated: the libraries that made them, and a checksum of all that were corrupted."""
    crc = 0
    for modality in corruption.modalities:
        images = caches[modality].images
        for first in range(0, len(images), 1024):
            crc = zlib.crc32(np.ascontiguousarray(images[first : first + 1024]).data, crc)
    libraries = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    return f"corrupted pixels of CRC-32 {crc:08x}, made with {libraries}"


def _whole(parts: list[tuple[np.ndarray, np.ndarray]], rows: int) -> np.ndarray:
    whole = np.empty((rows, *parts[0][1].shape[1:]), dtype=np.float32)
    for places, values in parts:
        whole[places] = values
    return whole
