"""Average precision, inverse negative penalty and first hit of every query in every trial, without a loop over queries.

All of them follow from how many wrong images stand before each true match: the nth match of a trial is at rank n plus
that number. All trials draw from the same candidates, so a query's keys are sorted once, see
`vibench.evaluation.counting`, and the list is cut before each match: what a trial has of a piece is the sum of the
piece's rows of a table that says which trial drew which candidate. Where every candidate is drawn, the place in the
list is the number itself, and the gallery can come in pieces.

One list serves all trials because candidates stand in an order with which every trial's gallery agrees: galleries are
drawn folder by folder (one identity on one camera), and images of one folder that tie are interchangeable, being all
true or all false. Draws that order their folders differently break ties in two ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from vibench.evaluation.counting import Counted, Hidden, Targets, count_before, sorted_rows
from vibench.evaluation.distances import Comparison, Matrix
from vibench.protocols import Skip
from vibench.runtime.progress import Advance

_NEVER = torch.iinfo(torch.int32).max
_CANDIDATES = 4096
_PAIRS = 1 << 21
"""A block of so many stays near the processor."""


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


@dataclass(frozen=True)
class _Drawn:
    """The true matches that are drawn in trials which draw equally many of an identity on each camera, at most."""

    trials: Tensor
    """(t,) int64, counted among those of one `TieOrder`."""
    slots: list[Tensor]
    """Per camera (identities + 1, t, m) int64: which of an identity's matches."""
    real: list[Tensor]
    """Per camera (identities + 1, t, m) bool: no padding."""


class Ranker:
    """Ranks queries against the candidate gallery of trials that share query images, skip rule and CMC rule."""

    def __init__(
        self, candidates: Sought, drawn: Tensor, skip: Skip, cmc: str, tie_orders: Sequence[TieOrder] = ()
    ) -> None:
        """``drawn`` (C, T) bool tells which trial has which candidate, at least one each; every trial has one of
        ``tie_orders``, or all break ties by the order of the candidates."""
        self.candidates = candidates
        self._skip = skip
        self.cameras = candidates.cameras.unique()
        """(K,) int64 ascending."""
        self._pids, codes = candidates.pids.unique(return_inverse=True)
        device = codes.device
        everything = torch.arange(len(codes), device=device)
        # One more row, all padding, for queries whose identity no candidate has.
        self._matches, self._is_match = _columns_per_identity(everything, codes, len(self._pids) + 1)
        self._tie_orders = tie_orders or (TieOrder(torch.arange(drawn.shape[1], device=device)),)
        self._whole = bool(drawn.all()) and drawn.shape[1] == 1
        self._weights = [drawn[:, order.trials].float() for order in self._tie_orders]
        of_matches = drawn[self._matches] & self._is_match[:, :, None]
        on_camera = candidates.cameras[self._matches][:, :, None] == self.cameras
        self._drawn = [_by_width(of_matches[:, :, order.trials], on_camera) for order in self._tie_orders]
        self._galleries = [
            [
                _first_repeated(*_columns_per_identity(columns, codes[columns], len(self._pids)))
                for columns in (drawn[:, trial].nonzero()[:, 0] for trial in order.trials.tolist())
            ]
            for order in self._tie_orders
            if cmc == "unique"
        ]

    def rank(self, scores: Comparison | Matrix, query: Sought, memory: int, advance: Advance) -> Outcome:
        """The outcome of all queries; takes about ``memory`` bytes at most, or what one query takes.

        Raises `VibenchError` for scores that are no finite numbers.
        """
        code = torch.searchsorted(self._pids, query.pids).clamp_(max=len(self._pids) - 1)
        code = torch.where(self._pids[code] == query.pids, code, len(self._pids))
        in_pieces = self._whole and not self._galleries and isinstance(scores, Comparison)
        at_once = min(_CANDIDATES, len(self.candidates.pids)) if in_pieces else len(self.candidates.pids)
        size = max(1, min(_PAIRS // at_once, memory // self._bytes_per_query(at_once)))
        parts = [slice(start, min(start + size, len(code))) for start in range(0, len(code), size)]
        if in_pieces:
            assert isinstance(scores, Comparison)
            before, opened = self._count_in_pieces(scores, query, code, parts, advance)
            found = []
            for part in parts:
                *_, reachable = self._targets(query[part], code[part])
                counts = _with_none(before[part])
                found.append(_outcome(self._of_tie_order(0, None, counts, code[part], reachable), opened[part]))
        else:
            found = []
            for part in parts:
                found.append(self._rank_part(scores, part, query[part], code[part]))
                advance(part.stop - part.start)
        return Outcome(*(torch.cat([getattr(one, field.name) for one in found]) for field in fields(Outcome)))

    def _bytes_per_query(self, candidates: int) -> int:
        trials = sum(weights.shape[1] for weights in self._weights)
        widest = max((table.numel() for tables in self._galleries for table in tables), default=0)
        matches = sum(slots[0].numel() for groups in self._drawn for drawn in groups for slots in drawn.slots)
        return 40 * candidates + 12 * (self._matches.shape[1] + 1) * trials + 72 * matches + 4 * widest

    def _targets(self, query: Sought, code: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Columns of the query's identity, which of them are no padding, and which are not skipped; (Q, M) each."""
        matches, real = self._matches[code], self._is_match[code]
        reachable = real.clone()
        cameras = self.candidates.cameras[matches]
        for query_camera, gallery_camera in self._skip.cameras:
            reachable &= (query.cameras != query_camera)[:, None] | (cameras != gallery_camera)
        return matches, real, reachable

    def _hidden(self, query: Sought, matches: Tensor, real: Tensor, columns: slice) -> Hidden:
        rows, nth = (real & (matches >= columns.start) & (matches < columns.stop)).nonzero(as_tuple=True)
        pairs = self._skip.cameras if self._skip.identities == "any" else ()
        cameras = self.candidates.cameras[columns]
        return Hidden(
            rows,
            matches[rows, nth] - columns.start,
            tuple((query.cameras == one, cameras == other) for one, other in pairs),
        )

    def _count_in_pieces(
        self, scores: Comparison, query: Sought, code: Tensor, parts: Sequence[slice], advance: Advance
    ) -> tuple[Tensor, Tensor]:
        """Wrong images before each match (Q, M), and images compared exactly (Q,), piece after piece of the gallery."""
        candidates, ties = len(self.candidates.pids), [self._tie_orders[0].places]
        before = torch.zeros(len(code), self._matches.shape[1], dtype=torch.int64, device=code.device)
        opened = torch.zeros_like(code)
        found = [self._targets(query[part], code[part]) for part in parts]
        exact = [scores.exact_at(part, matches) for part, (matches, _, _) in zip(parts, found, strict=True)]
        done = 0
        for start in range(0, candidates, _CANDIDATES):
            columns = slice(start, min(start + _CANDIDATES, candidates))
            for part, (matches, real, reachable), known in zip(parts, found, exact, strict=True):
                targets = Targets(matches, reachable, known, scores.values_of(part, known))
                hidden = self._hidden(query[part], matches, real, columns)
                (counted,), pairs = count_before(scores.block(part, columns), targets, hidden, ties, start)
                before[part] += counted.before
                opened[part] += pairs
                scores.found_open(float(pairs.sum()) / (len(pairs) * (columns.stop - columns.start)))
                share = part.stop * (columns.stop - start) + len(code) * start
                advance(share // candidates - done)
                done = share // candidates
        return before, opened

    def _rank_part(self, scores: Comparison | Matrix, part: slice, query: Sought, code: Tensor) -> Outcome:
        """The outcome of the queries ``part`` with identity codes (q,)."""
        matches, real, reachable = self._targets(query, code)
        hidden = self._hidden(query, matches, real, slice(0, len(self.candidates.pids)))
        ties = [order.places for order in self._tie_orders]
        targets = Targets(matches, reachable)
        if isinstance(scores, Comparison) and scores.dtype == torch.float32:
            exact = scores.exact_at(part, matches)
            targets = Targets(matches, reachable, exact, scores.values_of(part, exact))
        counts, opened = count_before(scores.block(part), targets, hidden, ties)
        compared = float(opened.sum() + reachable.sum())
        scores.found_open(compared / (len(opened) * len(self.candidates.pids)))
        found = [
            self._of_tie_order(at, counted, self._before_in_trials(counted, self._weights[at]), code, reachable)
            for at, counted in enumerate(counts)
        ]
        in_order = torch.cat([order.trials for order in self._tie_orders]).argsort()
        return _outcome([torch.cat(values, dim=1)[:, in_order] for values in zip(*found, strict=True)], opened)

    def _of_tie_order(
        self, at: int, counted: Counted | None, before: Tensor, code: Tensor, reachable: Tensor
    ) -> list[Tensor]:
        """The first five fields of `Outcome` for the trials of the tie order ``at``.

        ``before`` (q, M + 1, t) counts wrong images before each of a query's matches, the best match first where
        ``counted`` is given, and has one more row of `_NEVER`.
        """
        most = reachable.shape[1]
        best_first = None if counted is None else counted.before.argsort(dim=1)
        if best_first is None:
            nth = torch.arange(most, device=code.device).expand(reachable.shape)
        else:
            nth = torch.empty_like(best_first)
            nth.scatter_(1, best_first, torch.arange(most, device=code.device).expand_as(best_first))
        nth = nth.masked_fill(~reachable, most)
        groups = [_scores(before, nth, drawn, code) for drawn in self._drawn[at]]
        in_order = torch.cat([drawn.trials for drawn in self._drawn[at]]).argsort()
        best, *found = (torch.cat(values, dim=1)[:, in_order] for values in zip(*groups, strict=True))
        if self._galleries and counted is not None:
            places = torch.nn.functional.pad(counted.before.sort(dim=1).values, (0, 1))
            hits = _identities_before(counted.order, places.gather(1, best), self._galleries[at]) + 1
            found[2] = hits.masked_fill_(found[2] == 0, 0)
        return found

    def _before_in_trials(self, counted: Counted, weights: Tensor) -> Tensor:
        """Wrong images of each trial's gallery before each match, the best match first, (q, M + 1, t) int32."""
        places = counted.before.sort(dim=1).values
        if self._whole:
            return _with_none(places)
        # The piece that begins at the last match is no match's.
        starts = torch.nn.functional.pad(places, (1, 0))
        starts += counted.order.shape[1] * torch.arange(len(starts), device=starts.device)[:, None]
        pieces = embedding_bag(
            counted.order.reshape(-1), weights, starts.reshape(-1).to(counted.order.dtype), mode="sum"
        )
        before = pieces.view(*starts.shape, -1).int()
        torch.cumsum(before, dim=1, dtype=torch.int32, out=before)
        before[:, -1] = _NEVER
        return before


def _with_none(before: Tensor) -> Tensor:
    """Counts (q, M) of one trial with one more row, (q, M + 1, 1) int32."""
    return torch.nn.functional.pad(before.int(), (0, 1), value=_NEVER)[:, :, None]


def _outcome(found: list[Tensor], opened: Tensor) -> Outcome:
    return Outcome(*found, opened)  # type: ignore[call-arg]


def _scores(before: Tensor, nth: Tensor, drawn: _Drawn, code: Tensor) -> tuple[Tensor, ...]:
    """Which match is the best (q, t), and the first five fields of `Outcome`, first hits counted in images.

    ``before`` (q, M + 1, T) counts wrong images before the nth match, ``nth`` (q, M) says which these are, M for none.
    """
    most, trials = before.shape[1] - 1, before.shape[2]
    counts = before.flatten(1)
    best: list[Tensor] = []
    by_camera: list[Tensor] = []
    for slots, real in zip(drawn.slots, drawn.real, strict=True):
        chosen = nth.gather(1, slots[code].flatten(1)).view(-1, *slots.shape[1:])
        chosen.masked_fill_(~real[code], most)
        best.append(chosen.amin(dim=2))
        chosen.mul_(trials).add_(drawn.trials[:, None])
        by_camera.append(counts.gather(1, chosen.flatten(1)).view_as(chosen))
    together = _precisions(torch.cat(by_camera, dim=2))
    alone = [_precisions(counted) for counted in by_camera]
    camera_ap, camera_first = (torch.stack([one[at] for one in alone], dim=2) for at in (0, 2))
    return torch.stack(best).amin(dim=0), *together, camera_ap, camera_first


def _precisions(before: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Average precision, inverse negative penalty and first rank (q, t) of matches.

    ``before`` (q, t, m) int32 counts the wrong images before each, `_NEVER` for none; it is sorted.
    """
    before = sorted_rows(before.view(-1, before.shape[2])).view_as(before)
    none = before == _NEVER
    total = (~none).sum(dim=2)
    found = torch.arange(1, before.shape[2] + 1, dtype=torch.float64, device=before.device)
    # Without a match these are 0/0, the NaN that marks an invalid query.
    ap = (found / (before + found)).masked_fill_(none, 0.0).sum(dim=2) / total
    last = before.gather(2, (total - 1).clamp_(min=0)[:, :, None])[:, :, 0].long() + total
    inp = total.double() / last.masked_fill_(total == 0, 0)
    return ap, inp, (before[:, :, 0].long() + 1).masked_fill_(total == 0, 0)


def _identities_before(order: Tensor, best: Tensor, galleries: Sequence[Tensor]) -> Tensor:
    """How many identities of each trial's gallery have an image before place ``best`` (q, t) of the list ``order``."""
    candidates = order.shape[1]
    places = torch.empty_like(order, dtype=torch.int16 if candidates < 2**15 else torch.int32)
    places.scatter_(1, order.long(), torch.arange(candidates, dtype=places.dtype, device=order.device).expand_as(order))
    by_candidate = places.T.contiguous()
    before = torch.empty_like(best, dtype=torch.int64)
    best = best.to(places.dtype)
    for trial, columns in enumerate(galleries):
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


def _by_width(drawn: Tensor, on_camera: Tensor) -> list[_Drawn]:
    """``drawn`` (identities, M, T) bool, the matches that trials draw, sorted into groups of trials.

    ``on_camera`` (identities, M, K) bool tells which camera a match is from.
    """
    on_cameras = [drawn & on_camera[:, :, at, None] for at in range(on_camera.shape[2])]
    widths = torch.stack([of_camera.sum(dim=1).amax(dim=0) for of_camera in on_cameras], dim=1)
    groups = []
    for several in widths.unique(dim=0):
        trials = (widths == several).all(dim=1).nonzero()[:, 0]
        slots, real = [], []
        for of_camera, width in zip(on_cameras, several.clamp(min=1).tolist(), strict=True):
            first = of_camera[:, :, trials].transpose(1, 2).byte().sort(dim=2, descending=True, stable=True)
            slots.append(first.indices[:, :, :width].contiguous())
            real.append(first.values[:, :, :width].bool())
        groups.append(_Drawn(trials, slots, real))
    return groups


def _first_repeated(table: Tensor, real: Tensor) -> Tensor:
    """Columns (most, identities) of the identities that have any, padded with their first, which changes no minimum."""
    present = real[:, 0]
    return torch.where(real, table, table[:, :1])[present].T
