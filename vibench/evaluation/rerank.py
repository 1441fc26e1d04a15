"""k-reciprocal re-ranking: Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017.

As usually applied: the original distance is the squared Euclidean distance between l2-normalised features, divided
by the image's largest; an image is its own first neighbour, so that k neighbours are k + 1 images; encodings
sum to one. It looks at all queries and the whole gallery at once, which is test-time information.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from vibench.evaluation.counting import quick_order
from vibench.evaluation.distances import pair_products, product_error, quick_type, span_product
from vibench.evaluation.order import stable_order

K1, K2, LAMBDA = 20, 6, 0.3
# Squares on the diagonal are multiplied whole: six pieces spare 5/12 of the products, more of them cost more merging.
_LEAST_PIECES = 6
_SPARE = 11
"""Images beyond those asked for that tell whether others could be among them."""


def k_reciprocal_distances(
    query: Tensor,
    gallery: Tensor,
    k1: int = K1,
    k2: int = K2,
    weight: float = LAMBDA,
    chunk_bytes: int = 256 << 20,
) -> Tensor:
    """Re-ranked distances (Q, G) float64 on the features' device.

    ``query`` (Q, D) and ``gallery`` (G, D); ``weight`` is the paper's lambda, the share of the original distance.
    """
    features = torch.cat([query, gallery]).double()
    torch.nn.functional.normalize(features, dim=1, out=features)
    count = len(query)
    sizes = k1 + 1, _half(k1) + 1, max(k2, 1)
    neighbours, largest = _neighbours(features, sizes, chunk_bytes)
    encoding = _expand_query(_encode(features, neighbours, largest, k1), neighbours, k2)
    reranked = torch.from_numpy(_jaccard(encoding[:count], encoding[count:], chunk_bytes)).to(features.device)
    original = (features[:count] @ features[count:].T).mul_(-2.0).add_(2.0).clamp_(min=0.0)
    original /= torch.from_numpy(largest[:count, None]).to(features.device)
    return reranked.mul_(1.0 - weight).add_(original, alpha=weight)


def _neighbours(features: Tensor, sizes: Sequence[int], chunk_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, k) of which the first of each of ``sizes`` are as many nearest, and the largest distance (N,).

    Every pair of images is multiplied once, in float32: a square of the products serves its columns as it serves its
    rows. What the bound on their errors leaves open, who is among the nearest and who is farthest, float64 decides,
    and of equal ones the first is the nearer.
    """
    count = len(features)
    sizes = [min(size, count) for size in sizes]
    kept = min(count, max(sizes) + _SPARE)
    side = max(1, math.isqrt(chunk_bytes // 64))
    pieces = min(count, max(_LEAST_PIECES, math.ceil(count / side)))
    edges = [count * piece // pieces for piece in range(pieces + 1)]
    parts = [slice(start, stop) for start, stop in pairwise(edges)]
    quick = features.to(quick_type(str(features.device)))
    near, far = _Nearest(features, kept), _Nearest(features, min(count, _SPARE), -1.0)
    for place, rows in enumerate(parts):
        for columns in parts[place:]:
            scores = span_product(quick[rows], quick[columns])
            directions = [(rows, columns, scores)] + ([(columns, rows, scores.T)] if columns is not rows else [])
            for images, others, values in directions:
                order, step = quick_order(values.contiguous())
                near.meet(images, others.start, values, order[:, :kept])
                far.meet(images, others.start, values, order[:, -_SPARE:])
    error = product_error(features.shape[1], quick.dtype) + step
    near.settle(sizes, error, chunk_bytes)
    far.settle([1], error, chunk_bytes)
    each = torch.arange(count, device=features.device)
    smallest = pair_products(features, features, each, far.images[:, 0])
    # All images alike have no largest distance; any divisor does, as all distances are zero.
    return near.images[:, : max(sizes)].cpu().numpy(), (2.0 - 2.0 * smallest).clamp_(min=1e-12).cpu().numpy()


class _Nearest:
    """The images that come first, of all that an image has met: by quick scores, and some more than are asked for."""

    def __init__(self, features: Tensor, kept: int, sign: float = 1.0) -> None:
        """``features`` (N, D) float64; ``sign`` -1 for the farthest."""
        self._features, self._sign = features, sign
        self.images = torch.zeros(len(features), kept, dtype=torch.int64, device=features.device)
        """(N, kept), the nearest first."""
        self._scores = features.new_full((len(features), kept), -torch.inf)

    def meet(self, rows: slice, first: int, scores: Tensor, columns: Tensor) -> None:
        """Of quick scores (n, m) of images ``rows`` with m images from ``first``, those of ``columns`` (n, c)."""
        met = torch.cat([self._scores[rows], self._sign * scores.gather(1, columns)], dim=1)
        self._scores[rows], top = met.topk(self.images.shape[1], dim=1)
        self.images[rows] = torch.cat([self.images[rows], columns + first], dim=1).gather(1, top)

    def settle(self, sizes: Sequence[int], error: float, chunk_bytes: int) -> None:
        """Have the first of each of ``sizes`` be the nearest, where quick scores are off by ``error`` at most."""
        kept, found = self.images.shape[1], self._scores
        gaps = [found[:, size - 1] - found[:, size] for size in sizes if size < kept]
        some = torch.stack([gap <= 2.0 * error for gap in gaps]).any(dim=0) if gaps else found[:, 0] > torch.inf
        beyond = found[:, max(sizes) - 1] - found[:, -1] <= 2.0 * error
        if kept == len(found):
            beyond = torch.zeros_like(beyond)
        rows = (some & ~beyond).nonzero()[:, 0]
        images = self.images[rows].sort(dim=1).values
        each = torch.arange(len(rows), device=rows.device).repeat_interleave(kept)
        exact = self._sign * pair_products(self._features[rows], self._features, each, images.flatten())
        self.images[rows] = images.gather(1, stable_order(exact.view_as(images)))
        for part in beyond.nonzero()[:, 0].split(max(1, chunk_bytes // (32 * len(found)))):
            self.images[part] = stable_order(self._sign * (self._features[part] @ self._features.T))[:, :kept]


def _half(k1: int) -> int:
    return int(np.around(k1 / 2))


def _indicator(neighbours: np.ndarray) -> csr_matrix:
    """(N, N) ones where the column is among the row's neighbours."""
    rows, k = neighbours.shape
    ones = np.ones(rows * k)
    return csr_matrix((ones, neighbours.ravel(), np.arange(0, rows * k + 1, k)), shape=(rows, rows))


def _reciprocal(neighbours: np.ndarray) -> csr_matrix:
    """(N, N) ones where row and column are among each other's neighbours (equation 2 of the paper)."""
    near = _indicator(neighbours)
    return near.multiply(near.T).tocsr()


def _encode(features: Tensor, neighbours: np.ndarray, largest: np.ndarray, k1: int) -> csr_matrix:
    """k-reciprocal encodings (N, N), rows summing to one (equations 4 and 7 of the paper)."""
    wide = _reciprocal(neighbours[:, : k1 + 1])
    narrow = _reciprocal(neighbours[:, : _half(k1) + 1])
    shared = wide.multiply(wide @ narrow.T).tocoo()
    sizes = np.asarray(narrow.sum(axis=1)).ravel()
    joins = 3.0 * shared.data >= 2.0 * sizes[shared.col]
    joined = csr_matrix((joins[joins].astype(float), (shared.row[joins], shared.col[joins])), shape=wide.shape)
    encoding = (wide + joined @ narrow).tocsr()
    encoding.sort_indices()
    rows = np.repeat(np.arange(len(neighbours)), np.diff(encoding.indptr))
    distances = np.maximum(2.0 - 2.0 * _products_at(features, rows, encoding.indices), 0.0)
    weights = np.exp(-distances / largest[rows])
    sums = np.bincount(rows, weights, minlength=len(neighbours))
    return csr_matrix((weights / sums[rows], encoding.indices, encoding.indptr), shape=wide.shape)


def _products_at(features: Tensor, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    places = (torch.from_numpy(at).to(features.device).long() for at in (rows, columns))
    return pair_products(features, features, *places).cpu().numpy()


def _expand_query(encoding: csr_matrix, neighbours: np.ndarray, k2: int) -> csr_matrix:
    """Each encoding replaced by the mean over its image's ``k2`` nearest (equation 11 of the paper)."""
    if k2 <= 1:
        return encoding
    nearest = neighbours[:, :k2]
    return (_indicator(nearest) / nearest.shape[1] @ encoding).tocsr()


def _jaccard(query: csr_matrix, gallery: csr_matrix, chunk_bytes: int) -> np.ndarray:
    """Jaccard distances (Q, G) of encodings (equation 10 of the paper)."""
    queries, images = query.shape[0], gallery.shape[0]
    columns = gallery.tocsc()
    holders = np.diff(columns.indptr)
    overlap = np.empty((queries, images))
    # What a query meets: its entries times the gallery images that share each of them.
    met = np.concatenate([[0], np.cumsum(holders[query.indices])])[query.indptr]
    start = 0
    while start < queries:
        limit = met[start] + chunk_bytes // 64
        stop = max(start + 1, int(np.searchsorted(met, limit, side="right")) - 1)
        part = query[start:stop]
        lengths = holders[part.indices]
        ends = np.cumsum(lengths)
        offsets = np.repeat(columns.indptr[part.indices] - (ends - lengths), lengths)
        entries = offsets + np.arange(len(offsets))
        minima = np.minimum(np.repeat(part.data, lengths), columns.data[entries])
        rows = np.repeat(np.repeat(np.arange(stop - start), np.diff(part.indptr)), lengths)
        cells = rows * images + columns.indices[entries]
        overlap[start:stop] = np.bincount(cells, minima, minlength=(stop - start) * images).reshape(-1, images)
        start = stop
    # Both encodings sum to one, so their maxima sum to two less their minima.
    return 1.0 - overlap / (2.0 - overlap)
