"""The transfer network in testing: graphs of a group of queries and the whole gallery, many groups at once.

A group of a queries and the n gallery images make the graph

    A = [[c T(A^qq), T(A^qG)], [c T(A^Gq), T(A^GG)]],   c = k / min(k, a),

T keeping the k largest entries of every row. A group of one query is Eq. (22) of cm-SSFT (Lu et al., CVPR 2020), whose
printed K is k; a group of all queries is the graph of the training. The factor c between the two, which makes up for
the neighbours that a small group lacks, follows Eq. (22); the paper does not print it.

Every group changes the degree, and so the transferred feature, of every gallery image: a group costs n * dim numbers
whatever its size. What does not change is computed once: Z W of all images, and T(A^GG). A row of a graph has at most
2 k entries, so that the propagation is a weighted sum of so many rows of Z W, for all groups of a chunk in one call.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as functional
from torch import Tensor

from vibench.methods.cm_ssft.transfer import TransferNetwork, affinity, shared_of, specific_of

CHUNK_BYTES = {"cpu": 32 << 20, "cuda": 1 << 30}
"""Memory that the graphs of a chunk of groups may take, by type of device; one group is taken however large it is."""

TILE_BYTES = {"cpu": 2 << 20, "cuda": 1 << 30}
"""Memory of the transferred features that exist at once. On a CPU they stay in the cache until they are compared,
which is more than twice as fast as to write them out."""

_SHARE = 16
"""Of a GPU's free memory either takes this part at most: of tiles and what they are made of, five exist at once."""

_AFFINITY_COPIES = 4
"""Matrices of its size that exist while an affinity is computed."""


def graph_distances(
    network: TransferNetwork,
    query: Tensor,
    gallery: Tensor,
    group_size: int,
    apart: Tensor | None = None,
    chunk_bytes: int | None = None,
    tile_bytes: int | None = None,
) -> Tensor:
    """One minus the cosine of the transferred features of query and gallery images (Q, G).

    ``query`` (Q, 3D) and ``gallery`` (G, 3D) are Z, each of one modality and not of the same. Consecutive queries make
    a group of ``group_size``, the last group has what is left. ``apart`` (Q, G) bool: pairs whose affinity counts as
    0. Affinities are computed in float64, so that the choice of neighbours does not hang on rounding; features keep
    their dtype.
    """
    limit = working_bytes(CHUNK_BYTES, query.device) if chunk_bytes is None else chunk_bytes
    tile = working_bytes(TILE_BYTES, query.device) if tile_bytes is None else tile_bytes
    graphs = _GroupGraphs(network, gallery, limit, tile)
    whole = len(query) // group_size * group_size
    groups = max(1, limit // graphs.bytes_per_group(group_size))
    bounds = [*range(0, whole, groups * group_size), whole, len(query)]
    parts = []
    for start, stop in pairwise(bounds):
        if start < stop:
            size = min(group_size, stop - start)
            hidden = None if apart is None else apart[start:stop]
            parts.append(graphs.distances(query[start:stop], size, hidden))
    return torch.cat(parts)


def working_bytes(most: dict[str, int], device: torch.device) -> int:
    """What ``most`` says of a type of device, or on a GPU with little free memory a part of that."""
    if device.type != "cuda":
        return most[device.type]
    return min(most["cuda"], max(1, torch.cuda.mem_get_info(device)[0] // _SHARE))


class _GroupGraphs:
    """The gallery's part of all graphs, computed once."""

    def __init__(self, network: TransferNetwork, gallery: Tensor, chunk_bytes: int, tile_bytes: int) -> None:
        self.network = network
        self.tile_bytes = tile_bytes
        self.shared = shared_of(gallery).double()
        self.mixed = network.mixed(gallery)
        self.values, self.neighbours = _nearest_among(specific_of(gallery).double(), network.k, chunk_bytes)
        self.degrees = self.values.sum(dim=-1)

    def bytes_per_group(self, size: int) -> int:
        """Memory of the graph of a group of ``size`` queries, roughly."""
        return 8 * (len(self.mixed) + size) * (3 * size + 6 * self.network.k)

    def distances(self, query: Tensor, size: int, apart: Tensor | None) -> Tensor:
        """Distances (b * a, G) of the queries (b * a, 3D) of b groups of a = ``size``; ``apart`` (b * a, G)."""
        images, k = len(self.mixed), self.network.k
        groups = len(query) // size
        boost = k / min(k, size)
        across = affinity(shared_of(query).double(), self.shared)
        if apart is not None:
            across = across.masked_fill(apart, 0.0)
        across = across.unflatten(0, (groups, size))
        # Rows of queries, then of gallery images: (b, a or n, kept) entries of the two blocks.
        to_query, other_query = _largest(self._among(query, size), k)
        to_gallery, other_gallery = _largest(across, k)
        from_query, own_query = _largest(across.mT, k)
        to_query, from_query = boost * to_query, boost * from_query

        query_scale = (to_query.sum(dim=-1) + to_gallery.sum(dim=-1)).rsqrt()
        image_scale = (from_query.sum(dim=-1) + self.degrees).rsqrt()
        first = size * torch.arange(groups, device=query.device)[:, None, None] + images
        table = torch.cat([self.mixed, self.network.mixed(query)])
        neighbours = self.neighbours.expand(groups, -1, -1)
        queries = self._transferred(
            table,
            torch.cat([other_gallery, other_query + first], dim=-1),
            torch.cat([to_gallery * _at(image_scale, other_gallery), to_query * _at(query_scale, other_query)], dim=-1),
            query_scale,
        )
        directions = functional.normalize(queries, dim=-1)
        index = torch.cat([neighbours, own_query + first], dim=-1)
        weights = torch.cat(
            [self.values * _at(image_scale, neighbours), from_query * _at(query_scale, own_query)], dim=-1
        )
        rows = max(1, self.tile_bytes // (groups * table[0].nbytes))
        tiles = zip(index.split(rows, 1), weights.split(rows, 1), image_scale.split(rows, 1), strict=True)
        cosines = []
        for tile in tiles:
            transferred = self._transferred(table, *tile)
            lengths = torch.linalg.vector_norm(transferred, dim=-1).clamp(min=1e-12)
            cosines.append(directions @ transferred.mT / lengths[:, None, :])
        return (1.0 - torch.cat(cosines, dim=-1)).flatten(0, 1)

    def _among(self, query: Tensor, size: int) -> Tensor:
        """Affinities (b, a, a) within each group of queries, with 1 on the diagonal."""
        specific = specific_of(query).double().unflatten(0, (-1, size))
        within = affinity(specific, specific)
        within.diagonal(dim1=-2, dim2=-1).fill_(1.0)
        return within

    def _transferred(self, table: Tensor, index: Tensor, weights: Tensor, scale: Tensor) -> Tensor:
        """T (b, r, dim) of rows whose neighbours ``index`` (b, r, kept) of ``table`` count with ``weights``."""
        weights = (weights * scale[..., None]).to(table.dtype)
        spread = functional.embedding_bag(
            index.flatten(0, 1), table, per_sample_weights=weights.flatten(0, 1), mode="sum"
        )
        _, transferred = self.network.block(spread.relu_())
        return transferred.unflatten(0, index.shape[:2])


def _nearest_among(specific: Tensor, k: int, chunk_bytes: int) -> tuple[Tensor, Tensor]:
    """T(A^GG) of P (n, D): the largest affinities of every image and their columns (n, kept), its own, 1, among them.

    All n^2 affinities are never there at once, but those of as many images as ``chunk_bytes`` hold.
    """
    parts = []
    rows = max(1, chunk_bytes // (_AFFINITY_COPIES * specific.element_size() * len(specific)))
    for start, some in zip(range(0, len(specific), rows), specific.split(rows), strict=True):
        within = affinity(some, specific)
        within.diagonal(offset=start).fill_(1.0)
        parts.append(_largest(within, k))
    values, columns = zip(*parts, strict=True)
    return torch.cat(values), torch.cat(columns)


def _largest(entries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` largest entries of the rows of (..., M), or all where there are fewer: values and columns."""
    values, columns = entries.topk(min(k, entries.shape[-1]), dim=-1)
    return values, columns


def _at(scale: Tensor, columns: Tensor) -> Tensor:
    """``scale`` (b, M) at ``columns`` (b, r, kept)."""
    return scale.gather(1, columns.flatten(1)).view(columns.shape)
