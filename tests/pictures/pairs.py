"""Pairs of random images for the pictures of single methods."""

from __future__ import annotations

import numpy as np

from tests.methods.checks import HEIGHT, WIDTH
from vibench.pictures.pair import Pair, Shown


def random_pairs(count: int = 2, channels: int = 1) -> list[Pair]:
    """Infrared queries with visible matches; the first query has heatmaps."""
    random = np.random.default_rng(0)

    def shown(modality: str, number: int, heatmaps: bool = False) -> Shown:
        pixels = random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        maps = random.random((channels, HEIGHT // 4, WIDTH // 4)) if heatmaps else None
        return Shown(pixels, modality, f"{modality} {number}", f"cam {number}", maps)

    return [Pair(shown("infrared", number, number == 0), shown("visible", number)) for number in range(count)]
