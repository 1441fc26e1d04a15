"""The one ranking of a score matrix: larger first, equal scores by column, the same on every device."""

from __future__ import annotations

from torch import Tensor


def stable_order(scores: Tensor) -> Tensor:
    """Columns of ``scores`` (Q, C) float64 from the largest to the smallest per row, (Q, C) int64.

    Equal scores stay in column order. Infinite scores are allowed, NaN is not.
    """
    # Adding zero turns -0.0 into 0.0: equal, but of other bits, which not every sort knows.
    return scores.add(0.0).sort(dim=1, descending=True, stable=True).indices


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
