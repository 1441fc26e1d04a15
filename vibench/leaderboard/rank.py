"""The rank of a row: the places it may hold, as far as anybody can tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Rank:
    """The places from ``low`` to ``high``, both from 1 and both included; of a plain rank they are equal."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if not 1 <= self.low <= self.high:
            raise ValueError(f"no places from {self.low} to {self.high}")

    def __str__(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low}–{self.high}"


def plain(place: int) -> Rank:
    """The one place."""
    return Rank(place, place)


def ranks(rows: int, better: Collection[tuple[int, int]]) -> list[Rank]:
    """The ranks of so many rows, from the pairs (A, B) of which A is surely better than B.

    From one plus the number of rows that are surely better to the number of rows that are not surely worse.
    """
    above = Counter(worse for _, worse in better)
    below = Counter(superior for superior, _ in better)
    return [Rank(1 + above[row], rows - below[row]) for row in range(rows)]


def sure_cuts(order: Sequence[Rank]) -> list[int]:
    """Where ranks in the order of their rows part: every place of a row before a cut lies before those behind it.

    What is sure of pairs need not be of chains of them: two rows may be parted by those between them alone. Rows that
    are sure of their one place are not parted from one another.
    """
    found, highest = [], 0
    for at in range(1, len(order)):
        highest = max(highest, order[at - 1].high)
        if highest < min(rank.low for rank in order[at:]):
            found.append(at)
    ends = [0, *found, len(order)]
    alone = [end - start == 1 for start, end in pairwise(ends)]
    return [cut for cut, (one, other) in zip(found, pairwise(alone), strict=True) if not (one and other)]
