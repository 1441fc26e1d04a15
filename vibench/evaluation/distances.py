"""How alike queries and gallery images are: quickly with a proven error, and exactly for the pairs that ask for it.

Which of two images is the more alike is nearly always plain. So the scores of a `Block` are approximate, with a bound
on their error, and `Block.exact` settles the pairs that the bound leaves open: in float64, pair by pair, so that equal
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
_PRODUCT_COLUMNS = 4096
_WIDENED_BYTES = 256 << 20
"""Of float64 gallery rows that are kept for exact scores; of more, those asked for are widened anew."""
_OPEN_SHARE = 1 / 60
"""Where float32 has more of the pairs compared exactly than this, float64 is faster: its product takes twice as long,
and an exact score some thirty times as long as one of a product."""
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
        kept = len(rows) * self.width * 8 <= _WIDENED_BYTES
        self._taken = self._take(slice(None)) if kept else None

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, part: slice | np.ndarray) -> Tensor:
        return self._take(part) if self._taken is None else self._taken[part]

    def _take(self, part: slice | np.ndarray) -> Tensor:
        return torch.from_numpy(np.asarray(self._features[self._rows[part]])).to(self.device)

    @cached_property
    def wide(self) -> Tensor | None:
        """(n, D) float64; None where that is too much to keep."""
        return None if self._taken is None else self._taken.double()

    def widened(self, part: slice | np.ndarray) -> Tensor:
        """Some of the rows as float64."""
        return self[part].double() if self.wide is None else self.wide[part]

    @cached_property
    def squares(self) -> Tensor:
        """(n,) float64 squared lengths. Raises `VibenchError` where one exceeds float64."""
        size = len(self) if self.wide is not None else max(1, _PIECE_BYTES // (8 * self.width))
        found = []
        for start in range(0, len(self), size):
            rows = self.widened(slice(start, start + size))
            each = torch.arange(len(rows), device=rows.device)
            found.append(pair_products(rows, rows, each, each))
        squares = torch.cat(found)
        if not squares.isfinite().all():
            raise VibenchError(_NOT_FINITE)
        return squares


@dataclass(frozen=True)
class Block:
    """Queries against gallery images."""

    values: Tensor
    """(q, g) float32 or float64, larger for what is more alike once they are multiplied with ``weights``; whoever takes
    them may overwrite them."""
    weights: Tensor
    """(g,) of the same type, or a scalar. What comes of it lies in [-1, 1]."""
    error: float
    """How far off that is at most, up to a positive factor and a constant per query."""
    exact: Callable[[Tensor, Tensor], Tensor]
    """Rows, ascending, and columns of the block, (n,) int64 each -> float64 scores (n,), comparable within a row."""


class Matrix:
    """Scores that somebody else computes, as exact as they can be."""

    def __init__(self, scores: Callable[[slice], Tensor]) -> None:
        """``scores``: a slice of the queries -> (q, G), larger for what is more alike."""
        self._scores = scores

    def scores(self, part: slice) -> Tensor:
        """(q, G) float64; raises `VibenchError` where one is no finite number."""
        scores = self._scores(part).double()
        if not torch.stack(scores.aminmax()).isfinite().all():
            raise VibenchError(_NOT_FINITE)
        return scores

    def block(self, part: slice) -> Block:
        scores = self.scores(part)
        largest = scores.abs().amax(dim=1, keepdim=True)
        scaled = scores / torch.where(largest > 0, largest, torch.ones_like(largest))
        return Block(
            scaled,
            torch.ones((), dtype=scaled.dtype, device=scaled.device),
            2.0**-52,
            lambda rows, columns: scores[rows, columns],
        )

    def found_open(self, share: float) -> None:
        """Nothing is faster."""


class Comparison:
    """Features compared by ``cosine``, the inner product of rows divided by their lengths (0 for a row of zeros), or
    ``euclidean``, the negative squared distance of the rows as they are."""

    def __init__(self, query: Rows, gallery: Rows, distance: str) -> None:
        """Raises `VibenchError` where squared lengths exceed float64."""
        self._query, self._gallery, self._cosine = query, gallery, distance == "cosine"
        self._longest = max(float(gallery.squares.max().sqrt()), 1e-150)
        squares = torch.cat([query.squares, gallery.squares])
        within = bool(((squares == 0) | ((squares > _SHORTEST) & (squares < 1 / _SHORTEST))).all())
        self._use(quick_type(query.device) if within or not self._cosine else torch.float64)

    def _use(self, dtype: torch.dtype) -> None:
        count, asked = self._query.width + 1, self._query.squares
        cancelled = 0.0 if self._cosine else 1.0 + float((asked / self._range(asked)).max())
        exact = (count + 8) * 2.0**-53 * (1.0 + cancelled)
        self.error = product_error(count, dtype) + exact
        self.dtype = dtype
        size = max(1, _PIECE_BYTES // (8 * count))
        pieces = (slice(start, start + size) for start in range(0, len(asked), size))
        self._factors = torch.cat([self._query_factors(piece) for piece in pieces])
        self._columns: _Columns | None = None

    def found_open(self, share: float) -> None:
        """Go on in float64 where float32 has too large a ``share`` of the pairs compared exactly."""
        if share > _OPEN_SHARE and self.dtype == torch.float32:
            self._use(torch.float64)

    def block(self, part: slice, columns: slice | None = None) -> Block:
        """The queries ``part`` against the gallery images ``columns``, or all; faster where these were the last too."""
        columns = columns or slice(0, len(self._gallery))
        if self._columns is None or self._columns.part != columns:
            self._columns = None
            self._columns = _Columns(columns, *self._gallery_factors(columns))
        values = span_product(self._factors[part], self._columns.factors)
        return Block(
            values, self._columns.weights, self.error, lambda rows, at: self._exact(part, rows, at + columns.start)
        )

    def scores(self, part: slice) -> Tensor:
        """(q, G) float64, all of them exact."""
        everything = torch.arange(len(self._gallery), device=self._gallery.squares.device)
        return self.exact_at(part, everything.expand(part.stop - part.start, -1))

    def exact_at(self, part: slice, columns: Tensor) -> Tensor:
        """Exact scores (q, n) of the queries ``part``, each with gallery images ``columns`` (q, n) of its own."""
        rows = torch.arange(len(columns), device=columns.device).repeat_interleave(columns.shape[1])
        return self._exact(part, rows, columns.flatten()).view_as(columns)

    def values_of(self, part: slice, exact: Tensor) -> Tensor:
        """What weighted values of blocks approximate, for exact scores (q, n)."""
        asked = self._query.squares[part, None]
        return exact if self._cosine else (exact + asked) / self._range(asked)

    def _exact(self, part: slice, rows: Tensor, columns: Tensor) -> Tensor:
        """Scores (n,) of queries ``part.start + rows``, which ascend, with gallery images ``columns``."""
        wide, place = self._gallery.wide, columns
        if wide is None:
            chosen, place = columns.unique(return_inverse=True)
            wide = self._gallery.widened(chosen.cpu().numpy())
        products = pair_products(self._query.widened(part), wide, rows, place)
        asked, squares = self._query.squares[part][rows], self._gallery.squares[columns]
        if self._cosine:
            # Dividing after the product keeps products of small integers, and thereby their ties, exact.
            return products / _lengths(squares) / _lengths(asked)
        return 2.0 * products - asked - squares

    def _range(self, asked: Tensor) -> Tensor:
        """What 2 q g - g g comes to at most, for queries of these squared lengths."""
        return (2.0 * asked.sqrt() + self._longest) * self._longest

    def _query_factors(self, part: slice) -> Tensor:
        rows, squares = self._query.widened(part), self._query.squares[part, None]
        if self._cosine:
            return (rows / _lengths(squares)).to(self.dtype)
        whole = self._range(squares) / self._longest
        return torch.cat([rows * (2.0 / whole), self._longest / whole], dim=1).to(self.dtype)

    def _gallery_factors(self, part: slice) -> tuple[Tensor, Tensor]:
        """(g, D) or (g, D + 1), and weights."""
        squares = self._gallery.squares[part]
        if self._cosine:
            rows = self._gallery.widened(part) if self.dtype == torch.float64 else self._gallery[part].to(self.dtype)
            return rows, (1.0 / _lengths(squares)).to(self.dtype)
        rows = torch.cat([self._gallery.widened(part) / self._longest, squares[:, None] / -(self._longest**2)], dim=1)
        return rows.to(self.dtype), torch.ones((), dtype=self.dtype, device=rows.device)


@dataclass(frozen=True)
class _Columns:
    """Some gallery images."""

    part: slice
    factors: Tensor
    weights: Tensor


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
    for columns, sums in zip(gallery.split(_PRODUCT_COLUMNS), found.split(_PRODUCT_COLUMNS, dim=1), strict=True):
        spans = zip(query.split(_SPAN, dim=1), columns.split(_SPAN, dim=1), strict=True)
        further = torch.empty(sums.shape)
        for at, (one, other) in enumerate(spans):
            if at == 0:
                torch.mm(one, other.T, out=sums)
            else:
                sums += torch.mm(one, other.T, out=further)
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
    size = max(1, _WIDENED_BYTES // (16 * query.shape[1]))
    pairs = zip(rows.split(size), columns.split(size), strict=True)
    found = [torch.linalg.vecdot(query[row], gallery[column]) for row, column in pairs]
    return torch.cat(found) if found else query.new_zeros(0)


def _lengths(squares: Tensor) -> Tensor:
    lengths = squares.sqrt()
    return torch.where(lengths > 0, lengths, torch.ones_like(lengths))
