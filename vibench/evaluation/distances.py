"""Similarities between queries and a gallery, in float64, larger for what is more alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

DISTANCES = ("cosine", "euclidean")
_CHECKED_BYTES = 8 << 20
_WIDENED_BYTES = 1 << 30
"""Of float64 rows that are kept; more are made from float32 ones for each product, some at a time."""


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
    takes_trial: bool = False
    """True, where not pairwise: the function takes the number of the trial by the name ``trial``."""
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
        self._gallery = _Distinct.of(gallery)
        self._distance = distance

    def __call__(self, query: Tensor) -> Tensor:
        """(Q, D) -> (Q, G) float64."""
        query = query.double()
        squares = torch.linalg.vecdot(query, query)
        return _scores(_products(query, self._gallery.rows), squares, self._gallery, self._distance)


def both_ways(one: Tensor, other: Tensor, distance: str) -> tuple[Callable[[slice], Tensor], Callable[[slice], Tensor]]:
    """Scores (as of `Similarity`) of a slice of ``one`` (N, D) against ``other`` (M, D), and the reverse.

    They come from one product (N, M) float64, which both keep.
    """
    first, second = _Distinct.of(one), _Distinct.of(other)
    products = _products(first.rows.double(), second.rows)

    def direction(products: Tensor, query: _Distinct, gallery: _Distinct) -> Callable[[slice], Tensor]:
        def score(part: slice) -> Tensor:
            rows = part if query.copies is None else query.copies[part]
            chosen = products[rows].clone(memory_format=torch.contiguous_format)
            return _scores(chosen, query.squares[rows], gallery, distance)

        return score

    return direction(products, first, second), direction(products.T, second, first)


@dataclass(frozen=True)
class _Distinct:
    """Rows of features, equal ones once."""

    rows: Tensor
    """(U, D) float64, or as they were given where that takes too much memory."""
    copies: Tensor | None
    """(N,) int64: for every row given, its place in ``rows``; None without repetition."""
    squares: Tensor
    """(U,) float64 squared lengths."""

    @classmethod
    def of(cls, rows: Tensor) -> _Distinct:
        unique, copies = _unique_rows(rows)
        if 8 * unique.numel() <= _WIDENED_BYTES:
            unique = unique.double()
        squares = [torch.linalg.vecdot(wide, wide) for wide in _widened(unique)]
        return cls(unique, copies, torch.cat(squares))


def _widened(rows: Tensor) -> Iterator[Tensor]:
    """The rows (U, D) as float64: at once where they are, else some at a time."""
    if rows.dtype == torch.float64:
        yield rows
        return
    for part in rows.split(max(1, _WIDENED_BYTES // (32 * rows.shape[1]))):
        yield part.double()


def _products(query: Tensor, rows: Tensor) -> Tensor:
    """Inner products (Q, U) float64 of ``query`` (Q, D) float64 with ``rows`` (U, D)."""
    parts = [query @ wide.T for wide in _widened(rows)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _scores(products: Tensor, squares: Tensor, gallery: _Distinct, distance: str) -> Tensor:
    """From inner products (Q, U), which are overwritten, of queries of squared lengths (Q,), to scores (Q, G)."""
    if distance == "cosine":
        # Dividing after the product keeps products of small integers, and thereby their ties, exact.
        products /= _lengths(gallery.squares)
        products /= _lengths(squares)[:, None]
    else:
        products.mul_(2.0).sub_(squares[:, None]).sub_(gallery.squares)
    return products if gallery.copies is None else products[:, gallery.copies]


def _lengths(squares: Tensor) -> Tensor:
    lengths = squares.sqrt()
    return torch.where(lengths > 0, lengths, torch.ones_like(lengths))


def _unique_rows(rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """The distinct rows, and for every row the place of its like; the rows themselves and None without repetition."""
    if len(_checksums(rows).unique()) == len(rows):
        return rows, None
    # Adding zero makes -0.0 and 0.0 the same bytes.
    array = np.ascontiguousarray(rows.cpu().numpy() + 0)
    as_bytes = array.view(np.dtype((np.void, array.dtype.itemsize * array.shape[1]))).ravel()
    _, first, copies = np.unique(as_bytes, return_index=True, return_inverse=True)
    if len(first) == len(array):
        return rows, None
    return rows[torch.from_numpy(first).to(rows.device)], torch.from_numpy(copies.ravel()).to(rows.device)


def _checksums(rows: Tensor) -> Tensor:
    """(N,) int64, the same for equal rows and, but for chance, for no others."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.randint(-(2**63), 2**63 - 1, (rows.shape[1],), generator=generator).to(rows.device)
    whole = torch.int32 if rows.dtype == torch.float32 else torch.int64
    parts = rows.split(max(1, _CHECKED_BYTES // (8 * rows.shape[1])))
    return torch.cat([((part + 0.0).view(whole) * factors).sum(dim=1) for part in parts])
