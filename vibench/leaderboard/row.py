"""One line of a board: what was measured or printed, under which conditions, and what speaks against ranking it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vibench.leaderboard.audits import Audit
from vibench.leaderboard.published import Conflict, Setup
from vibench.records.schema import Cost, RunInfo

UNRANKED = "not ranked"
RERANKED = "re-ranking"
LEAKING = "leaking split"
"""Models that knew identities of their test, and printed numbers of which an audit says so."""

OTHER_PRINT = "other print"
"""Obstacle of a print that is not its method's headline."""
SUPERSEDED = "superseded"
"""Obstacle of a run whose seed was trained again later."""
NOT_LEARNT = "not learnt"
"""Obstacle of a measured row that is not surely above chance."""
BY_SCORE = "ranked by score alone"
"""Mark of a measured row whose outcomes cannot be compared with those of its section."""


@dataclass(frozen=True)
class Score:
    """One metric of one row, in percent."""

    value: float
    deviation: float | None = None
    """Standard deviation, over seeds where there are several, else over trials; None for one alone."""
    printed: str = ""
    """The number as its paper prints it; empty for a measured one."""
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True)
class Row:
    """One line of a board."""

    method: str
    variant: str
    source: str
    test_time_information: str
    scores: Mapping[str, Score]
    """A metric that was not printed is absent."""
    obstacles: tuple[str, ...]
    """Why the row holds no rank; empty for a row that does."""
    marks: tuple[str, ...]
    """What else a reader should see beside the row."""
    date: str
    evidence: str
    """Record ids, or where the number is printed."""
    notes: tuple[str, ...]
    run: RunInfo = field(default_factory=RunInfo)
    """Of a row over several seeds: what they have in common."""
    cost: Cost = field(default_factory=Cost)
    """Empty in a row over several seeds: each run has its own."""
    conflicts: tuple[Conflict, ...] = ()
    """Contradictions about the row as a whole."""
    setup: Setup = field(default_factory=Setup)
    draw: str = ""
    """That of the row itself, which stands on the boards of all draws where it is ``unknown``."""
    evaluated: tuple[str, ...] = ()
    """Of `marks`, what tells the row from others of the same runs: feature, re-ranking, attributes, query mode."""
    section: str = ""
    """Title of the section in which the row would be ranked."""
    audits: tuple[Audit, ...] = ()
    """What is wrong or unfair with a printed number, worst first."""
    seeds: int = 0
    """Number of seeds behind a trained row; 0 for others."""
    runs: tuple[Row, ...] = ()
    """The single runs of a row over several seeds, and earlier ones that it leaves out."""
    printed_name: str = ""
    """Of a measured row: the published row it re-measures, as ``METHOD`` or ``METHOD/VARIANT``."""
    published: Row | None = None
    """That row, where the board's protocol and draw have it."""

    @property
    def place(self) -> str:
        """Title of the section in which the row stands."""
        # A leak is a section of its own; whatever else forbids a rank is said beside the row.
        return self.section if self.section == LEAKING or not self.obstacles else UNRANKED

    @property
    def order(self) -> tuple[str, str, str]:
        """What orders rows of equal scores."""
        return self.method, self.variant, self.evidence

    @property
    def records(self) -> tuple[str, ...]:
        """Ids of the records that a measured row stands for, one per seed."""
        return tuple(run.evidence for run in self.single_runs)

    @property
    def single_runs(self) -> tuple[Row, ...]:
        """The rows of the runs that this row stands for; of a single run, itself."""
        return tuple(run for run in self.runs if SUPERSEDED not in run.obstacles) or (self,)

    def difference(self, metric: str) -> float | None:
        """Measured minus published, in percent points; None where either is missing."""
        return None if self.published is None else difference(self, self.published, metric)


def difference(measured: Row, printed: Row, metric: str) -> float | None:
    """Measured minus printed, in percent points; None where either is missing."""
    ours, theirs = measured.scores.get(metric), printed.scores.get(metric)
    return None if ours is None or theirs is None else ours.value - theirs.value
