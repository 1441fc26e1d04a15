"""How many wrong gallery images stand before each true match of a query, by sorting cheap keys.

A key is one whole number: the approximate score in its upper bits, so that better images have smaller keys, the image's
column in its lower ones. Keys sort several times faster than scores can be put in order. What stands before a match for
certain is then one binary search away, and so is what might: the images whose scores lie within the bound on the error.
Only these are opened: compared exactly, and put where they belong, equal ones in whatever order a trial asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from vibench.evaluation.distances import Block

_NARROW_COLUMNS = 13
"""Bits for the column, of 32, that leave the score as many as a float32 product has to offer."""
_FILLED, _BOUND, _LAST = 0.98, 0.985, 0.99
"""Of the range of keys: by scores from -1 to 1, which errors go beyond; by what may be opened, however large the bound
on the error; and by what is hidden."""
_SORTED_AT_ONCE = 1 << 17


@dataclass(frozen=True)
class Matches:
    """The true matches of queries, (q, M) each."""

    columns: Tensor
    """int64, counted through the whole gallery."""
    scores: Tensor
    """float64, exact; -inf for padding and what is skipped."""


class WrongImages:
    """The wrong images of a block, best first."""

    def __init__(
        self,
        block: Block,
        exact: Callable[[Tensor, Tensor], Tensor],
        hidden: tuple[Tensor, Tensor],
        matches: Matches,
        first: int = 0,
    ) -> None:
        """``exact`` gives the scores (n,) of rows, ascending, and columns of the block, (n,) each; ``hidden`` are those
        of images that are not wrong. ``first`` is the column of the gallery at which the block begins."""
        bits, kind, limit = _key_format(block.values)
        scale = _FILLED * limit
        values = torch.addcmul(block.offsets * -scale, block.values, block.weights * -scale, out=block.values)
        values[hidden] = _LAST * limit
        keys = sorted_rows(_keys(values, bits, kind))
        wanted, self._best_first = (matches.scores * block.slope).add_(block.shift).mul_(-scale).sort(dim=1)
        margin = block.error * scale
        low, high = (
            torch.searchsorted(keys, edge.clamp_(-limit, _BOUND * limit).to(kind) << bits)
            for edge in ((wanted - margin).floor_(), (wanted + margin).floor_().add_(1.0))
        )
        self._order, self._low, self._first = keys.bitwise_and_((1 << bits) - 1), low, first
        self._places, self.opened = _within(low, high, keys.shape[1])
        """Of opened images in the flattened order, and how many they are in each row."""
        self._unsure = (high > low).nonzero(as_tuple=True)
        rows, nth = self._unsure
        self._certain = torch.searchsorted(self._places, rows * keys.shape[1] + low[rows, nth])
        """Opened images that stand before each such match, or in a row before its row, for certain."""
        owners, columns = self._places // keys.shape[1], self._order.flatten()[self._places].long()
        of_matches = rows, self._best_first[rows, nth]
        scores = torch.cat([exact(owners, columns), matches.scores[of_matches]])
        # In whole numbers scores sort fast together with what breaks ties.
        self._major = torch.cat([owners, rows]).mul_(len(scores)).add_(_ranks(-scores))
        self._columns = torch.cat([columns + first, matches.columns[of_matches]])

    def in_order(self, ties: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """How many stand before each match, (q, M) int64, and their columns in the block (q, g), best first, right
        around matches; then those hidden.

        Equal scores are in the order of ``ties`` (G,) int64, the place of every gallery image, whose inverse is
        ``columns``.
        """
        order, low = self._order.clone(), self._low.clone()
        keys = self._major * len(ties) + ties[self._columns]
        wrong = sorted_rows(keys[: len(self._places)].clone()[None])[0]
        low[self._unsure] += torch.searchsorted(wrong, keys[len(wrong) :]) - self._certain
        order.view(-1)[self._places] = (columns[wrong % len(ties)] - self._first).to(order.dtype)
        return torch.empty_like(low).scatter_(1, self._best_first, low), order


def _within(low: Tensor, high: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Places (n,) between ``low`` and ``high`` (q, M), which ascend in rows of ``size``, the rows one after the other,
    each place once; and how many they are in each row, (q,)."""
    # What lies between several is counted with the first.
    fresh = torch.maximum(low, pad(high[:, :-1], (1, 0)))
    sizes = (high - fresh).clamp_(min=0)
    starts = fresh + size * torch.arange(len(low), device=low.device)[:, None]
    each = sizes.flatten()
    places = (starts.flatten() - (each.cumsum(0) - each)).repeat_interleave(each)
    return places.add_(torch.arange(len(places), device=low.device)), sizes.sum(dim=1)


def quick_order(values: Tensor) -> tuple[Tensor, float]:
    """Columns of values (q, g) in [-1, 1] from the largest to the smallest, (q, g) int64, and by how much two that are
    out of order differ at most."""
    bits, kind, limit = _key_format(values)
    keys = sorted_rows(_keys(values * (-_FILLED * limit), bits, kind))
    return keys.bitwise_and_((1 << bits) - 1).long(), 1.01 / (_FILLED * limit)


def _key_format(values: Tensor) -> tuple[int, torch.dtype, int]:
    """Bits for the column, type, and the score's bound, of keys for values (q, g)."""
    bits = max(1, (values.shape[1] - 1).bit_length())
    narrow = values.dtype == torch.float32 and bits <= _NARROW_COLUMNS
    return bits, torch.int32 if narrow else torch.int64, 1 << (31 - bits if narrow else min(63 - bits, 50))


def _keys(scaled: Tensor, bits: int, kind: torch.dtype) -> Tensor:
    keys = scaled.floor_().to(kind)
    return torch.add(torch.arange(keys.shape[1], dtype=kind, device=keys.device), keys, alpha=1 << bits, out=keys)


def _ranks(values: Tensor) -> Tensor:
    """Whole numbers (n,) int64 in the order of ``values`` (n,), equal where these are; by NumPy, which sorts faster."""
    table = values.cpu().numpy()
    order = np.argsort(table)
    ascending = table[order]
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.concatenate([[0], np.cumsum(ascending[1:] != ascending[:-1])])[: len(order)]
    return torch.from_numpy(ranks).to(values.device)


def sorted_rows(keys: Tensor) -> Tensor:
    """The rows of whole numbers in ascending order; on the CPU in place."""
    if keys.device.type != "cpu":
        return keys.sort(dim=1).values
    table = keys.numpy()
    size = max(1, _SORTED_AT_ONCE // max(1, table.shape[1]))
    parts = [table[start : start + size] for start in range(0, len(table), size)]
    if len(parts) < 2 or torch.get_num_threads() == 1:
        table.sort(axis=1)
        return keys
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(lambda part: part.sort(axis=1), parts))
    return keys
