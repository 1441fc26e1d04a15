"""Average precision, inverse negative penalty and first hit of every query in every trial, without a loop over queries.

All trials draw from the same candidates. A query ranks the candidates once; the rank of a true match within one
trial's gallery is then the number of that trial's images up to the match, which is counted for all trials together:
the ranked list is cut after each of the query's true matches, and each piece sums its images' rows of a table that
says which trial drew which candidate.

One ranked list serves all trials because candidates stand in an order with which every trial's gallery agrees:
galleries are drawn folder by folder (one identity on one camera), and images of one folder that tie are
interchangeable, being all true or all false. Where draws order their folders differently, the ranked lists differ for
queries with ties only, which are ranked once for each order.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from vibench.evaluation.order import has_ties, stable_order
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


@dataclass(frozen=True)
class TieOrder:
    """Trials that break ties by another order than that in which the candidates stand."""

    trials: Tensor
    """(t,) int64."""
    columns: Tensor
    """(C,) int64: the candidates in that order."""


@dataclass(frozen=True)
class _Drawn:
    """The true matches that are drawn in trials which draw equally many of an identity, at most."""

    trials: Tensor
    """(t,) int64."""
    slots: Tensor
    """(identities + 1, t, m) int64: which of an identity's matches."""
    real: Tensor
    """(identities + 1, t, m) bool: no padding."""


class Ranker:
    """Ranks queries against the candidate gallery of trials that share query images, skip rule and CMC rule."""

    def __init__(
        self, candidates: Sought, drawn: Tensor, skip: Skip, cmc: str, tie_order: TieOrder | None = None
    ) -> None:
        """``drawn`` (C, T) bool tells which trial has which candidate, at least one each.

        The order of the candidates breaks ties, in the trials of ``tie_order`` another; a query without ties is ranked
        once for all trials.
        """
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
        self._drawn_matches = _by_width(drawn[self._matches] & self._is_match[:, :, None])
        self._galleries = [
            _first_repeated(*_columns_per_identity(columns, codes[columns], len(self._pids)))
            for columns in (drawn[:, trial].nonzero()[:, 0] for trial in range(drawn.shape[1] if self._unique else 0))
        ]
        self._tie_order = tie_order
        if tie_order is not None:
            columns, trials = tie_order.columns, tie_order.trials
            self._other = Ranker(candidates[columns], drawn[columns][:, trials], skip, cmc)

    def bytes_per_query(self) -> int:
        """Peak memory that `rank` takes per query, scores included, roughly."""
        candidates, trials = self.drawn.shape
        widest = max((columns.numel() for columns in self._galleries), default=0)
        matches = max(drawn.slots[0].numel() for drawn in self._drawn_matches)
        return 40 * candidates + 12 * (self._matches.shape[1] + 1) * trials + 72 * matches + 4 * widest

    def rank(self, scores: Tensor, query: Sought) -> Outcome:
        """Score matrix (Q, C) float64, larger for what is more alike, finite; it is overwritten."""
        code = torch.searchsorted(self._pids, query.pids).clamp_(max=len(self._pids) - 1)
        code = torch.where(self._pids[code] == query.pids, code, len(self._pids))
        matches, real, reachable = self._true_matches(query, code)
        self._put_skipped_last(scores, query, matches, real & ~reachable)
        order = stable_order(scores)
        outcome = self._outcome(order, code, matches, reachable)
        if self._tie_order is not None:
            self._rank_ties_anew(outcome, scores, order, query, self._tie_order)
        return outcome

    def _rank_ties_anew(
        self, outcome: Outcome, scores: Tensor, order: Tensor, query: Sought, tie_order: TieOrder
    ) -> None:
        """Put right what ``outcome`` says of the queries with ties in the trials of ``tie_order``."""
        tied = has_ties(scores, order).nonzero()[:, 0]
        if len(tied) == 0:
            return
        again = self._other.rank(scores[tied][:, tie_order.columns], query[tied])
        for field in fields(Outcome):
            getattr(outcome, field.name)[tied[:, None], tie_order.trials] = getattr(again, field.name)

    def _outcome(self, order: Tensor, code: Tensor, matches: Tensor, reachable: Tensor) -> Outcome:
        """From ranked lists (Q, C), the queries' identities (Q,) and their true matches (Q, M)."""
        candidates, most, trials = order.shape[1], matches.shape[1], self.drawn.shape[1]
        small = torch.int16 if candidates < 2**15 else torch.int32
        places = torch.empty_like(order, dtype=small)
        places.scatter_(1, order, torch.arange(candidates, dtype=small, device=order.device).expand_as(order))

        # A query's matches, best first; what cannot be reached comes last.
        at, best_first = places.gather(1, matches).long().masked_fill_(~reachable, candidates).sort(dim=1)
        ranks = self._ranks(order, at.clamp(max=candidates - 1)).flatten(1)
        cameras = self.candidates.cameras[matches].gather(1, best_first)
        nth = torch.empty_like(best_first)
        nth.scatter_(1, best_first, torch.arange(most, device=order.device).expand_as(best_first))
        nth.masked_fill_(~reachable, most)
        at = torch.nn.functional.pad(at, (0, 1), value=candidates)

        parts = []
        for drawn in self._drawn_matches:
            # (Q, t, m): which of the query's matches each trial has, best first, then ``most`` for none.
            chosen = nth.gather(1, drawn.slots[code].flatten(1)).view(-1, *drawn.slots.shape[1:])
            chosen = chosen.masked_fill_(~drawn.real[code], most).sort(dim=2).values
            best = at.gather(1, chosen[:, :, 0])
            sought = chosen < most
            chosen.clamp_(max=most - 1)
            of_camera = cameras.gather(1, chosen.flatten(1)).view_as(chosen)
            at_rank = ranks.gather(1, (chosen * trials + drawn.trials[:, None]).flatten(1)).view_as(chosen).double()
            parts.append((best, *self._scores(at_rank, sought, of_camera)))
        in_order = torch.cat([drawn.trials for drawn in self._drawn_matches]).argsort()
        best, *scored = (torch.cat(values, dim=1)[:, in_order] for values in zip(*parts, strict=True))
        outcome = Outcome(*scored)
        if self._unique:
            hits = self._identities_before(places, best) + 1
            outcome = replace(outcome, first_hit=hits.masked_fill_(outcome.first_hit == 0, 0))
        return outcome

    def _scores(self, ranks: Tensor, sought: Tensor, cameras: Tensor) -> tuple[Tensor, ...]:
        """The fields of `Outcome`, first hits counted in images, from ranks and cameras (Q, t, m) of matches.

        They stand best first, those not ``sought`` behind.
        """
        found = torch.arange(1, ranks.shape[2] + 1, dtype=torch.float64, device=ranks.device)
        total = sought.sum(dim=2).double()
        zero = torch.zeros((), dtype=torch.float64, device=ranks.device)
        # Without a match these are 0/0, the NaN that marks an invalid query.
        ap = torch.where(sought, found / ranks, zero).sum(dim=2) / total
        inp = total / torch.where(sought, ranks, zero).amax(dim=2)
        first_hit = torch.where(sought[:, :, 0], ranks[:, :, 0], zero).long()
        wrong_before = ranks - found
        by_camera = [_sought_alone(sought & (cameras == camera), wrong_before) for camera in self.cameras.tolist()]
        return ap, inp, first_hit, *(torch.stack(values, dim=2) for values in zip(*by_camera, strict=True))

    def _true_matches(self, query: Sought, code: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Columns of the query's identity, which of them are no padding, and which are not skipped; (Q, M) each."""
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
        return pieces.view(queries, starts.shape[1], -1)[:, :-1].cumsum(dim=1)

    def _identities_before(self, places: Tensor, best: Tensor) -> Tensor:
        """How many identities of each trial's gallery have an image before ``best`` (Q, T) in the ranked list."""
        by_candidate = places.T.contiguous()
        best = best.to(places.dtype)
        before = torch.empty_like(best, dtype=torch.int64)
        for trial, columns in enumerate(self._galleries):
            nearest = by_candidate.index_select(0, columns.flatten()).view(*columns.shape, -1).amin(dim=0)
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


def _by_width(drawn: Tensor) -> list[_Drawn]:
    """``drawn`` (identities, M, T) bool, the matches that trials draw, sorted into groups of trials."""
    widths = drawn.sum(dim=1).amax(dim=0)
    groups = []
    for width in widths.unique().tolist():
        trials = (widths == width).nonzero()[:, 0]
        first = drawn[:, :, trials].transpose(1, 2).byte().sort(dim=2, descending=True, stable=True)
        groups.append(_Drawn(trials, first.indices[:, :, :width], first.values[:, :, :width].bool()))
    return groups


def _sought_alone(sought: Tensor, wrong_before: Tensor) -> tuple[Tensor, Tensor]:
    """Average precision and first rank, (Q, t) each, where of the matches (Q, t, m), best first, some are sought.

    ``wrong_before`` (Q, t, m) counts the images before each match that are no match; matches not sought do not count.
    """
    found = sought.cumsum(dim=2, dtype=torch.float64)
    ranks = wrong_before + found
    zero = torch.zeros((), dtype=torch.float64, device=ranks.device)
    ap = torch.where(sought, found / ranks, zero).sum(dim=2) / found[:, :, -1]
    return ap, torch.where(sought, ranks, torch.inf).amin(dim=2).nan_to_num(posinf=0).long()


def _first_repeated(table: Tensor, real: Tensor) -> Tensor:
    """Columns (most, identities) of the identities that have any, padded with their first, which changes no minimum."""
    present = real[:, 0]
    return torch.where(real, table, table[:, :1])[present].T
