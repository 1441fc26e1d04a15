"""k-reciprocal re-ranking: Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017.

As usually applied: the original distance is the squared Euclidean distance between l2-normalised features, divided
by the image's largest; an image is its own first neighbour, so that k neighbours are k + 1 images; encodings
sum to one. It looks at all queries and the whole gallery at once, which is test-time information.
"""

from __future__ import annotations

import math
import warnings
from itertools import pairwise

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from vibench.evaluation.order import stable_top

K1, K2, LAMBDA = 20, 6, 0.3
# Squares on the diagonal are multiplied whole: six pieces spare 5/12 of the products, more of them cost more merging.
_LEAST_PIECES = 6


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
    neighbours, largest = _neighbours(features, max(k1 + 1, k2), chunk_bytes)
    encoding = _expand_query(_encode(features, neighbours, largest, k1), neighbours, k2)
    reranked = torch.from_numpy(_jaccard(encoding[:count], encoding[count:], chunk_bytes)).to(features.device)
    original = (features[:count] @ features[count:].T).mul_(-2.0).add_(2.0).clamp_(min=0.0)
    original /= torch.from_numpy(largest[:count, None]).to(features.device)
    return reranked.mul_(1.0 - weight).add_(original, alpha=weight)


def _neighbours(features: Tensor, k: int, chunk_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` nearest images of each image, itself among them, (N, k), and its largest distance (N,).

    Every pair of images is multiplied once: a square of the products serves its columns as it serves its rows. Squares
    come to an image in the order of their columns, so that among equal scores the first column stays the first.
    """
    count = len(features)
    k = min(k, count)
    side = max(1, math.isqrt(chunk_bytes // 64))
    pieces = min(count, max(_LEAST_PIECES, math.ceil(count / side)))
    edges = [count * piece // pieces for piece in range(pieces + 1)]
    parts = [slice(start, stop) for start, stop in pairwise(edges)]
    best = features.new_full((count, k), -torch.inf)
    nearest = torch.zeros(count, k, dtype=torch.int64, device=features.device)
    smallest = features.new_full((count,), torch.inf)

    def meet(rows: slice, columns: slice, scores: Tensor) -> None:
        own = stable_top(scores, k)
        met = torch.cat([best[rows], scores.gather(1, own)], dim=1)
        top = stable_top(met, k)
        best[rows] = met.gather(1, top)
        nearest[rows] = torch.cat([nearest[rows], own + columns.start], dim=1).gather(1, top)
        smallest[rows] = torch.minimum(smallest[rows], scores.amin(dim=1))

    for place, rows in enumerate(parts):
        for columns in parts[place:]:
            scores = features[rows] @ features[columns].T
            meet(rows, columns, scores)
            if columns is not rows:
                meet(columns, rows, scores.T.contiguous())
    # All images alike have no largest distance; any divisor does, as all distances are zero.
    return nearest.cpu().numpy(), (2.0 - 2.0 * smallest).clamp_(min=1e-12).cpu().numpy()


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
    narrow = _reciprocal(neighbours[:, : int(np.around(k1 / 2)) + 1])
    shared = wide.multiply(wide @ narrow.T).tocoo()
    sizes = np.asarray(narrow.sum(axis=1)).ravel()
    joins = 3.0 * shared.data >= 2.0 * sizes[shared.col]
    joined = csr_matrix((joins[joins].astype(float), (shared.row[joins], shared.col[joins])), shape=wide.shape)
    encoding = (wide + joined @ narrow).tocsr()
    encoding.sort_indices()
    rows = np.repeat(np.arange(len(neighbours)), np.diff(encoding.indptr))
    distances = np.maximum(2.0 - 2.0 * _products_at(features, encoding), 0.0)
    weights = np.exp(-distances / largest[rows])
    sums = np.bincount(rows, weights, minlength=len(neighbours))
    return csr_matrix((weights / sums[rows], encoding.indices, encoding.indptr), shape=wide.shape)


def _products_at(features: Tensor, places: csr_matrix) -> np.ndarray:
    """Inner products of the rows of ``features`` (N, D) with one another, where ``places`` (N, N) has an entry."""
    starts, columns, zeros = (
        torch.from_numpy(part).to(features.device) for part in (places.indptr, places.indices, np.zeros(places.nnz))
    )
    with warnings.catch_warnings(), torch.sparse.check_sparse_tensor_invariants():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
        mask = torch.sparse_csr_tensor(starts, columns, zeros, size=places.shape)
    return torch.sparse.sampled_addmm(mask, features, features.T).values().cpu().numpy()


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
