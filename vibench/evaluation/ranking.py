"""Average precision, inverse negative penalty and first hit of every query in every trial, without a loop over queries.

All trials draw from the same candidates. A query ranks the candidates once; the rank of a true match within one
trial's gallery is then the number of that trial's images up to the match, which is counted for all trials together:
the ranked list is cut after each of the query's true matches, and each piece sums its images' rows of a table that
says which trial drew which candidate.

One ranked list serves all trials because candidates stand in an order with which every trial's gallery agrees:
galleries are drawn folder by folder (one identity on one camera), and images of one folder that tie are
interchangeable, being all true or all false.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from vibench.evaluation.order import stable_order
from vibench.protocols import Skip


@dataclass(frozen=True)
class Sought:
    """Who is on which image, (N,) int64 each."""

    pids: Tensor
    cameras: Tensor

    def __getitem__(self, rows: Tensor | slice) -> Sought:
        return Sought(self.pids[rows], self.cameras[rows])


@dataclass(frozen=True)
class Outcome:
    """Per query and trial."""

    ap: Tensor
    """(Q, T) float64 average precision, NaN for a query without reachable match."""
    inp: Tensor
    """(Q, T) float64 inverse negative penalty (Ye et al., TPAMI 2021): matches / rank of the last; NaN likewise."""
    first_hit: Tensor
    """(Q, T) int64 rank of the first true match under the CMC rule, from 1; 0 likewise."""
    camera_ap: Tensor
    """(Q, T, K) float64 average precision of the true matches of each of `Ranker.cameras` alone, see `PerQuery`."""
    camera_first_hit: Tensor
    """(Q, T, K) int64 rank of the first of them, in images."""


class Ranker:
    """Ranks queries against the candidate gallery of trials that share query images, skip rule and CMC rule."""

    def __init__(self, candidates: Sought, drawn: Tensor, skip: Skip, cmc: str) -> None:
        """``drawn`` (C, T) bool tells which trial has which candidate, at least one each; their order breaks ties."""
        self.candidates = candidates
        self.drawn = drawn
        self._weights = drawn.float()
        self._unique = cmc == "unique"
        self._skip = skip
        self.cameras = candidates.cameras.unique()
        """(K,) int64 ascending."""
        self._pids, codes = candidates.pids.unique(return_inverse=True)
        device = codes.device
        everything = torch.arange(len(codes), device=device)
        # One more row, all padding, for queries whose identity no candidate has.
        self._matches, self._is_match = _columns_per_identity(everything, codes, len(self._pids) + 1)
        self._galleries = [
            _first_repeated(*_columns_per_identity(columns, codes[columns], len(self._pids)))
            for columns in (drawn[:, trial].nonzero()[:, 0] for trial in range(drawn.shape[1] if self._unique else 0))
        ]

    def bytes_per_query(self) -> int:
        """Peak memory that `rank` takes per query, scores included, roughly."""
        candidates, trials = self.drawn.shape
        widest = max((columns.numel() for columns in self._galleries), default=0)
        return 40 * candidates + 72 * (self._matches.shape[1] + 1) * trials + 8 * widest

    def rank(self, scores: Tensor, query: Sought) -> Outcome:
        """Score matrix (Q, C) float64, larger for what is more alike, finite; it is overwritten."""
        matches, real, reachable = self._true_matches(query)
        self._put_skipped_last(scores, query, matches, real & ~reachable)
        order = stable_order(scores)
        last = order.shape[1] - 1
        places = torch.empty_like(order, dtype=torch.int32)
        places.scatter_(1, order, torch.arange(last + 1, dtype=torch.int32, device=order.device).expand_as(order))

        # A query's matches, best first; what cannot be reached comes last and counts as drawn by no trial.
        at = places.gather(1, matches).masked_fill_(~reachable, last).long()
        at, best_first = at.sort(dim=1)
        drawn = self.drawn[matches.gather(1, best_first)] & reachable.gather(1, best_first)[:, :, None]
        ranks = self._ranks(order, at)
        zero = torch.zeros((), dtype=torch.float64, device=order.device)
        found = drawn.cumsum(dim=1, dtype=torch.float64)
        total = found[:, -1]
        # Without a match these are 0/0, the NaN that marks an invalid query.
        ap = torch.where(drawn, found / ranks, zero).sum(dim=1) / total
        inp = total / torch.where(drawn, ranks, zero).amax(dim=1)
        if self._unique:
            best = torch.where(drawn, at[:, :, None], last + 1).amin(dim=1)
            first_hit = self._identities_before(places, best) + 1
        else:
            first_hit = torch.where(drawn, ranks, torch.inf).amin(dim=1).nan_to_num(posinf=0).long()
        cameras = self.candidates.cameras[matches].gather(1, best_first)
        by_camera = [
            _sought_alone(drawn & (cameras == camera)[:, :, None], ranks - found) for camera in self.cameras.tolist()
        ]
        camera_ap, camera_first_hit = (torch.stack(values, dim=2) for values in zip(*by_camera, strict=True))
        return Outcome(ap, inp, first_hit.masked_fill_(total == 0, 0), camera_ap, camera_first_hit)

    def _true_matches(self, query: Sought) -> tuple[Tensor, Tensor, Tensor]:
        """Columns of the query's identity, which of them are no padding, and which are not skipped; (Q, M) each."""
        code = torch.searchsorted(self._pids, query.pids).clamp_(max=len(self._pids) - 1)
        code = torch.where(self._pids[code] == query.pids, code, len(self._pids))
        matches, real = self._matches[code], self._is_match[code]
        reachable = real.clone()
        cameras = self.candidates.cameras[matches]
        for query_camera, gallery_camera in self._skip.cameras:
            reachable &= (query.cameras != query_camera)[:, None] | (cameras != gallery_camera)
        return matches, real, reachable

    def _put_skipped_last(self, scores: Tensor, query: Sought, matches: Tensor, skipped: Tensor) -> None:
        """Behind all others, where no reachable match follows, skipped images count nowhere.

        ``skipped`` (Q, M) marks those among the query's own identity.
        """
        if self._skip.identities == "same":
            rows, nth = skipped.nonzero(as_tuple=True)
            scores[rows, matches[rows, nth]] = -torch.inf
            return
        for query_camera, gallery_camera in self._skip.cameras:
            rows = (query.cameras == query_camera)[:, None]
            scores.masked_fill_(rows & (self.candidates.cameras == gallery_camera), -torch.inf)

    def _ranks(self, order: Tensor, at: Tensor) -> Tensor:
        """Ranks (Q, M, T) from 1 in each trial's gallery; ``at`` (Q, M) are the matches' places in the ranked list."""
        queries, candidates = order.shape
        # The piece that begins after the last match is counted too and dropped.
        starts = torch.cat([torch.zeros_like(at[:, :1]), at + 1], dim=1)
        starts += candidates * torch.arange(queries, device=at.device)[:, None]
        pieces = embedding_bag(order.reshape(-1), self._weights, starts.reshape(-1), mode="sum")
        return pieces.view(queries, starts.shape[1], -1)[:, :-1].cumsum(dim=1, dtype=torch.float64)

    def _identities_before(self, places: Tensor, best: Tensor) -> Tensor:
        """How many identities of each trial's gallery have an image before ``best`` (Q, T) in the ranked list."""
        by_candidate = places.T.contiguous()
        before = torch.empty_like(best)
        for trial, columns in enumerate(self._galleries):
            nearest = by_candidate[columns].amin(dim=0)
            before[:, trial] = (nearest < best[:, trial]).sum(dim=0)
        return before


def _columns_per_identity(columns: Tensor, codes: Tensor, identities: int) -> tuple[Tensor, Tensor]:
    """The columns of each identity code, (identities, most) padded with zeros, and which entries are real."""
    sorted_codes, by_identity = codes.sort(stable=True)
    counts = torch.bincount(codes, minlength=identities)
    nth = torch.arange(len(codes), device=codes.device) - (counts.cumsum(0) - counts)[sorted_codes]
    table = columns.new_zeros(identities, int(counts.max()))
    table[sorted_codes, nth] = columns[by_identity]
    return table, torch.arange(table.shape[1], device=codes.device) < counts[:, None]


def _sought_alone(sought: Tensor, wrong_before: Tensor) -> tuple[Tensor, Tensor]:
    """Average precision and first rank, (Q, T) each, where of the matches (Q, M, T), best first, some are sought.

    ``wrong_before`` (Q, M, T) counts the images before each match that are no match; matches not sought do not count.
    """
    found = sought.cumsum(dim=1, dtype=torch.float64)
    ranks = wrong_before + found
    zero = torch.zeros((), dtype=torch.float64, device=ranks.device)
    ap = torch.where(sought, found / ranks, zero).sum(dim=1) / found[:, -1]
    return ap, torch.where(sought, ranks, torch.inf).amin(dim=1).nan_to_num(posinf=0).long()


def _first_repeated(table: Tensor, real: Tensor) -> Tensor:
    """Columns (most, identities) of the identities that have any, padded with their first, which changes no minimum."""
    present = real[:, 0]
    return torch.where(real, table, table[:, :1])[present].T
