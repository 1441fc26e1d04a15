"""Random numbers as a pure function of the run's seed and of where in the run they are used."""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """A NumPy generator for one purpose (``"sampler"``, ...) at one position (epoch, step, ...) of a seeded run."""
    return np.random.Generator(np.random.PCG64(_sequence(seed, purpose, position)))


def torch_seed(seed: int, purpose: str, *position: int) -> int:
    """A seed for ``torch.manual_seed``, below 2**63, for one purpose at one position of a seeded run."""
    return int(_sequence(seed, purpose, position).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _sequence(seed: int, purpose: str, position: tuple[int, ...]) -> np.random.SeedSequence:
    return np.random.SeedSequence([seed, zlib.crc32(purpose.encode("utf-8")), *position])
