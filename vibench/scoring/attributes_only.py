"""What attribute labels give away by themselves: ranking by the Hamming distance of codes, without any image.

A method that reads the true attributes of query and gallery has to be judged against this. Few distances are possible,
so most candidates tie. A tie is broken at random: the pair of a query and a gallery image has a number from 0 to 1 that
is added to its distance, a hash (SplitMix64) of a seed and of the two images' places in the list of all names. It is
the same in every trial, on every device and in any order of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vibench.evaluation.distances import DistanceFunction
from vibench.evaluation.features import Features

METHOD = "attributes-only"
"""Name in records."""

# As signed 64-bit integers, which tensors hold.
_INCREMENT, _FIRST, _SECOND = (
    constant - (1 << 64) for constant in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
_MANTISSA = 53


def attribute_features(paths: Sequence[str], bits: np.ndarray, meta: dict[str, Any] | None = None) -> Features:
    """Features (N, n + 1) of the codes ``bits`` (N, n) of images: the code, then the image's place among all names."""
    places = np.empty(len(paths))
    places[np.argsort(np.asarray(paths, dtype=np.str_))] = np.arange(len(paths))
    rows = np.concatenate([np.asarray(bits, dtype=np.float64), places[:, None]], axis=1)
    return Features(rows, paths=tuple(paths), meta=meta or {})


def hamming_distances(seed: int = 0) -> DistanceFunction:
    """The distance of `attribute_features`: differing bits, plus a number below 1 that breaks ties."""

    def distances(query: Tensor, gallery: Tensor, query_mode: str) -> Tensor:
        query, gallery = query.double(), gallery.double()
        asked, answers = query[:, :-1], gallery[:, :-1]
        differing = asked @ (1.0 - answers).T + (1.0 - asked) @ answers.T
        return differing + tie_breakers(query[:, -1].long(), gallery[:, -1].long(), seed)

    return DistanceFunction(distances, pairwise=True)


def tie_breakers(query: Tensor, gallery: Tensor, seed: int) -> Tensor:
    """Numbers (Q, G) float64 in [0, 1) of every pair of places (Q,) and (G,), int64, uniform as far as one can see."""
    of_seed = _mix(torch.tensor(seed, dtype=torch.int64, device=query.device))
    pairs = (query[:, None] << 32) | gallery[None, :]
    return _shifted(_mix(pairs ^ of_seed), 64 - _MANTISSA).double() * 2.0**-_MANTISSA


def _mix(values: Tensor) -> Tensor:
    """One step of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) in 64-bit integers, which wrap around."""
    values = values + _INCREMENT
    values = (values ^ _shifted(values, 30)) * _FIRST
    values = (values ^ _shifted(values, 27)) * _SECOND
    return values ^ _shifted(values, 31)


def _shifted(values: Tensor, places: int) -> Tensor:
    """Shifted right, zeros coming in from the left."""
    return (values >> places) & ((1 << (64 - places)) - 1)
