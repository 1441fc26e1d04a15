"""Random streams named by what they decide, so that order and process count never matter."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """The random generator of one purpose ("identity", "pose", ...) and its numbers (pid, camera, image number)."""
    words = [seed, zlib.crc32(purpose.encode()), *numbers]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
