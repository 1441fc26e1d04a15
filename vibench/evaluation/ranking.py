"""Average precision, inverse negative penalty and first hit of every query in every trial, without a loop over queries.

All of them follow from how many wrong images stand before each true match: the nth match of a trial is at rank n plus
that number. All trials draw from the same candidates, so a query's keys are sorted once, see
`vibench.evaluation.counting`, and the list is cut before each match: what a trial has of a piece is the sum of the
piece's rows of a table that says which trial drew which candidate. What pieces of the gallery yield is added up.

One list serves all trials because candidates stand in an order with which every trial's gallery agrees: galleries are
drawn folder by folder (one identity on one camera), and images of one folder that tie are interchangeable. Draws that
order their folders differently break ties in two ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from vibench.evaluation.counting import Matches, WrongImages, sorted_rows
from vibench.evaluation.distances import Comparison, Matrix
from vibench.protocols import Skip
from vibench.runtime.progress import Advance

_NEVER = torch.iinfo(torch.int32).max
_CANDIDATES = 4096
_PAIRS = 1 << 21
"""A block of so many stays near the processor."""
_PAIR_BYTES = 128
"""What a pair takes where all of a block are compared exactly."""


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
    opened: Tensor
    """(Q,) int64 images that were compared exactly."""


@dataclass(frozen=True)
class TieOrder:
    """Trials that break ties in one order."""

    trials: Tensor
    """(t,) int64."""
    places: Tensor | None = None
    """(C,) int64: where each candidate stands in that order; None: where it stands."""


class _Trials:
    """What trials that break ties in one order draw."""

    def __init__(self, order: TieOrder, drawn: Tensor, is_match: Tensor, codes: Tensor | None) -> None:
        """``drawn`` (C, t) bool; ``is_match`` (identities, K, M, t) bool tells which of an identity's images on each
        camera are drawn; ``codes`` (C,) int64 tells identities apart where these are counted."""
        self.ties = torch.arange(len(drawn), device=drawn.device) if order.places is None else order.places
        self.columns = self.ties.argsort()
        self.drawn = drawn.float()
        self.groups: list[tuple[Tensor, Tensor]] = []
        """Trials (t,) whose most images of a folder are equally many, and which they draw (identities, t, K, m), M for
        none."""
        widths = is_match.sum(dim=2).amax(dim=(0, 1))
        for width in widths.unique().tolist():
            trials = (widths == width).nonzero()[:, 0]
            first = is_match[..., trials].permute(0, 3, 1, 2).byte().sort(dim=3, descending=True, stable=True)
            slots = first.indices.masked_fill(first.values == 0, is_match.shape[2])
            self.groups.append((trials, slots[..., :width].contiguous()))
        self.in_order = torch.cat([trials for trials, _ in self.groups]).argsort()
        chosen = [column.nonzero()[:, 0] for column in drawn.T]
        self.galleries = [] if codes is None else [_of_identities(columns, codes[columns]) for columns in chosen]


class Ranker:
    """Ranks queries against the candidate gallery of trials that share query images, skip rule and CMC rule."""

    def __init__(
        self, candidates: Sought, drawn: Tensor, skip: Skip, cmc: str, tie_orders: Sequence[TieOrder] = ()
    ) -> None:
        """``drawn`` (C, T) bool tells which trial has which candidate, at least one each; every trial has one of
        ``tie_orders``, or all break ties by the order of the candidates."""
        self.candidates, self._skip, self._unique = candidates, skip, cmc == "unique"
        self.cameras = candidates.cameras.unique()
        """(K,) int64 ascending."""
        self._pids, codes = candidates.pids.unique(return_inverse=True)
        counted = codes if self._unique else None
        # One more row, all padding, for queries whose identity no candidate has.
        self._matches, self._is_match = _by_group(codes, more=1)
        orders = tie_orders or (TieOrder(torch.arange(drawn.shape[1], device=drawn.device)),)
        on_camera = candidates.cameras[self._matches][:, None] == self.cameras[:, None]
        of_cameras = (on_camera & self._is_match[:, None])[..., None] & drawn[self._matches][:, None]
        self._trials = [_Trials(one, drawn[:, one.trials], of_cameras[..., one.trials], counted) for one in orders]
        self._in_order = torch.cat([one.trials for one in orders]).argsort()
        self._whole = bool(drawn.all()) and drawn.shape[1] == 1

    def rank(self, scores: Comparison | Matrix, query: Sought, memory: int, advance: Advance) -> Outcome:
        """The outcome of all queries; takes about ``memory`` bytes at most, or what one query takes.

        Raises `VibenchError` for scores that are no finite numbers.
        """
        candidates, trials = len(self.candidates.pids), len(self._in_order)
        # Which identities come before a match cannot be added up.
        at_once = candidates if self._unique else min(_CANDIDATES, candidates)
        bytes_per_query = _PAIR_BYTES * at_once + 40 * (self._matches.shape[1] + 1) * trials
        size = max(1, min(_PAIRS // at_once, memory // bytes_per_query))
        found = []
        for start in range(0, len(query.pids), size):
            part = slice(start, min(start + size, len(query.pids)))
            found.append(self._rank_part(scores, part, query[part], at_once, advance))
        return Outcome(*(torch.cat([getattr(one, field.name) for one in found]) for field in fields(Outcome)))

    def _rank_part(
        self, scores: Comparison | Matrix, part: slice, query: Sought, at_once: int, advance: Advance
    ) -> Outcome:
        """The outcome of the queries ``part``, against ``at_once`` candidates at once."""
        candidates = len(self.candidates.pids)
        code = torch.searchsorted(self._pids, query.pids).clamp_(max=len(self._pids) - 1)
        code = torch.where(self._pids[code] == query.pids, code, len(self._pids))
        columns = self._matches[code]
        reachable = self._is_match[code] & ~skipped_pairs(
            self._skip, query.cameras[:, None], self.candidates.cameras[columns]
        )
        rows = torch.arange(len(code), device=code.device).repeat_interleave(columns.shape[1])
        exact = scores.exact(part, rows, columns.flatten()).view_as(columns)
        matches = Matches(columns, exact.masked_fill_(~reachable, -torch.inf))
        # Wrong images before each match, among all candidates and among those of each trial.
        places = [torch.zeros_like(columns) for _ in self._trials]
        before = [
            columns.new_zeros(*columns.shape, trials.drawn.shape[1], dtype=torch.int32) for trials in self._trials
        ]
        opened = torch.zeros_like(code)
        for start in range(0, candidates, at_once):
            block = slice(start, min(start + at_once, candidates))
            wrong = WrongImages(
                scores.block(part, block),
                lambda rows, at, start=start: scores.exact(part, rows, at + start),  # type: ignore[misc]
                self._hidden(query, code, block),
                matches,
                start,
            )
            scores.found_open(float(wrong.opened.sum()) / (len(code) * (block.stop - start)))
            opened += wrong.opened
            orders = []
            for at, trials in enumerate(self._trials):
                here, order = wrong.in_order(trials.ties, trials.columns)
                places[at] += here
                before[at] += here.int()[:, :, None] if self._whole else _in_trials(here, order, trials.drawn[block])
                orders.append(order)
            # A few queries may take minutes to go through a large gallery.
            advance(len(code) * block.stop // candidates - len(code) * start // candidates)
        found = [
            self._of_trials(*each, code, reachable) for each in zip(self._trials, places, before, orders, strict=True)
        ]
        of_all = [torch.cat(one, dim=1)[:, self._in_order] for one in zip(*found, strict=True)]
        return Outcome(*of_all, opened)  # type: ignore[call-arg]

    def _hidden(self, query: Sought, code: Tensor, block: slice) -> tuple[Tensor, Tensor]:
        """Rows and columns (n,) of a block's images that are not wrong: of the query's identity, or skipped."""
        matches = self._matches[code]
        rows, nth = (self._is_match[code] & (matches >= block.start) & (matches < block.stop)).nonzero(as_tuple=True)
        columns = matches[rows, nth] - block.start
        if self._skip.identities == "same" or not self._skip.cameras:
            return rows, columns
        skipped = skipped_pairs(self._skip, query.cameras[:, None], self.candidates.cameras[block])
        more_rows, more_columns = skipped.nonzero(as_tuple=True)
        return torch.cat([rows, more_rows]), torch.cat([columns, more_columns])

    def _of_trials(
        self, trials: _Trials, places: Tensor, before: Tensor, order: Tensor, code: Tensor, reachable: Tensor
    ) -> list[Tensor]:
        """The first five fields of `Outcome`.

        ``places`` (q, M) and ``before`` (q, M, t) count wrong images before each match among all candidates and among
        those of each trial, ``order`` (q, C) lists the former.
        """
        places = pad(places.masked_fill_(~reachable, _NEVER), (0, 1), value=_NEVER)
        before = pad(before.masked_fill_(~reachable[:, :, None], _NEVER), (0, 0, 0, 1), value=_NEVER)
        groups = []
        for chosen, slots in trials.groups:
            own = slots[code]
            at = (own * before.shape[2]).add_(chosen[:, None, None])
            counts = before.flatten(1).gather(1, at.flatten(1)).view_as(own)
            camera_ap, _, camera_first = _precisions(counts)
            together = (figure[:, :, 0] for figure in _precisions(counts.flatten(2)[:, :, None]))
            best = places.gather(1, own.flatten(1)).view(*own.shape[:2], -1).amin(dim=2)
            groups.append((*together, camera_ap, camera_first, best))
        *found, best = (torch.cat(values, dim=1)[:, trials.in_order] for values in zip(*groups, strict=True))
        if self._unique:
            hits = _identities_before(order, best, trials.galleries) + 1
            found[2] = hits.masked_fill_(found[2] == 0, 0)
        return found


def skipped_pairs(skip: Skip, query: Tensor, gallery: Tensor) -> Tensor:
    """Which pairs of cameras the rule names, whoever is on the images; bool of whatever shape the two have together."""
    skipped = torch.zeros(torch.broadcast_shapes(query.shape, gallery.shape), dtype=torch.bool, device=query.device)
    for query_camera, gallery_camera in skip.cameras:
        skipped |= (query == query_camera) & (gallery == gallery_camera)
    return skipped


def _in_trials(places: Tensor, order: Tensor, drawn: Tensor) -> Tensor:
    """Wrong images of each trial before each match, (q, M, t) int32.

    ``places`` (q, M) counts them in the list ``order`` (q, g) of all, ``drawn`` (g, t) float32 tells whose they are.
    """
    ascending, best_first = places.sort(dim=1)
    each = torch.arange(len(places), device=places.device)[:, None]
    # The piece that begins at the last match is no match's.
    starts = pad(ascending, (1, 0)).add_(order.shape[1] * each)
    pieces = embedding_bag(order.flatten(), drawn, starts.flatten().to(order.dtype), mode="sum")
    before = pieces.view(*starts.shape, -1)[:, :-1].int()
    torch.cumsum(before, dim=1, dtype=torch.int32, out=before)
    return before.flatten(0, 1)[best_first.argsort(dim=1) + places.shape[1] * each]


def _precisions(before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Average precision, inverse negative penalty and first rank (q, t, k) of matches.

    ``before`` (q, t, k, m) int32 counts the wrong images before each, `_NEVER` for none; it is sorted.
    """
    before = sorted_rows(before.view(-1, before.shape[3])).view_as(before)
    none = before == _NEVER
    total = (~none).sum(dim=3)
    found = torch.arange(1, before.shape[3] + 1, dtype=torch.float64, device=before.device)
    precisions = (found / (before + found)).masked_fill_(none, 0.0)
    # One after the other, so that it does not matter how much padding follows; a cumulated sum does not repeat itself
    # on CUDA. Without a match, 0/0 marks the query.
    ap = precisions[..., 0].clone()
    for one in precisions.unbind(dim=3)[1:]:
        ap += one
    ap /= total
    last = before.gather(3, (total - 1).clamp_(min=0)[..., None])[..., 0].long() + total
    inp = total.double() / last.masked_fill_(total == 0, 0)
    return ap, inp, (before[..., 0].long() + 1).masked_fill_(total == 0, 0)


def _identities_before(order: Tensor, best: Tensor, galleries: Sequence[Tensor]) -> Tensor:
    """How many identities of each trial's gallery have an image before place ``best`` (q, t) of the list ``order``."""
    candidates = order.shape[1]
    kind = torch.int16 if candidates < 2**15 else torch.int32
    places = torch.empty_like(order, dtype=kind)
    places.scatter_(1, order.long(), torch.arange(candidates, dtype=kind, device=order.device).expand_as(order))
    by_candidate = places.T.contiguous()
    best = best.clamp(max=candidates).to(kind)
    before = [
        (by_candidate.index_select(0, columns.flatten()).view(*columns.shape, -1).amin(dim=0) < best[:, trial]).sum(
            dim=0
        )
        for trial, columns in enumerate(galleries)
    ]
    return torch.stack(before, dim=1)


def _of_identities(columns: Tensor, codes: Tensor) -> Tensor:
    """Columns (most, identities), by identity; the first again and again where an identity has fewer."""
    table, real = _by_group(codes)
    return columns[table][real[:, 0]].T.contiguous()


def _by_group(codes: Tensor, more: int = 0) -> tuple[Tensor, Tensor]:
    """The places of each code in ``codes`` (n,), and ``more`` codes, (groups, most) int64, and which entries are real;
    the first place again and again where there are fewer."""
    counts = pad(torch.bincount(codes), (0, more))
    nth = torch.arange(int(counts.max()), device=codes.device)
    real = nth < counts[:, None]
    at = (counts.cumsum(0) - counts)[:, None] + nth * real
    return codes.argsort(stable=True)[at.clamp_(max=len(codes) - 1)], real
