"""How alike queries and gallery images are: quickly with a proven error, and exactly for the pairs that ask for it.

Which of two images is the more alike is nearly always plain. So the scores of a `Block` are approximate, with a bound
on their error, and `exact` settles the pairs that the bound leaves open: in float64, pair by pair, so that equal
rows get equal scores and no score depends on the size of a block.

The bound: a sum of n products, in any order, is off by n u times the products' magnitudes at most, where u is the unit
roundoff, up to terms of u squared, and these magnitudes sum to no more than the product of the two lengths (Higham,
Accuracy and Stability of Numerical Algorithms, 2002, sec. 3.1). Long rows are multiplied `_SPAN` columns at a time,
so that n is a span and the number of spans. A product whose precision PyTorch was told to lower is made in float64.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vibench.errors import VibenchError

DISTANCES = ("cosine", "euclidean")
_SPAN = 128
_TILE = 512
"""So many rows and, for every thread, columns of sums stay near the processor."""
_KEPT_BYTES = 256 << 20
"""Of rows in float64 that are kept; of more, those asked for are read anew."""
_OPEN_SHARE = 1 / 30
"""Where float32 has more of the pairs compared exactly than this, float64 is faster: its product takes up to twice as
long, and an exact score some thirty times as long as one of a product."""
_PIECE_BYTES = 8 << 20
_SHORTEST = 1e-26
"""Squared lengths beyond this and its inverse leave float32, or what their products come to does."""
_UNDERFLOW = 1e-9
"""More than what float32 loses near zero, for rows of such lengths."""
_NOT_FINITE = "the distances hold NaN or infinite values; check the scale of the features."


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


class Rows:
    """Some rows of features, which may lie in a file: what is asked for is read and brought to a device."""

    def __init__(self, features: np.ndarray, rows: np.ndarray, device: str = "cpu") -> None:
        """``features`` (N, D) float32 or float64, ``rows`` (n,) int64."""
        self._features, self._rows = features, rows
        self.device, self.width = device, features.shape[1]
        self.kept = len(rows) * self.width * 8 <= _KEPT_BYTES
        self._taken: dict[torch.dtype | None, Tensor] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def take(self, part: slice | np.ndarray, dtype: torch.dtype | None = torch.float64) -> Tensor:
        """Some of the rows (n, D) as ``dtype``, or as they are; all are kept that way unless it is too much."""
        if not self.kept:
            return self._read(part).to(dtype=dtype)
        if dtype not in self._taken:
            self._taken[dtype] = self._read(slice(None)) if dtype is None else self.take(slice(None), None).to(dtype)
        return self._taken[dtype][part]

    def _read(self, part: slice | np.ndarray) -> Tensor:
        return torch.from_numpy(np.asarray(self._features[self._rows[part]])).to(self.device)

    @cached_property
    def squares(self) -> Tensor:
        """(n,) float64 squared lengths. Raises `VibenchError` where one exceeds float64."""
        size = max(1, _PIECE_BYTES // (8 * self.width))
        found = []
        for start in range(0, len(self), size):
            rows = self.take(slice(start, start + size))
            each = torch.arange(len(rows), device=rows.device)
            found.append(pair_products(rows, rows, each, each))
        squares = torch.cat(found)
        if not squares.isfinite().all():
            raise VibenchError(_NOT_FINITE)
        return squares


@dataclass(frozen=True)
class Block:
    """Queries against gallery images: ``values * weights + offsets`` is off by ``error`` at most from
    ``exact scores * slope + shift``; either lies in [-1, 1]."""

    values: Tensor
    """(q, g) float32 or float64; whoever takes them may overwrite them."""
    weights: Tensor
    offsets: Tensor
    """(g,) of the same type, or scalars."""
    slope: Tensor
    """(q, 1) float64 or a scalar, positive."""
    shift: Tensor
    """(q, 1) float64 or a scalar."""
    error: float


class Matrix:
    """Scores that somebody else computes, as exact as they can be."""

    def __init__(self, scores: Callable[[slice], Tensor]) -> None:
        """``scores``: a slice of the queries -> (q, G), larger for what is more alike."""
        self._compute = scores
        self._part, self._found = slice(0, 0), torch.empty(0, 0)

    def scores(self, part: slice) -> Tensor:
        """(q, G) float64; raises `VibenchError` where one is no finite number."""
        if part != self._part:
            found = self._compute(part).double()
            if not torch.stack(found.aminmax()).isfinite().all():
                raise VibenchError(_NOT_FINITE)
            self._part, self._found = part, found
        return self._found

    def block(self, part: slice, columns: slice) -> Block:
        """The queries ``part`` against the gallery images ``columns``."""
        scores = self.scores(part)
        largest = scores.abs().amax(dim=1, keepdim=True)
        # The inverse of a number below the normal ones is infinite.
        slope = 1.0 / largest.clamp_(min=torch.finfo(torch.float64).tiny)
        one, zero = scores.new_ones(()), scores.new_zeros(())
        return Block(scores[:, columns] * slope, one, zero, slope, zero, 2.0**-51)

    def exact(self, part: slice, rows: Tensor, columns: Tensor) -> Tensor:
        """Scores (n,) float64 of queries ``part.start + rows``, which ascend, with gallery images ``columns``."""
        return self.scores(part)[rows, columns]

    def found_open(self, share: float) -> None:
        """Nothing is faster."""


class Comparison:
    """Features compared by ``cosine``, the inner product of rows divided by their lengths (0 for a row of zeros), or
    ``euclidean``, the negative squared distance of the rows as they are."""

    def __init__(self, query: Rows, gallery: Rows, distance: str) -> None:
        """Raises `VibenchError` where squared lengths exceed float64."""
        self._query, self._gallery, self._cosine = query, gallery, distance == "cosine"
        # Of rows of zeros alone, any length will do whose inverse is a number in float32 too.
        self._longest_query, self._longest = (
            max(float(side.squares.max().sqrt()), 1e-150) if side.squares.any() else 1.0 for side in (query, gallery)
        )
        squares = torch.cat([query.squares, gallery.squares])
        within = bool(((squares == 0) | ((squares > _SHORTEST) & (squares < 1 / _SHORTEST))).all())
        self.dtype = quick_type(query.device) if within else torch.float64

    def found_open(self, share: float) -> None:
        """Go on in float64 where float32 has too large a ``share`` of the pairs compared exactly."""
        if share > _OPEN_SHARE:
            self.dtype = torch.float64

    def block(self, part: slice, columns: slice) -> Block:
        """The queries ``part`` against the gallery images ``columns``."""
        asked, squares = self._query.squares[part, None], self._gallery.squares[columns]
        one, zero = asked.new_ones(()), asked.new_zeros(())
        if self._cosine:
            lengths, weights, offsets, slope, shift = _lengths(asked), 1.0 / _lengths(squares), zero, one, zero
            cancelled = 0.0
        else:
            # Of 2 q g - g g for the longest rows, in an order that cannot overflow.
            whole = 2.0 * self._longest_query + self._longest
            lengths, weights = one * self._longest_query, one * (2.0 * self._longest_query / whole / self._longest)
            offsets, shift = (side / self._longest / whole for side in (-squares, asked))
            slope = one / self._longest / whole
            cancelled = 1.0 + float(shift.max())
        values = span_product(
            (self._query.take(part) / lengths).to(self.dtype), self._gallery.take(columns, self.dtype)
        )
        width = self._query.width + 1
        error = product_error(width, self.dtype) + (width + 8) * 2.0**-53 * (1.0 + cancelled)
        return Block(values, weights.to(self.dtype), offsets.to(self.dtype), slope, shift, error)

    def exact(self, part: slice, rows: Tensor, columns: Tensor) -> Tensor:
        """Scores (n,) float64 of queries ``part.start + rows``, which ascend, with gallery images ``columns``."""
        if self._gallery.kept:
            wide, place = self._gallery.take(slice(None)), columns
        else:
            chosen, place = columns.unique(return_inverse=True)
            wide = self._gallery.take(chosen.cpu().numpy())
        products = pair_products(self._query.take(part), wide, rows, place)
        asked, squares = self._query.squares[part][rows], self._gallery.squares[columns]
        if self._cosine:
            # Dividing after the product keeps products of small integers, and thereby their ties, exact.
            return products / _lengths(squares) / _lengths(asked)
        return 2.0 * products - asked - squares

    def scores(self, part: slice) -> Tensor:
        """(q, G) float64, all of them exact."""
        places = torch.ones(part.stop - part.start, len(self._gallery), device=self._query.device).nonzero()
        return self.exact(part, *places.T).view(-1, len(self._gallery))


def quick_type(device: str) -> torch.dtype:
    """Float32 where it is faster, and keeps what it promises; a GPU made for computing multiplies float64 no slower."""
    lowered = torch.get_float32_matmul_precision() != "highest"
    return torch.float64 if lowered or torch.device(device).type != "cpu" else torch.float32


def product_error(width: int, dtype: torch.dtype) -> float:
    """How far off an inner product of rows of length 1 is, that are rounded first and weighted then."""
    span, lost = (min(width, _SPAN), _UNDERFLOW) if dtype == torch.float32 else (width, 0.0)
    return 1.01 * (span + math.ceil(width / span) + 7) * torch.finfo(dtype).eps / 2 + lost


def span_product(query: Tensor, gallery: Tensor) -> Tensor:
    """Inner products (q, g), in float32 one span of the rows at a time."""
    if query.dtype != torch.float32 or query.shape[1] <= _SPAN:
        return query @ gallery.T
    found = query.new_empty(len(query), len(gallery))
    columns = _TILE * torch.get_num_threads()
    for asked, part in zip(query.split(_TILE), found.split(_TILE), strict=True):
        for answers, sums in zip(gallery.split(columns), part.split(columns, dim=1), strict=True):
            torch.mm(asked[:, :_SPAN], answers[:, :_SPAN].T, out=sums)
            further = torch.empty(sums.shape)
            for start in range(_SPAN, query.shape[1], _SPAN):
                span = slice(start, start + _SPAN)
                sums += torch.mm(asked[:, span], answers[:, span].T, out=further)
    return found


def pair_products(query: Tensor, gallery: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Inner products (n,) of the rows of ``query`` (q, D) and of ``gallery`` (g, D), float64; ``rows`` ascend."""
    if query.device.type == "cpu":
        starts = torch.searchsorted(rows, torch.arange(len(query) + 1))
        with warnings.catch_warnings(), torch.sparse.check_sparse_tensor_invariants(False):
            warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
            places = torch.sparse_csr_tensor(
                starts, columns, torch.zeros(len(rows), dtype=torch.float64), size=(len(query), len(gallery))
            )
            return torch.sparse.sampled_addmm(places, query, gallery.T).values()
    size = max(1, _KEPT_BYTES // (16 * query.shape[1]))
    pairs = zip(rows.split(size), columns.split(size), strict=True)
    found = [torch.linalg.vecdot(query[row], gallery[column]) for row, column in pairs]
    return torch.cat(found) if found else query.new_zeros(0)


def _lengths(squares: Tensor) -> Tensor:
    lengths = squares.sqrt()
    return torch.where(lengths > 0, lengths, torch.ones_like(lengths))
