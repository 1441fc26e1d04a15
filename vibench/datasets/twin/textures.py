"""Patterns in body coordinates: rows run down the garment, columns run once around it, the middle one is the front."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

ROWS = 96
COLUMNS = 128
"""A power of two, so that going round is a bit mask."""

_DOWN = ((np.arange(ROWS) + 0.5) / ROWS)[:, None]
_AROUND = ((np.arange(COLUMNS) + 0.5) / COLUMNS * 2.0 - 1.0)[None, :]
"""-1..1, 0 at the front, positive towards the person's left."""


def draw_texture(random: np.random.Generator, pattern: str) -> np.ndarray:
    """(ROWS, COLUMNS) float32 in 0..1: the share of the garment's second colour, for one named pattern."""
    flat = np.zeros((ROWS, COLUMNS))
    if pattern == "plain":
        texture = flat
    elif pattern == "horizontal":
        texture = flat + _stripes(_DOWN, int(random.integers(2, 6)), random)
    elif pattern == "vertical":
        texture = flat + _stripes(_AROUND, 2 * int(random.integers(3, 7)), random)
    elif pattern == "checks":
        down = _stripes(_DOWN, int(random.integers(2, 6)), random)
        texture = 0.5 * down + 0.5 * _stripes(_AROUND, 2 * int(random.integers(3, 7)), random)
    elif pattern == "blobs":
        texture = _blobs(random)
    elif pattern == "print":
        height, width = random.uniform(0.10, 0.22), random.uniform(0.14, 0.30)
        shape = np.hypot((_DOWN - random.uniform(0.28, 0.42)) / height, _AROUND / width)
        texture = _edge(1.0 - shape, 6.0)
        if random.random() < 0.5:
            texture = texture * (1.0 - _edge(0.45 - shape, 6.0))
    elif pattern == "band":
        middle, half = random.uniform(0.2, 0.75), random.uniform(0.05, 0.14)
        texture = flat + _edge(half - np.abs(_DOWN - middle), 40.0)
    elif pattern == "halves":
        texture = flat + _edge(_DOWN - random.uniform(0.3, 0.65), 40.0)
    elif pattern == "open":
        texture = _edge(random.uniform(0.06, 0.17) + 0.08 * _DOWN - np.abs(_AROUND), 40.0)
    elif pattern == "side":
        texture = flat + _edge(random.uniform(0.05, 0.10) - np.abs(np.abs(_AROUND) - 0.5), 40.0)
    else:
        raise ValueError(f"no pattern is named {pattern!r}")
    return texture.astype(np.float32)


def folds(random: np.random.Generator, strength: float) -> np.ndarray:
    """(ROWS, COLUMNS) float32 brightness factor around 1: cloth folds, slanted and smooth."""
    waves = 6
    down, around = random.uniform(-5.0, 5.0, waves), random.integers(-4, 5, waves)
    vertical = 2.0 * np.pi * (down * _DOWN + random.random(waves))
    horizontal = np.pi * around[:, None] * (_AROUND + 1.0)
    # sin(a + b) for all rows and columns at once.
    total = np.einsum("rw,wc->rc", np.sin(vertical), np.cos(horizontal))
    total += np.einsum("rw,wc->rc", np.cos(vertical), np.sin(horizontal))
    return (1.0 + 0.055 * strength * total).astype(np.float32)


@lru_cache(maxsize=1)
def head_maps() -> tuple[np.ndarray, np.ndarray]:
    """``_DOWN`` and ``_AROUND`` over the whole grid, for drawing a face in the head's texture."""
    shape = (ROWS, COLUMNS)
    return np.broadcast_to(_DOWN, shape), np.broadcast_to(_AROUND, shape)


def _stripes(position: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    duty = random.uniform(0.3, 0.6)
    wave = (position * 0.5 * count if position is _AROUND else position * count) + random.random()
    distance = np.abs(np.mod(wave, 1.0) - 0.5)
    return _edge(0.5 * duty - distance, 14.0)


def _blobs(random: np.random.Generator) -> np.ndarray:
    texture = np.zeros((ROWS, COLUMNS))
    radius = random.uniform(0.05, 0.12)
    for _ in range(int(0.25 / radius**2 / 2.0)):
        down, around = random.random(), random.uniform(-1.0, 1.0)
        apart = np.abs(_AROUND - around)
        apart = np.minimum(apart, 2.0 - apart)
        texture = np.maximum(texture, _edge(1.0 - np.hypot((_DOWN - down) / radius, 1.3 * apart / radius), 5.0))
    return texture


def _edge(inside: np.ndarray, sharpness: float) -> np.ndarray:
    """0 outside, 1 inside, a short ramp between."""
    return np.clip(inside * sharpness + 0.5, 0.0, 1.0)
