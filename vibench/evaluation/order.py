"""The one ranking of a score matrix: larger first, equal scores by column, the same on every device."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

_ROWS_PER_SORT = 32


def stable_order(scores: Tensor) -> Tensor:
    """Columns of ``scores`` (Q, C) float64 from the largest to the smallest per row, (Q, C) int64.

    Equal scores stay in column order. Infinite scores are allowed, NaN is not.
    """
    # Adding zero turns -0.0 into 0.0: equal, but of other bits, which not every sort knows.
    if scores.device.type != "cpu":
        return scores.add(0.0).sort(dim=1, descending=True, stable=True).indices
    return _packed_order(scores)


def stable_top(scores: Tensor, k: int) -> Tensor:
    """The first ``k`` columns of `stable_order`, (Q, k), or all where there are fewer; sorts no more than it must."""
    k = min(k, scores.shape[1])
    # One more than asked for shows where the last place is shared: any of the columns that tie may have got it.
    best, columns = scores.topk(min(k + 1, scores.shape[1]), dim=1)
    shared = (best[:, k:] == best[:, k - 1 : k]).any(dim=1)
    best, columns = best[:, :k], columns[:, :k]
    columns, by_column = columns.sort(dim=1)
    by_score = (best + 0.0).gather(1, by_column).sort(dim=1, descending=True, stable=True).indices
    top = columns.gather(1, by_score)
    if shared.any():
        top[shared] = stable_order(scores[shared])[:, :k]
    return top


def _packed_order(scores: Tensor) -> Tensor:
    """Sort integers that carry score and column in one, several times faster than a stable sort of floats.

    An integer holds the leading bits of the score, so that larger scores become smaller integers, and the column in
    the bits that this gives up. Rows in which scores differ in those last bits only, and came out in column order
    instead, are sorted again the slow way; in practice there are none.
    """
    columns = scores.shape[1]
    low = (1 << max(columns - 1, 1).bit_length()) - 1
    keys = scores.add(0.0).view(torch.int64)
    # The bits of non-negative floats ascend with their value, those of negative ones descend.
    keys.bitwise_xor_((keys >> 63).bitwise_and_(torch.iinfo(torch.int64).max))
    keys.bitwise_not_().bitwise_and_(~low).bitwise_or_(torch.arange(columns))
    table = keys.numpy()
    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        starts = range(0, len(table), _ROWS_PER_SORT)
        list(threads.map(lambda start: table[start : start + _ROWS_PER_SORT].sort(axis=1), starts))
    order = keys.bitwise_and_(low)
    ranked = scores.gather(1, order)
    unsorted = (ranked[:, 1:] > ranked[:, :-1]).any(dim=1)
    if unsorted.any():
        order[unsorted] = scores[unsorted].sort(dim=1, descending=True, stable=True).indices
    return order
