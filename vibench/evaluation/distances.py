"""Similarities between queries and a gallery, in float64, larger for what is more alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

DISTANCES = ("cosine", "euclidean")


@dataclass(frozen=True)
class DistanceFunction:
    """A method's own distance."""

    function: Callable[..., Tensor]
    """(query (Q, D), gallery (G, D), query mode ``all`` | ``single``) -> distances (Q, G), smaller for what is more
    alike, on the tensors' device."""
    pairwise: bool = True
    """True: a distance depends on its query and its gallery image alone, and is computed once for all trials, some
    queries at a time. False: it is computed per trial, on all queries and the drawn gallery together."""
    takes_skipped: bool = False
    """True, where not pairwise: the function takes a fourth argument (Q, G) bool, the pairs whose cameras the
    protocol's skip rule names."""
    name: str = "method"
    """What an evaluation calls it."""


class Similarity:
    """Scores of queries against one gallery.

    ``cosine`` is the inner product of rows divided by their lengths (0 for a row of zeros), ``euclidean`` the
    negative squared Euclidean distance of the rows as they are. Gallery rows that are equal are multiplied once, so
    that they tie exactly, whatever the block size of a matrix product.
    """

    def __init__(self, gallery: Tensor, distance: str) -> None:
        """``gallery`` (G, D), on the device that computes; ``distance`` one of `DISTANCES`."""
        unique, self._copies = _unique_rows(gallery)
        self._gallery = unique.double()
        self._distance = distance
        self._squares = torch.linalg.vecdot(self._gallery, self._gallery)
        self._lengths = _lengths(self._squares)

    def __call__(self, query: Tensor) -> Tensor:
        """(Q, D) -> (Q, G) float64."""
        query = query.double()
        squares = torch.linalg.vecdot(query, query)[:, None]
        scores = query @ self._gallery.T
        if self._distance == "cosine":
            # Dividing after the product keeps products of small integers, and thereby their ties, exact.
            scores /= self._lengths
            scores /= _lengths(squares)
        else:
            scores.mul_(2.0).sub_(squares).sub_(self._squares)
        return scores if self._copies is None else scores[:, self._copies]


def _lengths(squares: Tensor) -> Tensor:
    lengths = squares.sqrt()
    return torch.where(lengths > 0, lengths, torch.ones_like(lengths))


def _unique_rows(rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """The distinct rows, and for every row the place of its like; the rows themselves and None without repetition."""
    # Adding zero makes -0.0 and 0.0 the same bytes.
    array = np.ascontiguousarray(rows.cpu().numpy() + 0)
    as_bytes = array.view(np.dtype((np.void, array.dtype.itemsize * array.shape[1]))).ravel()
    _, first, copies = np.unique(as_bytes, return_index=True, return_inverse=True)
    if len(first) == len(array):
        return rows, None
    return rows[torch.from_numpy(first).to(rows.device)], torch.from_numpy(copies.ravel()).to(rows.device)
