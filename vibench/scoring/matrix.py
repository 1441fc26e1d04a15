"""Scores of pairs become records: those of a matcher that has no embedding, under the rules of all other records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vibench.datasets.registry import dataset_root, get_dataset, require_root
from vibench.errors import UsageError, suggestion
from vibench.evaluation.evaluate import evaluate_features
from vibench.files.digests import sha256_file
from vibench.records.schema import Cost, RunInfo, effective_information, record_from_evaluation
from vibench.runtime.devices import resolve_device
from vibench.runtime.environment import describe_environment
from vibench.runtime.progress import Progress, silent
from vibench.scoring.matrix_file import read_scores_file
from vibench.scoring.matrix_places import COMPLETE_SCORES, placed_by_split
from vibench.scoring.provenance import combined
from vibench.scoring.rules import Rules, check_clean, permutations_of
from vibench.scoring.score import Scored

INFORMATION = ("gallery", "queries", "attributes", "heatmaps")
"""What a ranking may have looked at beside the query and each gallery image by itself; other kinds have other words."""


def score_matrices(
    files: Sequence[Path],
    rules: Rules,
    *,
    information: str,
    name: str,
    dataset: str | None = None,
    root: Path | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> list[Scored]:
    """Evaluate files of scores (`vibench.scoring.matrix_file`), one record per protocol and draw, labelled ``name``.

    Several files are those of several train/test splits, in order. ``information`` is what the matcher looked at, as
    `declared_information` takes it: nobody can see it in scores. Matrices of single trials are compared with the draw,
    for which SYSU-MM01's images are known by name and those of others from a copy at ``root``. Raises `UsageError` for
    rules that scores cannot follow, for files that cannot be read, and for images that are missing or of another draw.
    """
    information = declared_information(information)
    check_rules(rules)
    known = get_dataset(dataset or rules.protocols[0].dataset)
    require_root(root)
    permutations = permutations_of(rules, root)
    place = resolve_device(device)
    read = [read_scores_file(file) for file in files]
    notes = [note for one in read for note in one.notes]
    placed = placed_by_split([one.matrices for one in read], rules, known, root, permutations)
    notes += [note for one in placed.values() for note in one.notes]
    notes.append(f"scores from a file; that they look at {_looked_at(information)} is declared, not checked")
    folder = dataset_root(known.name, root)
    version = known.version(folder) if folder.is_dir() else ""
    meta = {"dataset": known.name, "dataset_version": version}
    evaluations = evaluate_features(
        {split: replace(one.features, meta=meta) for split, one in placed.items()},
        rules.protocols,
        dataset=known.name,
        draw=rules.draws,
        permutations=permutations,
        device=str(place),
        distances={split: one.distance for split, one in placed.items()},
        allow_incomplete=rules.allow_incomplete,
        remedy=COMPLETE_SCORES,
        progress=progress,
    )
    if any(one.incomplete for one in placed.values()):
        evaluations = [replace(evaluation, complete=False) for evaluation in evaluations]
    environment = describe_environment(str(place))
    return [
        Scored(
            record_from_evaluation(
                evaluation,
                method=name,
                source="scores",
                environment=environment,
                dataset_version=version,
                test_time_information=information,
                run=RunInfo(features_sha256=combined([sha256_file(file) for file in files])),
                cost=Cost(device=environment.gpu or environment.cpu),
                notes=tuple(dict.fromkeys(notes)),
            ),
            evaluation.per_query,
        )
        for evaluation in evaluations
    ]


def declared_information(text: str) -> str:
    """Test-time information as records write it: ``none``, or kinds joined by ``+``; `UsageError` for anything else."""
    kinds = text.split("+")
    choices = f"none, or kinds joined by '+': {', '.join(INFORMATION)}, or another word"
    if kinds == ["none"]:
        return "none"
    for kind in kinds:
        near = suggestion(kind, INFORMATION) if kind not in INFORMATION else ""
        if near or not (kind.isascii() and kind.isalpha() and kind.islower()) or kind in ("none", "unknown"):
            raise UsageError(f"--test-time-information {text}: must be {choices}{near}.")
    return effective_information(text, "all", "none")


def check_rules(rules: Rules) -> None:
    """Raise `UsageError` for rules that ask for something else than the scores themselves."""
    check_clean(rules.protocols, "scores")
    for asked, option, why in (
        (rules.rerank != "none", f"--rerank {rules.rerank}", "re-ranking needs all pairs of images, of one side too"),
        (rules.distance is not None, f"--distance {rules.distance}", "scores are ranked as they are"),
        (bool(rules.feature), f"--feature {rules.feature}", "scores come without features"),
        (
            rules.query_mode != "all",
            f"--query-mode {rules.query_mode}",
            "whether scores look at other queries is what --test-time-information says",
        ),
        (rules.mask_same_location, "--mask-same-location", "scores are fixed, so there is nothing to mask"),
    ):
        if asked:
            raise UsageError(f"{option}: {why}; leave the option out.")


def _looked_at(information: str) -> str:
    if information == "none":
        return "the two images alone"
    return f"{' and '.join(information.split('+'))} besides"
