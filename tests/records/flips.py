"""The sign-flip test of a single difference."""

from __future__ import annotations

import numpy as np

from vibench.records.significance import sign_flip_ps


def sign_flip_p(contributions: np.ndarray, resamples: int = 10_000, seed: int = 0) -> float:
    """p of contributions (C,): of one method against one that contributes nothing."""
    return sign_flip_ps(np.stack([contributions, np.zeros_like(contributions)]), [(0, 1)], resamples, seed)[0]
