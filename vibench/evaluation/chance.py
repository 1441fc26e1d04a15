"""What a ranking in random order scores: every figure must be read against this.

A query has m true matches among g images, all orders of which are equally likely. The first image is a match with
probability m / g. The image at place i is a match with probability m / g, and together with a given one before it with
m (m - 1) / (g (g - 1)); average precision, the mean over matches of the share of matches up to them, is then expected
to be (H + (m - 1) / (g - 1) (g - H)) / g with H = 1 + 1/2 + ... + 1/g.
"""

from __future__ import annotations

import numpy as np


def random_rank_one(matches: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(Q,) float64 expected rank-1 of queries with ``matches`` (Q,) among ``gallery`` (Q,) images; NaN without match.

    Under either CMC rule: the first identity of a ranked list is that of its first image.
    """
    return np.divide(matches, gallery, out=np.full(len(matches), np.nan), where=np.asarray(matches) > 0)


def random_average_precision(matches: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """(Q,) float64 expected average precision, likewise."""
    valid = np.asarray(matches) > 0
    images = np.where(valid, gallery, 1.0)
    harmonic = np.cumsum(1.0 / np.arange(1, int(images.max(initial=1.0)) + 1))[images.astype(np.int64) - 1]
    # One image alone is the match.
    among_others = np.divide(matches - 1.0, images - 1.0, out=np.zeros_like(images), where=images > 1)
    return np.where(valid, (harmonic + among_others * (images - harmonic)) / images, np.nan)
