"""Features of many images, each process embedding some of them."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import torch

from vibench.datasets.index import SampleIndex
from vibench.distributed.world import World
from vibench.evaluation.features import Features
from vibench.modality import MODALITIES
from vibench.runtime.memory import PeakMemory
from vibench.scoring.extraction import BATCH_SIZE, Extraction

_EMBEDDING = ""
"""Name of the embedding among the arrays; no further feature is named so."""


def extract_jointly(
    index: SampleIndex,
    attributes: np.ndarray | None,
    extract: Callable[[SampleIndex, np.ndarray | None], Extraction],
    world: World,
) -> Extraction:
    """What ``extract`` makes of ``index`` and ``attributes``, from shares of them, whole on every process.

    Images are dealt by the batch, so that each meets the network beside the same others, and gets the same features
    to the last bit, as in one process. The memory is that of this process, the speed that of all.
    """
    if world.size == 1:
        return extract(index, attributes)
    places = dealt_batches(index, world.size)
    own = places[world.rank]
    found = None
    if len(own):
        found = extract(index.iloc[own], None if attributes is None else attributes[own])
    arrays = {} if found is None else {_EMBEDDING: found.features.features, **found.features.extras}
    # Process 0 has a share whenever there is an image, and says what there is to the others.
    widths = json.loads(world.from_leader(lambda: json.dumps([[name, *arrays[name].shape[1:]] for name in arrays])))
    whole = {name: _gathered(arrays.get(name), tuple(shape), places, world) for name, *shape in widths}
    seconds = 0.0 if found is None else len(own) / found.images_per_second
    slowest = max(float(of_one) for of_one in world.gather(torch.tensor([seconds], dtype=torch.float64)))
    features = Features(
        whole.pop(_EMBEDDING),
        paths=tuple(index["path"]),
        extras=whole,
        meta=json.loads(world.from_leader(lambda: json.dumps({} if found is None else found.features.meta))),
    )
    memory = PeakMemory() if found is None else found.memory
    return Extraction(features, len(index) / slowest, memory)


def dealt_batches(index: SampleIndex, size: int) -> list[np.ndarray]:
    """Per process, places (int64) of its images in ``index``: whole batches of one modality, as many for each."""
    modalities = index["modality"].to_numpy(dtype=str)
    batches = []
    for modality in MODALITIES:
        places = np.flatnonzero(modalities == modality)
        batches += [places[first : first + BATCH_SIZE] for first in range(0, len(places), BATCH_SIZE)]
    chunks = np.array_split(np.arange(len(batches)), size)
    return [np.concatenate([np.empty(0, dtype=np.int64), *(batches[number] for number in chunk)]) for chunk in chunks]


def _gathered(own: np.ndarray | None, shape: tuple[int, ...], places: list[np.ndarray], world: World) -> np.ndarray:
    """The rows of all processes at their places, (N, ...) float32."""
    padded = torch.zeros((max(map(len, places)), *shape))
    if own is not None:
        padded[: len(own)] = torch.from_numpy(own)
    whole = np.empty((sum(map(len, places)), *shape), dtype=np.float32)
    for rows, of_one in zip(places, world.gather(padded), strict=True):
        whole[rows] = of_one[: len(rows)].numpy()
    return whole
