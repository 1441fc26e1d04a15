"""What is sure about the measured rows of a board: which have learnt at all, and which are better than which.

The outcomes of their queries say it. A row has learnt where its rank-1 is above that of a random order for other test
identities too: the bootstrap interval of the difference lies above 0. One row is surely better than another where
`vibench.records.differences` finds more than noise: other test identities (bootstrap interval and sign flips, Holm over
all pairs of the section) and other seeds (Welch, where both rows have several) would not turn the difference over.

A verdict depends on the records and on the code alone. Verdicts are kept in a file beside the records, so that a board
is judged anew only where something has changed; where that file cannot be written, nothing is lost but time.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from vibench.errors import UsageError
from vibench.evaluation.result import PerQuery
from vibench.files.digests import sha256_text
from vibench.files.reading import parse_json, read_text
from vibench.files.writing import write_json
from vibench.records import chance as chance_module
from vibench.records import differences as differences_module
from vibench.records import significance
from vibench.records.chance import expected_scores
from vibench.records.differences import Scored, differences
from vibench.records.galleries import protocol_of
from vibench.records.schema import Record
from vibench.records.significance import ClusterSums, Resampling, bootstraps, cluster_sums, percentile_interval
from vibench.records.store import read_per_query

LEADING = "r1"
"""The metric that ranks go by."""
KEPT = ".certainty.json"
"""Name of the file of verdicts in the records' folder, where dot-files are no records."""

_LARGEST_KEPT = 64 << 20
_AGREEING = 1e-6
"""A score and its outcomes differ by less, or these are not its outcomes."""

Ids = tuple[str, ...]
"""The records of a row, one per seed."""


@dataclass(frozen=True)
class Standing:
    """A row against chance."""

    layout: str
    """Which queries were asked: rows compare with those of the same alone."""
    chance: Mapping[str, float]
    """The score of a random order, a fraction, of ``r1`` and ``map``."""
    learnt: bool


@dataclass(frozen=True)
class _Asked:
    """The leading metric of a row, summed per identity and trial."""

    layout: str
    scored: Scored
    above: ClusterSums
    """Of the row's values minus those of a random order."""
    chance: Mapping[str, float]


class Certainty:
    """Judges rows by the outcomes of their records, and keeps what it found."""

    def __init__(self, records: Mapping[Path, Record], kept: Path | None = None, resampling: Resampling | None = None):
        """``records`` by the paths of their JSON files; ``kept``: the file of verdicts, read now, or none."""
        self._places = {record.id: (path, record) for path, record in records.items()}
        self._resampling = resampling or Resampling()
        self._kept = kept
        self._code = _code(self._resampling)
        self._found = _read(kept, self._code)
        self._standings: dict[str, Standing] = {}
        self._better: dict[str, list[tuple[int, int]]] = {}
        self._asked: dict[Ids, _Asked | None] = {}

    def standings(self, rows: Sequence[Ids]) -> list[Standing | None]:
        """Each row against chance; None where a record's outcomes are missing, damaged or not its own."""
        unknown: dict[Ids, _Asked] = {}
        for ids in dict.fromkeys(rows):
            key = self._key(ids)
            if key in self._found.standings:
                self._standings[key] = self._found.standings[key]
            elif key and key not in self._standings and (asked := self._read(ids)) is not None:
                unknown[ids] = asked
        for ids, learnt in _above_chance(unknown, self._resampling).items():
            asked = unknown[ids]
            self._standings[self._key(ids)] = Standing(asked.layout, asked.chance, learnt)
        return [self._standings.get(self._key(ids)) for ids in rows]

    def better(self, rows: Sequence[Ids]) -> tuple[set[int], set[tuple[int, int]]]:
        """Which of the rows of one section compare with one another, and the pairs (A, B) of A surely better than B.

        Those compare that were asked the queries that most rows were asked.
        """
        standings = self.standings(rows)
        layouts = Counter(found.layout for found in standings if found is not None)
        usual = max(layouts, key=lambda layout: (layouts[layout], layout), default="")
        places = [at for at, found in enumerate(standings) if found is not None and found.layout == usual]
        key, known = self._known([rows[at] for at in places])
        if known is None:
            # A file may have been damaged since its row was judged.
            places = [at for at in places if self._read(rows[at]) is not None]
            key, known = self._known([rows[at] for at in places])
        if known is None:
            known = self._compared([rows[at] for at in places])
        self._better[key] = known
        return set(places), {(places[one], places[other]) for one, other in known}

    def keep(self) -> None:
        """Write what was found or read back since the beginning, and nothing else, if it is not what is there."""
        if self._kept is None or not self._kept.parent.is_dir():
            return
        if (self._standings, self._better) == (self._found.standings, self._found.better):
            return
        value = {
            "code": self._code,
            "standings": {
                key: [found.layout, dict(found.chance), found.learnt] for key, found in sorted(self._standings.items())
            },
            "better": dict(sorted(self._better.items())),
        }
        with contextlib.suppress(OSError):
            write_json(self._kept, value)

    def _key(self, ids: Ids) -> str:
        """What a verdict on a row depends on; empty where a record is not at hand."""
        parts = []
        for name in sorted(ids):
            if name not in self._places:
                return ""
            path, _ = self._places[name]
            try:
                # An older record may be evaluated again and then tells gallery cameras apart.
                parts.append(f"{name}:{path.with_suffix('.npz').stat().st_size}")
            except OSError:
                return ""
        return " ".join(parts)

    def _read(self, ids: Ids) -> _Asked | None:
        if ids not in self._asked:
            try:
                self._asked[ids] = _asked([self._places[name] for name in ids])
            except UsageError:
                self._asked[ids] = None
        return self._asked[ids]

    def _known(self, rows: Sequence[Ids]) -> tuple[str, list[tuple[int, int]] | None]:
        """What a verdict on these rows, in this order, is kept under, and the pairs where it is known."""
        key = sha256_text("\n".join(self._key(ids) for ids in rows))
        pairs = self._better.get(key, self._found.better.get(key))
        sound = pairs is not None and all(0 <= place < len(rows) for pair in pairs for place in pair)
        return key, pairs if sound else None

    def _compared(self, rows: Sequence[Ids]) -> list[tuple[int, int]]:
        sides = [asked.scored for ids in rows if (asked := self._read(ids)) is not None]
        pairs = combinations(range(len(rows)), 2)
        return [
            pair if found.difference > 0 else (pair[1], pair[0])
            for pair, found in zip(pairs, differences(LEADING, sides, self._resampling), strict=True)
            if not found.within_noise
        ]


def certainty_of(folder: Path, records: Mapping[Path, Record]) -> Certainty:
    """The judge of the records of a leaderboards folder, which keeps its verdicts there."""
    return Certainty(records, Path(folder) / "records" / KEPT)


def _asked(runs: Sequence[tuple[Path, Record]]) -> _Asked | None:
    """The outcomes of the runs of a row, averaged query by query; None where they cannot be.

    That is where runs were not asked the same queries, or where outcomes are not those of the record's figures.
    """
    outcomes = [read_per_query(path, record) for path, record in runs]
    first = runs[0][1]
    layout = _layout(first, outcomes[0])
    people = [trial.pid for trial in outcomes[0]]
    hits = [[np.where(trial.first_hit > 0, trial.first_hit == 1, np.nan) for trial in of_run] for of_run in outcomes]
    for (_, record), of_run, of_trials in zip(runs, outcomes, hits, strict=True):
        if _layout(record, of_run) != layout or not all((trial.first_hit > 0).any() for trial in of_run):
            return None
        if abs(cluster_sums(of_trials, people).difference - record.mean[LEADING]) > _AGREEING:
            return None
    protocol = protocol_of(first)
    expected = [expected_scores(protocol, *pair) for pair in zip(first.trials, outcomes[0], strict=True)]
    means = [np.mean(of_trial, axis=0) for of_trial in zip(*hits, strict=True)]
    return _Asked(
        layout=layout,
        scored=Scored(cluster_sums(means, people), tuple(record.mean[LEADING] for _, record in runs)),
        above=cluster_sums([mean - one[LEADING] for mean, one in zip(means, expected, strict=True)], people),
        chance={metric: float(np.mean([np.nanmean(one[metric]) for one in expected])) for metric in ("r1", "map")},
    )


def _layout(record: Record, outcomes: Sequence[PerQuery]) -> str:
    """What tells queries from others: trials, identities, cameras, and which have a match within reach."""
    digest = hashlib.sha256()
    for trial, outcome in zip(record.trials, outcomes, strict=True):
        for part in (np.array([trial.trial]), outcome.pid, outcome.camera, outcome.first_hit > 0):
            digest.update(f"{part.size} ".encode() + part.astype("<i8").tobytes())
    return digest.hexdigest()


def _above_chance(rows: Mapping[Ids, _Asked], resampling: Resampling) -> dict[Ids, bool]:
    """Per row, whether its interval above chance lies above 0; rows of one layout share their draws."""
    found = {}
    for layout in dict.fromkeys(asked.layout for asked in rows.values()):
        alike = {ids: asked.above for ids, asked in rows.items() if asked.layout == layout}
        figures = bootstraps(list(alike.values()), resampling.resamples, resampling.seed)
        for ids, resampled in zip(alike, figures, strict=True):
            found[ids] = percentile_interval(resampled, resampling.level)[0] > 0.0
    return found


def _code(resampling: Resampling) -> str:
    """Digest of whatever a verdict depends on beside the records."""
    modules = (sys.modules[__name__], significance, chance_module, differences_module)
    sources = [inspect.getsource(module) for module in modules]
    return sha256_text("\n".join([np.__version__, repr(resampling), *sources]))


@dataclass(frozen=True)
class _Verdicts:
    standings: dict[str, Standing]
    better: dict[str, list[tuple[int, int]]]


def _read(kept: Path | None, code: str) -> _Verdicts:
    """The verdicts of a file; none where it is absent, damaged or of other code."""
    nothing = _Verdicts({}, {})
    if kept is None:
        return nothing
    try:
        value = parse_json(read_text(kept, largest=_LARGEST_KEPT))
        if value["code"] != code:
            return nothing
        return _Verdicts(
            {
                key: Standing(str(layout), {name: float(chance[name]) for name in ("r1", "map")}, bool(learnt))
                for key, (layout, chance, learnt) in value["standings"].items()
            },
            {key: [(int(one), int(other)) for one, other in pairs] for key, pairs in value["better"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return nothing
