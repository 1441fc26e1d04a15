"""How many wrong gallery images stand before each true match of a query, by sorting cheap keys.

A key is one whole number: the approximate score in its upper bits, so that better images have smaller keys, the image's
column in its lower ones. Keys sort several times faster than scores can be put in order. What stands before a match for
certain is then one binary search away, and so is what might: the images whose scores lie within the bounds on the
errors of both. Only these are compared exactly, and put where they belong.

Equal scores stay in the order of the columns, or in as many other orders of them as are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vibench.evaluation.distances import Block

_NARROW_COLUMNS = 13
"""Bits for the column, of 32, that leave the score as many as a float32 product has to offer."""
_FILLED = 0.98
"""Of the range of keys by scores from -1 to 1; errors go beyond."""
_OPEN_AT_ONCE = 1 << 19
_SORTED_AT_ONCE = 1 << 17


@dataclass(frozen=True)
class Targets:
    """The true matches of queries, (q, M) each."""

    columns: Tensor
    """int64, counted through the whole gallery."""
    reachable: Tensor
    """bool: neither padding nor skipped."""
    exact: Tensor | None = None
    """float64 scores, where matches lie in other blocks too."""
    values: Tensor | None = None
    """float64: what the block's values would be without an error; with ``exact``."""


@dataclass(frozen=True)
class Hidden:
    """What does not count among the wrong images: all of the query's own identity, and what the protocol skips."""

    rows: Tensor
    columns: Tensor
    """(n,) int64 places in the block."""
    pairs: tuple[tuple[Tensor, Tensor], ...] = ()
    """Queries (q,) bool that skip gallery images (g,) bool."""


@dataclass(frozen=True)
class Counted:
    """Where matches stand among the wrong images of a block."""

    before: Tensor
    """(q, M) int64: wrong images before each match."""
    order: Tensor
    """(q, g) int32 or int64 columns: the wrong images, best first, right around matches; then those hidden."""


def count_before(
    block: Block, targets: Targets, hidden: Hidden, ties: Sequence[Tensor | None], first: int = 0
) -> tuple[list[Counted], Tensor]:
    """One `Counted` per order of ties, and how many images had to be compared exactly with each query, (q,) int64.

    An order of ties is (G,) int64, the place of every gallery image in it, or None for the columns' own. ``first`` is
    the column of the gallery at which the block begins.
    """
    values = block.values
    bits, kind, limit = _key_format(values)
    scale = _FILLED * limit
    values.mul_(block.weights * -scale)
    # Cutting off what follows the point takes less than one.
    margin = block.error * scale + 2.0
    if targets.values is None:
        wanted = values.gather(1, targets.columns).double()
        margin += block.error * scale
    else:
        wanted = targets.values * -scale
    wanted, best_first = wanted.masked_fill(~targets.reachable, torch.inf).sort(dim=1)
    keys = _keys(values, bits, kind)
    behind = limit - 1 << bits
    keys[hidden.rows, hidden.columns] = hidden.columns.to(kind) + behind
    for asking, skipped in hidden.pairs:
        rows, columns = asking.nonzero(), skipped.nonzero()[:, 0]
        keys[rows, columns] = columns.to(kind) + behind
    keys = sorted_rows(keys)
    low, high = (
        torch.searchsorted(keys, edge.clamp_(-limit, limit - 1).to(kind) << bits)
        for edge in ((wanted - margin).floor_(), (wanted + margin).floor_().add_(1.0))
    )
    order = keys.bitwise_and_((1 << bits) - 1)
    counted = [Counted(low.clone(), order.clone() if at else order) for at in range(len(ties))]
    fresh = torch.maximum(low, torch.nn.functional.pad(high[:, :-1], (1, 0)))
    opened = (high - fresh).clamp_(min=0)
    for part in _pieces(opened.sum(dim=1)):
        _settle(part, block, targets, best_first, low, high, fresh, opened, counted, ties, first)
    in_place = [torch.empty_like(found.before).scatter_(1, best_first, found.before) for found in counted]
    return [Counted(before, found.order) for before, found in zip(in_place, counted, strict=True)], opened.sum(dim=1)


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
    keys = scaled.to(kind)
    return torch.add(torch.arange(keys.shape[1], dtype=kind, device=keys.device), keys, alpha=1 << bits, out=keys)


def _settle(
    part: slice,
    block: Block,
    targets: Targets,
    best_first: Tensor,
    low: Tensor,
    high: Tensor,
    fresh: Tensor,
    opened: Tensor,
    counted: Sequence[Counted],
    ties: Sequence[Tensor | None],
    first: int,
) -> None:
    """Compare exactly what stands between ``low`` and ``high`` (q, M) of some rows, and put ``counted`` right.

    Matches come in the order of ``best_first``. An image between the bounds of several is counted with the first:
    ``fresh`` (q, M) is where those of each match begin that are, and ``opened`` (q, M) how many they are.
    """
    rows, nth = (high[part] > low[part]).nonzero(as_tuple=True)
    rows += part.start
    sizes = opened[part].flatten()
    total = sizes.sum(dim=0)
    owners = torch.arange(part.start, part.stop, device=sizes.device).repeat_interleave(opened[part].sum(dim=1))
    places = torch.arange(int(total), device=sizes.device) + (
        fresh[part].flatten() - (sizes.cumsum(0) - sizes)
    ).repeat_interleave(sizes)
    candidates = counted[0].order.shape[1]
    flat = owners * candidates + places
    columns = counted[0].order.reshape(-1)[flat].long()
    matches = targets.columns[rows, best_first[rows, nth]]
    scores = block.exact(owners, columns)
    if targets.exact is None:
        of_matches = block.exact(rows, matches - first)
    else:
        of_matches = targets.exact[rows, best_first[rows, nth]]
    # Within a row, those counted with better matches but not before this one's bounds for certain.
    ahead = opened.cumsum(dim=1) - opened
    certain = (ahead - (torch.nn.functional.pad(high[:, :-1], (1, 0)) - low).clamp_(min=0))[rows, nth]
    before_rows = torch.searchsorted(owners, rows)
    who = torch.cat([owners, rows]).cpu().numpy()
    what = torch.cat([scores, of_matches]).neg_().cpu().numpy()
    which = torch.cat([columns + first, matches])
    for found, tie in zip(counted, ties, strict=True):
        ranked = np.lexsort(((which if tie is None else tie[which]).cpu().numpy(), what, who))
        wrong = ranked < len(owners)
        passed = np.empty(len(ranked), dtype=np.int64)
        passed[ranked] = np.cumsum(wrong)
        exactly = torch.from_numpy(passed[len(owners) :]).to(rows.device) - before_rows
        found.before[rows, nth] = low[rows, nth] + exactly - certain
        found.order.view(-1)[flat] = columns[torch.from_numpy(ranked[wrong]).to(rows.device)].to(found.order.dtype)


def _pieces(opened: Tensor) -> Iterator[slice]:
    """Consecutive rows with some `_OPEN_AT_ONCE` open images together, or one row; without rows that have none."""
    counts = opened.cpu().numpy()
    start = total = 0
    for row, count in enumerate(counts.tolist()):
        if total and total + count > _OPEN_AT_ONCE:
            yield slice(start, row)
            start, total = row, 0
        total += count
    if total:
        yield slice(start, len(counts))


def sorted_rows(keys: Tensor) -> Tensor:
    """The rows of whole numbers in ascending order; on the CPU in place."""
    if keys.device.type != "cpu":
        return keys.sort(dim=1).values
    table = keys.numpy()
    size = max(1, _SORTED_AT_ONCE // table.shape[1])
    parts = [table[start : start + size] for start in range(0, len(table), size)]
    if len(parts) < 2 or torch.get_num_threads() == 1:
        table.sort(axis=1)
        return keys
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(lambda part: part.sort(axis=1), parts))
    return keys
