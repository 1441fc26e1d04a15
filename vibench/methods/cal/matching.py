"""Which part of a visible image is which part of an infrared one: exact matching, and its most frequent outcome.

A matching of N parts is a permutation (N,) int64: part p of one side belongs to part ``matching[p]`` of the other.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

ENUMERATED = 6
"""Up to this many parts all permutations are tried at once on the device; above, each pair is solved on the host."""


@torch.no_grad()
def best_matching(weights: Tensor) -> Tensor:
    """The perfect matchings (B, N) of largest total weight in complete bipartite graphs, ``weights`` (B, N, N).

    Row u of a graph is matched to column ``matching[u]``. CAL (Wu et al., ICCV 2023), Eq. (17). Exact; of equally
    good matchings of up to `ENUMERATED` parts the lexicographically first wins on a CPU. Non-finite weights count as 0.
    """
    parts = weights.shape[1]
    weights = weights.nan_to_num(posinf=0.0, neginf=0.0)
    if parts > ENUMERATED:
        graphs = weights.double().cpu().numpy()
        columns = [linear_sum_assignment(graph, maximize=True)[1] for graph in graphs]
        return torch.from_numpy(np.stack(columns).astype(np.int64)).to(weights.device)
    table = permutations(parts, weights.device)
    rows = torch.arange(parts, device=weights.device)
    totals = weights[:, rows, table].sum(dim=2)
    return table[totals.argmax(dim=1)]


@lru_cache(maxsize=16)
def permutations(parts: int, device: torch.device) -> Tensor:
    """All permutations (parts!, parts) of 0..parts-1 in lexicographic order, so that the identity is the first."""
    return torch.tensor(list(itertools.permutations(range(parts))), device=device)


class MatchHistogram(nn.Module):
    """Counts matchings over an epoch and keeps the most frequent one for testing, all in buffers.

    ``permutation`` counts whole matchings; ``edges`` counts pairs of parts and takes the matching of the largest total
    count. Above `ENUMERATED` parts, which have too many permutations to count, it is always ``edges``.
    """

    counts: Tensor
    """(parts!,) int64, or (parts, parts) of ``edges``: of the open epoch."""
    order: Tensor
    """(parts,) int64: the most frequent matching of the last whole epoch; the identity before."""
    share: Tensor
    """How much of all that was counted in the last whole epoch agrees with ``order``, from 0 to 1."""

    def __init__(self, parts: int, by: Literal["permutation", "edges"] = "permutation") -> None:
        super().__init__()
        self.by_edges = by == "edges" or parts > ENUMERATED
        shape = (parts, parts) if self.by_edges else (math.factorial(parts),)
        self.register_buffer("counts", torch.zeros(shape, dtype=torch.int64))
        self.register_buffer("order", torch.arange(parts))
        self.register_buffer("share", torch.zeros(()))

    def count(self, matchings: Tensor) -> Tensor:
        """How often what occurs in ``matchings`` (B, parts), in the form of ``counts``."""
        if self.by_edges:
            parts = matchings.shape[1]
            return torch.nn.functional.one_hot(matchings, parts).sum(dim=0)
        table = permutations(matchings.shape[1], matchings.device)
        return (matchings[:, None, :] == table).all(dim=2).sum(dim=0)

    def most_frequent(self, counts: Tensor) -> Tensor:
        """The matching (parts,) that ``counts`` speak for; of equally frequent permutations the first."""
        if self.by_edges:
            return best_matching(counts[None].double())[0]
        # A GPU's argmax may return any of equal values: the order of the permutations breaks ties.
        places = torch.arange(len(counts), device=counts.device)
        winner = (counts * len(counts) - places).argmax()
        # Not by the number itself: it would have to leave the GPU.
        return permutations(len(self.order), counts.device).index_select(0, winner[None])[0]

    def add(self, matchings: Tensor) -> None:
        """Count the ``matchings`` (B, parts) of a training step."""
        self.counts += self.count(matchings)

    def close_epoch(self) -> None:
        """Take over the epoch's most frequent matching and begin to count anew; without any, nothing changes."""
        total = self.counts.sum()
        if total == 0:
            return
        self.order.copy_(self.most_frequent(self.counts))
        self.share.copy_((self.counts * self.count(self.order[None])).sum() / total)
        self.counts.zero_()
