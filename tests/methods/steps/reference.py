"""One file ``NAME.npz``: a few training steps of an official code, and all that is needed to repeat them."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vibench.data.batch import Batch

FOLDER = Path(__file__).parent
REFERENCES = tuple(sorted(path.stem for path in FOLDER.glob("*.npz")))

_BLOCK = 1 << 16
"""Numbers that are drawn at a time, so that they stay in the processor's cache."""


@dataclass(frozen=True)
class Reference:
    """A file of README.md's format."""

    setup: dict[str, Any]
    arrays: dict[str, np.ndarray]
    rows: dict[str, int]
    """Row of every tensor, by its name in vibench's state dict."""

    def initial(self, name: str, shape: Sequence[int]) -> Tensor:
        """What the tensor ``name`` starts with: float64 of ``shape``."""
        row = self.rows[name]
        seed, offset, scale, absolute = (
            self.arrays[f"fill_{column}"][row].item() for column in ("seed", "offset", "scale", "absolute")
        )
        drawn = _DRAWS[self.setup["random"]](seed, math.prod(shape))
        if absolute:
            np.abs(drawn, out=drawn)
        drawn *= scale
        drawn += offset
        values = torch.from_numpy(drawn).view(*shape)
        return values.float().double() if self.setup["float32"] else values

    def probe(self, name: str, count: int) -> Tensor:
        """The fixed direction that the ``count`` values of the tensor ``name`` are projected on."""
        return torch.from_numpy(_DRAWS[self.setup["random"]](self.arrays["probe_seed"][self.rows[name]].item(), count))

    def batch(self, number: int) -> Batch:
        """The batch of step ``number``, its images normalised in float64."""
        setup = self.setup
        labels = torch.from_numpy(self.arrays["labels"][number])
        block = len(labels) // (setup["views"] + 1)
        modality = torch.arange(len(labels)).ge(len(labels) - block).long()
        images = (self._pixels(setup["steps"][number]) / 255.0 - setup["mean"]) / setup["std"]
        return Batch(
            images=torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))),
            labels=labels,
            modality=modality,
            cameras=1 + 2 * modality,
            visible_views=setup["views"],
            **self._inputs(number),
        )

    def _inputs(self, number: int) -> dict[str, Any]:
        """The attributes or heatmaps of a step's images, all of them known."""
        inputs = {}
        if "attributes" in self.arrays:
            inputs["attributes"] = torch.from_numpy(self.arrays["attributes"][number]).double()
        if "heatmaps" in self.arrays:
            inputs["heatmaps"] = torch.from_numpy(self.arrays["heatmaps"][number])[:, None].double() / 255.0
        known = {f"{name}_known": torch.ones(len(values), dtype=torch.bool) for name, values in inputs.items()}
        return {**inputs, **known}

    def _pixels(self, step: dict[str, Any]) -> np.ndarray:
        """uint8 (N, H, W, 3) of an entry of ``setup["steps"]``."""
        stored = self.arrays.get("pixels")
        pixels = self._drawn_pictures(step["pixels"]) if stored is None else stored[step["pixels"]]
        pixels = np.roll(pixels, step["roll"], axis=1)
        return pixels[:, :, ::-1] if step["mirror"] else pixels

    def _drawn_pictures(self, number: int) -> np.ndarray:
        """Batch ``number`` of a reference without pixels: smooth pictures, alike within an identity."""
        given, views = self.setup["pictures"], self.setup["views"]
        p, k, height, width = (given[key] for key in ("identities", "images", "height", "width"))
        random = np.random.Generator(np.random.PCG64([given["seed"], number]))
        random.choice(given["classes"], p, replace=False)  # the labels, which are stored
        coarse = random.uniform(0, 255, (p, 6, 3, 3))
        blocks = []
        for view in range(views + 1):
            tint = random.uniform(0.6, 1.0, 3) if view < views else np.full(3, 0.5)
            cells = np.repeat(coarse, k, axis=0) + random.normal(0, 60, (p * k, 6, 3, 3))
            image = np.kron(cells, np.ones((1, height // 6, width // 3, 1)))
            blocks.append(np.clip((image + random.normal(0, 20, image.shape)) * tint, 0, 255))
        pixels = np.concatenate(blocks).astype(np.uint8)
        assert zlib.crc32(pixels.tobytes()) == given["crc32"][number], "this NumPy draws other pictures than the file's"
        return pixels


def read_reference(name: str) -> Reference:
    """The reference ``name``, one of `REFERENCES`."""
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as stored:
        arrays = {key: stored[key] for key in stored.files}
    return Reference(
        json.loads(str(arrays["setup"])), arrays, {str(key): row for row, key in enumerate(arrays["names"])}
    )


def _pcg64(seed: int, count: int) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(seed)).standard_normal(count)


def _mt19937(seed: int, count: int) -> np.ndarray:
    return np.asarray(np.random.RandomState(seed).standard_normal(count))


def _splitmix64(seed: int, count: int) -> np.ndarray:
    """Uniform in [-1, 1), by Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014."""
    start = np.uint64(seed * 0xD1342543DE82EF95 % 2**64)
    drawn = np.empty(count)
    for first in range(0, count, _BLOCK):
        z = np.arange(first + 1, min(first + _BLOCK, count) + 1, dtype=np.uint64)
        z *= np.uint64(0x9E3779B97F4A7C15)
        z += start
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            z ^= z >> np.uint64(shift)
            z *= np.uint64(factor)
        z ^= z >> np.uint64(31)
        drawn[first : first + len(z)] = (z >> np.uint64(11)) * 2.0**-52 - 1.0
    return drawn


_DRAWS: dict[str, Callable[[int, int], np.ndarray]] = {
    "pcg64": _pcg64,
    "mt19937": _mt19937,
    "splitmix64": _splitmix64,
}
"""Seed and count to float64 numbers, by the name in ``setup["random"]``."""
