"""From the evaluation records of one board to its measured rows: seeds together, beside what papers print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from vibench.evaluation.result import METRICS
from vibench.leaderboard.catalogue import Catalogue
from vibench.leaderboard.method_facts import Setup
from vibench.leaderboard.row import LEAKING, OTHER_PRINT, RERANKED, SUPERSEDED, Row, Score
from vibench.protocols import load_protocol, protocol_names
from vibench.records.schema import OFFICIAL, Cost, Record
from vibench.records.seeds import ENOUGH_SEEDS, Experiment, experiments

MOST_KEYS = 3
"""Changed keys of a recipe that a mark names; more are counted."""


def measured_rows(
    records: Sequence[Record], synthetic: bool, catalogue: Catalogue, published: Sequence[Row]
) -> list[Row]:
    """The rows of the records of one board, those of equal settings and unequal seeds together.

    ``synthetic`` tells a twin's board; ``published`` are the printed rows of the same board, which rows re-measure.
    """
    galleries = Counter(record.galleries for record in records)
    # Most records decide what the galleries of a twin are; of equally many, the larger.
    usual = max(galleries, key=lambda found: (galleries[found], len(found), found), default=())

    def row_of(record: Record) -> Row:
        # A small twin is complete although its counts are not those of the full data set.
        complete = record.galleries == usual and not record.run.incomplete if synthetic else record.complete
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
    recipe = "recipe changed" if len(changed) > MOST_KEYS else f"recipe: {', '.join(changed)}"
    section = record.test_time_information if record.rerank == "none" else RERANKED
    return Row(
        method=record.method,
        variant=record.variant,
        source=record.source,
        test_time_information=record.test_time_information,
        scores={
            metric: Score(100.0 * record.mean[metric], 100.0 * record.std[metric] if len(record.trials) > 1 else None)
            for metric in METRICS
        },
        obstacles=tuple(text for text, holds in obstacles.items() if holds),
        marks=(*evaluated, recipe) if changed else evaluated,
        evaluated=evaluated,
        date=record.created[:10],
        evidence=record.id,
        notes=record.notes,
        run=record.run,
        cost=record.profile,
        draw=record.draw,
        setup=Setup(
            query_mode=record.query_mode,
            input=record.run.input,
            backbone=record.run.backbone,
            pretrained=record.run.pretrained,
            # Features and scores go by any name: whose recipe made them is not known.
            extra_labels=(
                "" if record.source in ("features", "scores") else catalogue.extra_labels(record.method, record.variant)
            ),
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
    few = (f"{seeds} seed{'s' if seeds > 1 else ''}",) if seeds < ENOUGH_SEEDS else ()
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
    return min(found, key=lambda other: (OTHER_PRINT in other.obstacles, other.order), default=None)


def _trials_of(protocol: str) -> int:
    """How many trials a protocol averages; 0 for a protocol of somebody's own."""
    return load_protocol(protocol).trials if protocol in protocol_names() else 0
