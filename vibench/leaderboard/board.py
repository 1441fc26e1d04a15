"""Boards: which rows stand together, in which order, and which of them hold a rank.

A board holds one data set (of a twin: one version of it), one protocol and one fingerprint, so all its measured rows
were scored by the same rules on the same galleries. Runs that differ in nothing but the seed are one row
(`vibench.leaderboard.seeds`). Inside a board, rows of equal test-time information form a section and are ranked among
themselves: by rank-1, then mAP; equal scores share a rank. Published rows with a minor audit finding rank below every
clean row of their section.

Not ranked: measured rows on incomplete data, of too few trials, or of a model that knew test identities; published
rows whose draw is not that of the board, whose provenance is secondary, that print no rank-1, that are not their
method's headline, or that have a major audit finding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from vibench.datasets.registry import dataset_names, get_dataset
from vibench.evaluation.result import METRICS
from vibench.leaderboard.audits import Audit
from vibench.leaderboard.catalogue import Catalogue, registered_methods
from vibench.leaderboard.consensus import PublishedRow
from vibench.leaderboard.published import Conflict
from vibench.leaderboard.seeds import ENOUGH, Experiment, experiments
from vibench.protocols import load_protocol, protocol_names
from vibench.records.schema import OFFICIAL, Cost, Record, RunInfo

UNRANKED = "not ranked"
MOST_KEYS = 3
"""Changed keys of a recipe that a mark names; more are counted."""
RERANKED = "re-ranking"
LEAKING = "leaking split"
"""Models that knew identities of their test, and printed numbers of which an audit says so."""

OFFICIAL_PERMUTATIONS = "75310f6168ce0359ce114e7d3c401d69b4202325896aed3bce28f51942a45543"
"""SHA-256 of the draws of the ``rand_perm_cam.mat`` that SYSU-MM01's authors publish."""

_Key = tuple[str, str, str, str, str]
"""Data set, its version, protocol, draw, fingerprint: what a board stands for."""

_INFORMATION_ORDER = ("none", "gallery", "gallery+queries", "attributes")
_LAST_SECTIONS = (RERANKED, "unknown", LEAKING, UNRANKED)
_LEAKING_AUDIT = "leaking-split"


@dataclass(frozen=True)
class Score:
    """One metric of one row, in percent."""

    value: float
    deviation: float | None = None
    """Standard deviation, over seeds where there are several, else over trials; None for a published number."""
    printed: str = ""
    """The number as its paper prints it; empty for a measured one."""
    conflicts: tuple[Conflict, ...] = ()


@dataclass(frozen=True)
class Setup:
    """Under which conditions a row came about, apart from its board; an empty text where nobody says."""

    draw: str = ""
    query_mode: str = ""
    input: str = ""
    backbone: str = ""
    pretrained: str = ""
    extra_labels: str = ""
    """Labels in training beside identities: ``none``, or kinds joined by ``+``."""


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
    def single_runs(self) -> tuple[Row, ...]:
        """The rows of the runs that this row stands for; of a single run, itself."""
        return tuple(run for run in self.runs if SUPERSEDED not in run.obstacles) or (self,)

    def difference(self, metric: str) -> float | None:
        """Measured minus published, in percent points; None where either is missing."""
        return None if self.published is None else difference(self, self.published, metric)


SUPERSEDED = "superseded"
"""Obstacle of a run whose seed was trained again later."""


@dataclass(frozen=True)
class Section:
    """Rows of equal test-time information, or the rows that are not ranked."""

    title: str
    rows: tuple[tuple[int | None, Row], ...]
    """Rank and row."""


@dataclass(frozen=True)
class Board:
    """One leaderboard."""

    dataset: str
    dataset_version: str
    protocol: str
    draw: str
    fingerprint: str
    name: str
    """File name without suffix, unique among the boards of the data set."""
    sections: tuple[Section, ...]
    printed_variants: tuple[Row, ...] = ()
    """Published rows of ablation tables, in their order: never ranked, they stand beside what was measured again."""

    @property
    def synthetic(self) -> bool:
        """True for a twin, whose numbers say nothing about the real data set."""
        return is_synthetic(self.dataset)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all sections, in order."""
        return tuple(row for section in self.sections for _, row in section.rows)

    @property
    def measured(self) -> int:
        """Number of rows that come from evaluation records."""
        return sum(row.source != "published" for row in self.rows)


def difference(measured: Row, printed: Row, metric: str) -> float | None:
    """Measured minus printed, in percent points; None where either is missing."""
    ours, theirs = measured.scores.get(metric), printed.scores.get(metric)
    return None if ours is None or theirs is None else ours.value - theirs.value


def is_synthetic(dataset: str) -> bool:
    """True for the synthetic twins; False for real data sets and for names that vibench does not know."""
    return dataset in dataset_names() and get_dataset(dataset).synthetic


def protocol_fingerprint(protocol: str, dataset: str, draw: str) -> str:
    """The fingerprint of today's protocol file under a draw, on a real data set."""
    permutations = OFFICIAL_PERMUTATIONS if draw == "official" else ""
    return load_protocol(protocol).fingerprint(dataset, draw, permutations)


def build_boards(
    records: Iterable[Record],
    published: Iterable[PublishedRow],
    *,
    catalogue: Catalogue | None = None,
    ignore_audits: bool = False,
) -> list[Board]:
    """All boards, by data set and name.

    A published row stands on the board of its authors' draw; one whose draw is unknown stands, unranked, on every
    draw's board of its protocol. ``catalogue`` defaults to the registered methods. With ``ignore_audits`` findings are
    shown and change no rank.
    """
    catalogue = registered_methods() if catalogue is None else catalogue
    measured: dict[_Key, list[Record]] = {}
    for record in records:
        key: _Key = (record.dataset, record.dataset_version, record.protocol, record.draw, record.fingerprint)
        measured.setdefault(key, []).append(record)
    printed: dict[_Key, list[Row]] = {}
    for row in published:
        for draw in _draws(row):
            key = (row.dataset, "", row.protocol, draw, protocol_fingerprint(row.protocol, row.dataset, draw))
            printed.setdefault(key, []).append(_published_row(row, ignore_audits))
    keys = sorted({*measured, *printed})
    stems = Counter((dataset, _stem(protocol, draw, version)) for dataset, version, protocol, draw, _ in keys)
    boards = []
    for key in keys:
        dataset, version, protocol, draw, fingerprint = key
        stem = _stem(protocol, draw, version)
        name = stem if stems[dataset, stem] == 1 else f"{stem}-{fingerprint[:8]}"
        beside = printed.get(key, [])
        rows = [
            *_measured_rows(measured.get(key, []), is_synthetic(dataset), catalogue, beside),
            *(row for row in beside if not row.variant),
        ]
        variants = tuple(row for row in beside if row.variant)
        boards.append(
            Board(dataset, version, protocol, draw, fingerprint, name, _sections(rows, ignore_audits), variants)
        )
    return boards


def _draws(row: PublishedRow) -> tuple[str, ...]:
    if row.draw != "unknown":
        return (row.draw,)
    return ("seeded", "official") if row.dataset == "sysu-mm01" else ("seeded",)


def _stem(protocol: str, draw: str, version: str) -> str:
    return "-".join(part for part in (protocol, "" if draw == "none" else draw, version) if part)


def _measured_rows(
    records: Sequence[Record], synthetic: bool, catalogue: Catalogue, published: Sequence[Row]
) -> list[Row]:
    galleries = Counter(_galleries(record) for record in records)
    # Most records decide what the galleries of a twin are; of equally many, the larger.
    usual = max(galleries, key=lambda found: (galleries[found], len(found), found), default=())

    def row_of(record: Record) -> Row:
        # A small twin is complete although its counts are not those of the full data set.
        complete = _galleries(record) == usual and not record.run.incomplete if synthetic else record.complete
        trials = 0 if synthetic else _trials_of(record.protocol)
        row = _measured_row(record, complete, trials, catalogue)
        return replace(row, published=_counterpart(row, published))

    return [_experiment_row(experiment, row_of) for experiment in experiments(records)]


def _measured_row(record: Record, complete: bool, trials: int, catalogue: Catalogue) -> Row:
    obstacles = {
        "incomplete": not complete,
        f"{len(record.trials)} of {trials} trials": len(record.trials) < trials,
        "leaking": record.leaking,
    }
    marks = {
        f"feature {record.feature}": record.feature,
        f"re-ranked {record.rerank}": record.rerank != "none",
        f"attributes {record.test_attributes}": record.test_attributes,
        "single queries": record.query_mode == "single",
    }
    evaluated = tuple(text for text, holds in marks.items() if holds)
    changed = [] if record.run.recipe in ("", OFFICIAL) else record.run.recipe.split(", ")
    recipe = f"recipe: {len(changed)} keys changed" if len(changed) > MOST_KEYS else f"recipe: {', '.join(changed)}"
    section = record.test_time_information if record.rerank == "none" else RERANKED
    return Row(
        method=record.method,
        variant=record.variant,
        source=record.source,
        test_time_information=record.test_time_information,
        scores={metric: Score(100.0 * record.mean[metric], 100.0 * record.std[metric]) for metric in METRICS},
        obstacles=tuple(text for text, holds in obstacles.items() if holds),
        marks=(*evaluated, recipe) if changed else evaluated,
        evaluated=evaluated,
        date=record.created[:10],
        evidence=record.id,
        notes=record.notes,
        run=record.run,
        cost=record.profile,
        setup=Setup(
            draw=record.draw,
            query_mode=record.query_mode,
            input=record.run.input,
            backbone=record.run.backbone,
            pretrained=record.run.pretrained,
            # Features go by any name: whose recipe made them is not known.
            extra_labels="" if record.source == "features" else catalogue.extra_labels(record.method, record.variant),
        ),
        section=LEAKING if record.leaking else section,
        printed_name=catalogue.printed_name(record),
    )


def _experiment_row(experiment: Experiment, row_of: Callable[[Record], Row]) -> Row:
    """The row of an experiment: that of its record, or one over several seeds."""
    runs = [row_of(record) for record in experiment.records]
    first = runs[0]
    if first.source != "trained":
        return first
    seeds = len(runs)
    few = (f"{seeds} seed{'s' if seeds > 1 else ''}",) if seeds < ENOUGH else ()
    runs += [replace(row, obstacles=(*row.obstacles, SUPERSEDED)) for row in map(row_of, experiment.superseded)]
    row = replace(first, marks=(*first.marks, *few), seeds=seeds, runs=tuple(runs) if len(runs) > 1 else ())
    if seeds == 1:
        return row
    records = experiment.records
    return replace(
        row,
        scores={
            metric: Score(100.0 * experiment.mean(metric), 100.0 * (experiment.deviation(metric) or 0.0))
            for metric in METRICS
        },
        date=max(record.created[:10] for record in records),
        evidence="; ".join(record.id for record in records),
        notes=tuple(dict.fromkeys(note for record in records for note in record.notes)),
        run=replace(records[0].run, id="", seed=None, checkpoint_sha256="", train_seconds=None, images_per_second=None),
        cost=Cost(),
    )


def _counterpart(row: Row, published: Sequence[Row]) -> Row | None:
    """The published row that ``row`` re-measures: the headline of those of that name."""
    method, _, variant = row.printed_name.partition("/")
    found = [other for other in published if (other.method, other.variant) == (method, variant)]
    return min(found, key=lambda other: (OTHER_PRINT in other.obstacles, _order(other)), default=None)


def _trials_of(protocol: str) -> int:
    """How many trials a protocol averages; 0 for a protocol of somebody's own."""
    return load_protocol(protocol).trials if protocol in protocol_names() else 0


def _galleries(record: Record) -> tuple[tuple[int, int, int, str], ...]:
    return tuple((trial.trial, trial.queries, trial.gallery, trial.gallery_sha256) for trial in record.trials)


OTHER_PRINT = "other print"
"""Obstacle of a print that is not its method's headline."""


def _published_row(row: PublishedRow, ignore_audits: bool) -> Row:
    leaking = any(audit.kind == _LEAKING_AUDIT for audit in row.audits)
    obstacles = {
        "draw unknown": row.draw == "unknown",
        "secondary source": row.secondary,
        "no rank-1 printed": "r1" not in row.values,
        OTHER_PRINT: not row.headline,
    }
    if not ignore_audits:
        obstacles |= {audit.kind: True for audit in row.audits if audit.severity == "major"}
    return Row(
        method=row.method,
        variant=row.variant,
        source="published",
        test_time_information=row.test_time_information,
        scores={
            metric: Score(
                float(value), printed=value, conflicts=tuple(found for name, found in row.conflicts if name == metric)
            )
            for metric, value in row.values.items()
        },
        obstacles=tuple(text for text, holds in obstacles.items() if holds),
        marks=(),
        date=row.year,
        evidence="; ".join(row.sources),
        notes=row.notes,
        conflicts=tuple(found for name, found in row.conflicts if not name),
        setup=Setup(
            draw=row.draw,
            query_mode=row.setup.query_mode,
            input=row.setup.input,
            backbone=row.setup.backbone,
            pretrained=row.setup.pretrained,
            extra_labels=row.setup.extra_labels,
        ),
        section=LEAKING if leaking and not ignore_audits else row.test_time_information,
        audits=row.audits,
    )


def _sections(rows: Iterable[Row], ignore_audits: bool) -> tuple[Section, ...]:
    by_title: dict[str, list[Row]] = {}
    for row in rows:
        by_title.setdefault(row.place, []).append(row)
    return tuple(
        Section(title, _ranked(by_title[title], ignore_audits)) for title in sorted(by_title, key=_section_order)
    )


def _section_order(title: str) -> tuple[int, str]:
    for titles, start in ((_INFORMATION_ORDER, 0), (_LAST_SECTIONS, len(_INFORMATION_ORDER) + 1)):
        if title in titles:
            return start + titles.index(title), title
    return len(_INFORMATION_ORDER), title


def _ranked(rows: Iterable[Row], ignore_audits: bool) -> tuple[tuple[int | None, Row], ...]:
    """Ranked rows by standing, then those without rank by score."""

    def standing(row: Row) -> tuple[bool, bool, float, float]:
        found_wanting = any(audit.severity != "note" for audit in row.audits)
        return bool(row.obstacles), found_wanting and not ignore_audits and not row.obstacles, *_merit(row)

    ordered = sorted(rows, key=lambda row: (standing(row), _order(row)))
    ranks: list[int | None] = []
    for at, row in enumerate(ordered):
        tied = at > 0 and standing(ordered[at - 1]) == standing(row)
        ranks.append(None if row.obstacles else ranks[-1] if tied else at + 1)
    return tuple(zip(ranks, ordered, strict=True))


def _order(row: Row) -> tuple[str, ...]:
    return row.method, row.variant, row.evidence


def _merit(row: Row) -> tuple[float, float]:
    """Sort key: rank-1, then mAP, highest first; what was not printed comes last."""
    first, second = (-row.scores[metric].value if metric in row.scores else 1.0 for metric in ("r1", "map"))
    return first, second
