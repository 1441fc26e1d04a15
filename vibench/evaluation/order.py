"""The one ranking of a score matrix: larger first, equal scores by column, the same on every device."""

from __future__ import annotations

from torch import Tensor


def stable_order(scores: Tensor) -> Tensor:
    """Columns of ``scores`` (Q, C) float64 from the largest to the smallest per row, (Q, C) int64.

    Equal scores stay in column order. Infinite scores are allowed, NaN is not.
    """
    # Adding zero turns -0.0 into 0.0: equal, but of other bits, which not every sort knows.
    return scores.add(0.0).sort(dim=1, descending=True, stable=True).indices
