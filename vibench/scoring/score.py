"""The one way from trained models or features to evaluation records: evaluate, say what it was and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vibench.data.attributes import ATTRIBUTES
from vibench.datasets.index import SampleIndex
from vibench.datasets.registry import Dataset, dataset_root, get_dataset, require_root
from vibench.distributed.world import ALONE, World
from vibench.errors import UsageError
from vibench.evaluation.distances import DistanceFunction
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features, check_features, named_feature
from vibench.evaluation.result import Evaluation, PerQuery
from vibench.protocols import Protocol
from vibench.records.schema import Cost, Record, RunInfo, record_from_evaluation
from vibench.runtime.devices import resolve_device
from vibench.runtime.environment import describe_environment
from vibench.runtime.progress import Progress, silent
from vibench.scoring.attributes import labels_of_test_images
from vibench.scoring.attributes_only import METHOD as ATTRIBUTES_ONLY
from vibench.scoring.attributes_only import attribute_features, hamming_distances
from vibench.scoring.embedded import Embedded, embed_models, information_under, own_distances
from vibench.scoring.foreign.fit import fit_to_test_split, missing_test_images
from vibench.scoring.foreign.read import read_any_features
from vibench.scoring.notes import (
    copy_notes,
    extraction_notes,
    leaking_notes,
    masking_notes,
    origin_notes,
    query_mode_notes,
    training_notes,
)
from vibench.scoring.provenance import combined, cost_of, run_info
from vibench.scoring.rules import Rules, check_clean, permutations_of
from vibench.scoring.trained import TrainedModel


@dataclass(frozen=True)
class Scored:
    """A record with the per-query outcome that lies beside it."""

    record: Record
    per_query: tuple[PerQuery, ...]


def score_models(
    models: Sequence[TrainedModel],
    rules: Rules,
    *,
    device: str = "auto",
    amp: str = "auto",
    compiled: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
) -> list[Scored]:
    """Evaluate one model, or one model per train/test split, and return one record per protocol and draw.

    Protocols must agree about what happens to the images (`vibench.protocols.corrupted` puts them in groups that do).
    With attribute labels given (``gt``), another record per protocol follows: what the labels reach by themselves.
    Raises `UsageError` for protocols of another data set and for models that do not belong together, and
    `VibenchError` where a model was trained on an identity it would be tested on, unless the model says
    ``allow_leaking``; its record is then marked as leaking.
    """
    embedded = embed_models(models, rules, device=device, amp=amp, compiled=compiled, cache=cache, progress=progress)
    return score_embedded(embedded, rules, progress=progress)


def score_embedded(embedded: Embedded, rules: Rules, *, progress: Progress = silent) -> list[Scored]:
    """One record per protocol and draw of what `embed_models` extracted; errors as `score_models`."""
    models, method = embedded.models, embedded.method
    first = models[0]
    evaluations = evaluate_embedded(embedded, rules, own_distances(embedded, rules), progress=progress)
    if any(model.test_split_lacks for model in models):
        evaluations = [replace(evaluation, complete=False) for evaluation in evaluations]
    environment = describe_environment(str(embedded.device))
    extractions = list(embedded.extractions.values())
    information = information_under(embedded, rules)
    cost = cost_of(method, models, extractions, environment.gpu or environment.cpu)
    if embedded.processes > 1:
        # A speed of several processes compares with none of one.
        cost = replace(cost, extraction_images_per_second=None)
    test_attributes = rules.given.resolve(method)
    scored = [
        Scored(
            record_from_evaluation(
                evaluation,
                method=first.checkpoint.method,
                variant=first.checkpoint.variant,
                feature=rules.feature,
                source="imported" if first.checkpoint.source == "imported" else "trained",
                environment=environment,
                dataset_version=first.dataset_version,
                test_time_information=information,
                run=run_info(embedded),
                cost=cost,
                leaking=any(model.leaked for model in models),
                notes=(
                    *origin_notes(models),
                    *leaking_notes(models),
                    *copy_notes(models),
                    *dict.fromkeys(note for found in extractions for note in found.notes),
                    *training_notes(models),
                    *extraction_notes(embedded.processes),
                    *query_mode_notes(rules, information),
                    *masking_notes(rules),
                ),
                test_attributes=test_attributes,
                corruption=rules.corruption,
            ),
            evaluation.per_query,
        )
        for evaluation in evaluations
    ]
    # Labels alone are the same whatever happens to the images.
    if test_attributes == "gt" and rules.corruption is None:
        indices = {model.split: model.test_index for model in models}
        scored += score_attributes(
            first.dataset, first.root, indices, rules, device=str(embedded.device), progress=progress
        )
    return scored


def score_attributes(
    dataset: Dataset,
    root: Path,
    indices: Mapping[int, SampleIndex],
    rules: Rules,
    *,
    device: str = "auto",
    progress: Progress = silent,
) -> list[Scored]:
    """Rank by the attribute labels alone (`vibench.scoring.attributes_only`), one record per protocol and draw.

    ``indices`` are the test images of each split. Of the rules, protocols, draws and the table of labels count.
    """
    check_clean(rules.protocols, "attribute labels")
    place = resolve_device(device)
    version = dataset.version(root) if root.is_dir() else ""
    meta = {"dataset": dataset.name, "dataset_version": version}
    evaluations = evaluate_features(
        {
            split: attribute_features(
                tuple(index["path"]), labels_of_test_images(dataset, root, index, rules.given.file), meta
            )
            for split, index in indices.items()
        },
        rules.protocols,
        dataset=dataset.name,
        draw=rules.draws,
        permutations=permutations_of(rules, root),
        device=str(place),
        distances=hamming_distances(),
        allow_incomplete=rules.allow_incomplete,
        remedy=rules.complete_copy,
        progress=progress,
    )
    environment = describe_environment(str(place))
    return [
        Scored(
            record_from_evaluation(
                evaluation,
                method=ATTRIBUTES_ONLY,
                source="features",
                environment=environment,
                dataset_version=version,
                cost=Cost(device=environment.gpu or environment.cpu, embedding_size=len(ATTRIBUTES)),
                notes=("Hamming distance of attribute labels, no image; ties broken at random",),
                test_attributes="gt",
            ),
            evaluation.per_query,
        )
        for evaluation in evaluations
    ]


def evaluate_embedded(
    embedded: Embedded,
    rules: Rules,
    distances: Mapping[int, DistanceFunction] | None,
    *,
    progress: Progress = silent,
) -> list[Evaluation]:
    """One evaluation per protocol; ``distances`` per split, None for the distance that the rules or the method name."""
    first = embedded.models[0]
    return evaluate_features(
        {split: extraction.features for split, extraction in embedded.extractions.items()},
        rules.protocols,
        dataset=first.dataset.name,
        draw=rules.draws,
        distance=rules.distance or embedded.method.distance,
        permutations=permutations_of(rules, first.root),
        rerank=rules.rerank,
        query_mode=rules.query_mode,
        device=str(embedded.device),
        distances=distances,
        allow_incomplete=rules.allow_incomplete,
        remedy=rules.complete_copy,
        progress=progress,
    )


def score_features(
    features: Sequence[Features],
    rules: Rules,
    *,
    name: str,
    dataset: str | None = None,
    digests: Sequence[str] = (),
    notes: Sequence[str] = (),
    root: Path | None = None,
    device: str = "auto",
    progress: Progress = silent,
    world: World = ALONE,
) -> list[Scored]:
    """Evaluate features that came from anywhere, one record per protocol and draw, labelled ``name``.

    Several features are those of several train/test splits: of the splits they name in their meta data, else in
    order. Rows of images outside the test split are left out (`vibench.scoring.foreign.fit`), which a copy of the data
    set at ``root`` helps to know. ``digests`` are the SHA-256 of the files they were read from, ``notes`` what reading
    them had to say. The processes of ``world`` share the queries and return the same.
    """
    if rules.mask_same_location:
        raise UsageError("--mask-same-location: features are fixed, so there is nothing to mask; leave the option out.")
    check_clean(rules.protocols, "features")
    require_root(root)
    place = resolve_device(device)
    if rules.feature:
        features = [named_feature(found, rules.feature) for found in features]
    fitted: dict[int, Features] = {}
    remarks, lacking = list(notes), list[str]()
    for split, found in _by_split(features).items():
        check_features(found, "features")
        of = get_dataset(dataset or str(found.meta.get("dataset", rules.protocols[0].dataset)))
        if len(features) > 1 and of.trials == 1:
            raise UsageError(
                f"--features: {len(features)} files were given, but {of.title} has one train/test split; give one, and "
                "with --gallery the file of the gallery images where the first holds the queries alone."
            )
        found = replace(found, meta={**found.meta, "dataset_version": _version(found, of, root)})
        fitted[split], more = fit_to_test_split(found, of, split, root)
        remarks += more
        missing = missing_test_images(fitted[split], of, split, root)
        if missing and not rules.allow_incomplete:
            raise UsageError(
                f"{missing}; complete the features file, give that of the gallery with --gallery where it is apart, or "
                f"evaluate what is there, unranked, with {rules.allow_incomplete_by}."
            )
        lacking += [missing] if missing else []
    evaluations = evaluate_features(
        fitted,
        rules.protocols,
        dataset=dataset,
        draw=rules.draws,
        distance=rules.distance or "cosine",
        permutations=permutations_of(rules, root),
        rerank=rules.rerank,
        query_mode=rules.query_mode,
        device=str(place),
        allow_incomplete=rules.allow_incomplete,
        progress=progress,
        world=world,
    )
    if lacking:
        evaluations = [replace(one, complete=False, notes=(*one.notes, *lacking)) for one in evaluations]
    environment = describe_environment(str(place))
    return [
        Scored(
            record_from_evaluation(
                evaluation,
                method=name,
                feature=rules.feature,
                source="features",
                environment=environment,
                dataset_version=str(next(iter(fitted.values())).meta["dataset_version"]),
                run=RunInfo(features_sha256=combined(digests), trained_on=str(features[0].meta.get("trained_on", ""))),
                cost=Cost(device=environment.gpu or environment.cpu, embedding_size=int(features[0].features.shape[1])),
                notes=(*dict.fromkeys(remarks), *query_mode_notes(rules, "none")),
            ),
            evaluation.per_query,
        )
        for evaluation in evaluations
    ]


def _version(features: Features, dataset: Dataset, root: Path | None) -> str:
    """Of the data set that features are of: as they say, else that of the twin's copy; else nobody knows."""
    folder = dataset_root(dataset.name, root)
    said = str(features.meta.get("dataset_version", ""))
    return said or (dataset.version(folder) if dataset.synthetic and folder.is_dir() else "")


@dataclass(frozen=True)
class FeaturesFiles:
    """What several files hold, one `Features` per train/test split."""

    features: list[Features]
    digests: list[str]
    """SHA-256 of every file read."""
    notes: list[str]
    """What had to be concluded or was left out."""


def read_features_files(
    files: Sequence[Path],
    protocols: Sequence[Protocol],
    *,
    galleries: Sequence[Path] = (),
    names: Sequence[Path] = (),
    dataset: str | None = None,
) -> FeaturesFiles:
    """Features files of vibench or any other code base (`vibench.scoring.foreign`), one per train/test split.

    ``galleries`` are the files of the gallery images, where the first hold queries alone: as many, in their order.
    ``names`` are files that name the images of those that do not, of ``files`` and then of ``galleries``.
    """
    if galleries and len(galleries) != len(files):
        raise UsageError(f"--gallery: give one per --features, {len(files)}, not {len(galleries)}.")
    if names and len(names) != len(files) + len(galleries):
        raise UsageError(
            f"--names: give one per --features and then one per --gallery, {len(files) + len(galleries)}, "
            f"not {len(names)}."
        )
    of = get_dataset(dataset or protocols[0].dataset)
    read = [
        read_any_features(
            file,
            of,
            protocols,
            gallery=galleries[at] if galleries else None,
            names=[names[at], *([names[len(files) + at]] if galleries else [])] if names else (),
        )
        for at, file in enumerate(files)
    ]
    return FeaturesFiles(
        features=[one.features for one in read],
        digests=[digest for one in read for digest in one.digests],
        notes=list(dict.fromkeys(note for one in read for note in one.notes)),
    )


def _by_split(features: Sequence[Features]) -> dict[int, Features]:
    named = [found.meta.get("trial") for found in features]
    numbers = list(range(1, len(features) + 1)) if None in named else [int(trial) for trial in named if trial]
    if len(set(numbers)) < len(features):
        raise UsageError(f"--features: two files are of the same train/test split (they say {numbers}); leave one out.")
    return dict(zip(numbers, features, strict=True))
