"""The rank of a row: the places it may hold, as far as anybody can tell."""

from __future__ import annotations

from dataclasses import dataclass


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
