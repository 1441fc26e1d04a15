"""What the check of a data set's copy yields."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["missing", "surplus", "truncated", "unreadable", "list", "ignored", "ambiguous", "duplicate", "modality"]


@dataclass(frozen=True)
class Count:
    """A quantity as it should be and as it is."""

    quantity: str
    expected: int
    found: int
    verified: bool = True
    """False where the expected number is reported second-hand; a difference is then a warning only."""

    @property
    def agrees(self) -> bool:
        """Whether the copy has the expected number."""
        return self.expected == self.found


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one file."""

    kind: Kind
    """``list``: the content of an id, idx or draws file; ``ignored``: a file that is no image of the data set;
    ``ambiguous``: several files that are the same image; ``duplicate``: equal pixels of two identities; ``modality``:
    images that look like those of the other modality."""
    path: str
    """Relative to the root."""
    detail: str
    warning: bool = False
    """True where results do not depend on it."""


@dataclass(frozen=True)
class CheckReport:
    """The outcome of a check."""

    dataset: str
    root: str
    counts: tuple[Count, ...]
    problems: tuple[Problem, ...]

    @property
    def complete(self) -> bool:
        """Whether every verified count agrees and nothing is wrong beyond warnings."""
        return all(count.agrees for count in self.counts if count.verified) and all(
            problem.warning for problem in self.problems
        )

    @property
    def verdict(self) -> str:
        """``complete`` or ``not complete``; and what the first does not rule out."""
        unsure = sum(not count.agrees for count in self.counts)
        if not self.complete or not unsure:
            return "complete" if self.complete else "not complete"
        return f"complete by its own lists, but {unsure} of {len(self.counts)} counts are not those reported elsewhere"

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-able values."""
        return {"complete": self.complete, **asdict(self)}
