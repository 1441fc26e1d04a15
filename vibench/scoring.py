"""From trained models or features files to evaluation records: extraction, evaluation and cost in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from vibench.data.attributes import ATTRIBUTES
from vibench.datasets.index import SampleIndex
from vibench.datasets.permutations import Permutations, read_permutations
from vibench.datasets.registry import Dataset
from vibench.devices import Precision, resolve_device, resolve_precision
from vibench.distributed.world import ALONE, World
from vibench.environment import describe_environment
from vibench.errors import UsageError
from vibench.evaluation.attributes_only import METHOD as ATTRIBUTES_ONLY
from vibench.evaluation.attributes_only import attribute_features, hamming_distances
from vibench.evaluation.distances import DistanceFunction
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features, named_feature, read_features
from vibench.evaluation.result import Evaluation, PerQuery
from vibench.extraction import EMBEDDING, Extraction
from vibench.files import sha256_file, sha256_text
from vibench.given_attributes import GivenAttributes, labels_of_test_images
from vibench.leaderboard.record import Cost, Record, RunInfo, record_from_evaluation
from vibench.methods.base import Method
from vibench.methods.recipe import recipe_sha256
from vibench.methods.transductive import TransductiveMethod
from vibench.profiling.flops import count_flops
from vibench.profiling.memory import PeakMemory
from vibench.profiling.parameters import count_parameters
from vibench.progress import Progress, silent
from vibench.protocols import Protocol, load_protocol
from vibench.trained import TrainedModel

OFFICIAL_PERMUTATIONS = Path("exp") / "rand_perm_cam.mat"
"""Where a copy of SYSU-MM01 holds its official draws."""


@dataclass(frozen=True)
class Rules:
    """Under which rules to evaluate."""

    protocols: tuple[Protocol, ...]
    draws: tuple[str, ...] = ("seeded",)
    """Several share their work."""
    permutations: Path | None = None
    """File of the official draws; None: that of the data set, where it is on disk."""
    distance: str | None = None
    """None: the method's own distance; ``cosine`` for features."""
    query_mode: str = "all"
    rerank: str = "none"
    feature: str = ""
    """The named feature to rank in place of the method's embedding, by a plain distance."""
    mask_same_location: bool = False
    """Where test images change one another's features: keep pairs apart whose cameras the skip rule names."""

    given: GivenAttributes = field(default_factory=GivenAttributes)
    """Where methods that take attributes in testing have them from."""

    @property
    def own_distance(self) -> bool:
        """Whether a method that has a distance of its own ranks by it."""
        return self.distance is None and self.rerank == "none" and not self.feature


@dataclass(frozen=True)
class Scored:
    """A record with the per-query outcome that lies beside it."""

    record: Record
    per_query: tuple[PerQuery, ...]


def load_protocols(names: Sequence[str]) -> tuple[Protocol, ...]:
    """Protocols by name; `UsageError` for an unknown or doubled one, or none at all."""
    if not names:
        raise UsageError("no protocol given; name one with --protocol, 'vibench protocols' lists them.")
    if len(set(names)) < len(names):
        raise UsageError(f"--protocol {' --protocol '.join(names)}: name each protocol once.")
    return tuple(load_protocol(name) for name in names)


@dataclass(frozen=True)
class Embedded:
    """Trained models with the features of their test images: extracted once, to be evaluated under several rules."""

    models: tuple[TrainedModel, ...]
    method: Method
    """The network of one of the models."""
    ranking: dict[int, Method]
    """Per split, its network where that has a distance of its own; else empty."""
    extractions: dict[int, Extraction]
    """Per split."""
    device: torch.device
    precision: Precision
    compiled: bool
    """Whether code of `torch.compile` extracted them."""
    processes: int = 1
    """Processes that shared the images."""


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

    With attribute labels given (``gt``), another record per protocol follows: what the labels reach by themselves.
    Raises `UsageError` for protocols of another data set and for models that do not belong together, and
    `VibenchError` where a model was trained on an identity it would be tested on, unless the model says
    ``allow_leaking``; its record is then marked as leaking.
    """
    embedded = embed_models(models, rules, device=device, amp=amp, compiled=compiled, cache=cache, progress=progress)
    return score_embedded(embedded, rules, progress=progress)


def embed_models(
    models: Sequence[TrainedModel],
    rules: Rules,
    *,
    device: str = "auto",
    amp: str = "auto",
    compiled: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
    world: World = ALONE,
) -> Embedded:
    """Extract the features of the models' test images. ``rules`` are checked first; errors as `score_models`.

    The processes of ``world`` share the work, and all of them return the same.
    """
    check_protocols(rules.protocols, models[0])
    _check_together(models)
    _permutations(rules, models[0].root)
    place = resolve_device(device)
    precision = resolve_precision(amp, place)
    ranking: dict[int, Method] = {}
    extractions: dict[int, Extraction] = {}
    for model in models:
        method, extractions[model.split] = model.extract(
            place,
            precision,
            feature=rules.feature or EMBEDDING,
            cache=cache,
            given=rules.given,
            compiled=compiled,
            progress=progress,
            world=world,
        )
        if method.has_own_distance():
            ranking[model.split] = method
    return Embedded(tuple(models), method, ranking, extractions, place, precision, compiled, world.size)


def score_embedded(embedded: Embedded, rules: Rules, *, progress: Progress = silent) -> list[Scored]:
    """One record per protocol and draw of what `embed_models` extracted; errors as `score_models`."""
    models, method = embedded.models, embedded.method
    first = models[0]
    evaluations = evaluate_embedded(embedded, rules, own_distances(embedded, rules), progress=progress)
    environment = describe_environment(str(embedded.device))
    extractions = list(embedded.extractions.values())
    information = _information(embedded, rules)
    cost = _cost(method, models, extractions, environment.gpu or environment.cpu)
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
                dataset_version=first.checkpoint.dataset_version,
                test_time_information=information,
                run=_run_info(embedded),
                cost=cost,
                leaking=any(model.leaked for model in models),
                notes=(
                    *_origin_notes(models),
                    *_leaking_notes(models),
                    *dict.fromkeys(note for found in extractions for note in found.notes),
                    *_training_notes(models),
                    *_extraction_notes(embedded),
                    *_query_mode_notes(rules, information),
                    *_masking_notes(rules),
                ),
                test_attributes=test_attributes,
            ),
            evaluation.per_query,
        )
        for evaluation in evaluations
    ]
    if test_attributes == "gt":
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
    """Rank by the attribute labels alone (`vibench.evaluation.attributes_only`), one record per protocol and draw.

    ``indices`` are the test images of each split. Of the rules, protocols, draws and the table of labels count.
    """
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
        permutations=_permutations(rules, root),
        device=str(place),
        distances=hamming_distances(),
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
        permutations=_permutations(rules, first.root),
        rerank=rules.rerank,
        query_mode=rules.query_mode,
        device=str(embedded.device),
        distances=distances,
        progress=progress,
    )


def score_features(
    features: Sequence[Features],
    rules: Rules,
    *,
    name: str,
    dataset: str | None = None,
    digests: Sequence[str] = (),
    device: str = "auto",
    progress: Progress = silent,
) -> list[Scored]:
    """Evaluate features that came from anywhere, one record per protocol and draw, labelled ``name``.

    Several features are those of several train/test splits: of the splits they name in their meta data, else in
    order. ``digests`` are the SHA-256 of the files they were read from.
    """
    if rules.mask_same_location:
        raise UsageError("--mask-same-location: features are fixed, so there is nothing to mask; leave the option out.")
    place = resolve_device(device)
    if rules.feature:
        features = [named_feature(found, rules.feature) for found in features]
    evaluations = evaluate_features(
        _by_split(features),
        rules.protocols,
        dataset=dataset,
        draw=rules.draws,
        distance=rules.distance or "cosine",
        permutations=_permutations(rules, None),
        rerank=rules.rerank,
        query_mode=rules.query_mode,
        device=str(place),
        progress=progress,
    )
    environment = describe_environment(str(place))
    return [
        Scored(
            record_from_evaluation(
                evaluation,
                method=name,
                feature=rules.feature,
                source="features",
                environment=environment,
                dataset_version=str(features[0].meta.get("dataset_version", "")),
                run=RunInfo(features_sha256=_combined(digests)),
                cost=Cost(device=environment.gpu or environment.cpu, embedding_size=int(features[0].features.shape[1])),
                notes=_query_mode_notes(rules, "none"),
            ),
            evaluation.per_query,
        )
        for evaluation in evaluations
    ]


def read_features_files(files: Sequence[Path]) -> tuple[list[Features], list[str]]:
    """Features files and their SHA-256."""
    return [read_features(file) for file in files], [sha256_file(file) for file in files]


def _by_split(features: Sequence[Features]) -> dict[int, Features]:
    named = [found.meta.get("trial") for found in features]
    numbers = list(range(1, len(features) + 1)) if None in named else [int(trial) for trial in named if trial]
    if len(set(numbers)) < len(features):
        raise UsageError(f"--features: two files are of the same train/test split (they say {numbers}); leave one out.")
    return dict(zip(numbers, features, strict=True))


def check_protocols(protocols: Sequence[Protocol], model: TrainedModel) -> None:
    """Raise `UsageError` for a protocol of another data set than the model's."""
    for protocol in protocols:
        if protocol.layout != model.dataset.layout:
            raise UsageError(
                f"--protocol {protocol.name}: is a protocol of {protocol.layout}, but {model.path} was trained on "
                f"{model.dataset.name}; 'vibench protocols' lists the protocols of each data set."
            )


def _check_together(models: Sequence[TrainedModel]) -> None:
    """Several models make one record only as the splits of one experiment."""
    first = models[0].checkpoint
    for model in models[1:]:
        checkpoint = model.checkpoint
        for what in ("method", "variant", "dataset", "dataset_version", "recipe", "source"):
            if getattr(checkpoint, what) != getattr(first, what):
                raise UsageError(
                    f"{model.path}: differs from {models[0].path} in its {what}; trials of one experiment must "
                    "share it, so train the odd one anew or evaluate with --trial."
                )
    splits = [model.split for model in models]
    if len(set(splits)) < len(splits):
        raise UsageError(f"{models[0].path}: two runs are of the same trial (trials {splits}); evaluate one of them.")


def _permutations(rules: Rules, root: Path | None) -> Permutations | None:
    if "official" not in rules.draws:
        return None
    if rules.permutations is not None:
        return read_permutations(rules.permutations)
    if root is None:
        raise UsageError("--draw official: needs the data set's own draws; name rand_perm_cam.mat with --perm.")
    return read_permutations(root / OFFICIAL_PERMUTATIONS)


def own_distances(embedded: Embedded, rules: Rules) -> dict[int, DistanceFunction] | None:
    """The method's own distance per split, where it has one and no other was asked for."""
    own = embedded.ranking if rules.own_distance else {}
    if rules.mask_same_location:
        transductive = {split: method for split, method in own.items() if isinstance(method, TransductiveMethod)}
        if not transductive:
            raise UsageError(
                f"--mask-same-location: {embedded.models[0].checkpoint.method}, so evaluated, lets no test images "
                "exchange anything that could be masked; leave the option out."
            )
        return {split: _masked_distance(method) for split, method in transductive.items()}
    distances = {
        split: DistanceFunction(method.distances, pairwise=method.test_time_information == "none")
        for split, method in own.items()
    }
    return distances or None


def _masked_distance(method: TransductiveMethod) -> DistanceFunction:
    def distances(query: Tensor, gallery: Tensor, query_mode: str, skipped: Tensor) -> Tensor:
        return method.group_distances(query, gallery, 1 if query_mode == "single" else len(query), skipped)

    return DistanceFunction(distances, pairwise=False, takes_skipped=True, name="method-masked")


def _information(embedded: Embedded, rules: Rules) -> str:
    """The method's test-time information under these rules, apart from query mode and re-ranking.

    Gallery and queries are what its own distance looks at, everything else enters its embedding.
    """
    parts = embedded.method.test_time_information.split("+")
    if not rules.own_distance:
        parts = [part for part in parts if part not in ("gallery", "queries")]
    return "+".join(parts) or "none"


def _query_mode_notes(rules: Rules, information: str) -> tuple[str, ...]:
    """Says so where the rankings are the same in both query modes."""
    if rules.query_mode != "single" or "queries" in information.split("+"):
        return ()
    return ("query mode single changes nothing here: no ranking looks at the other queries in any mode",)


def _masking_notes(rules: Rules) -> tuple[str, ...]:
    if not rules.mask_same_location:
        return ()
    return ("a query exchanges nothing with gallery images of its own location, which its ranking skips",)


def _run_info(embedded: Embedded) -> RunInfo:
    models, first = embedded.models, embedded.models[0]
    compiled = {"training": first.checkpoint.compiled, "extraction": embedded.compiled}
    timings = [model.timing for model in models if model.timing is not None]
    seconds = sum(timing.train_seconds for timing in timings)
    size = first.recipe.input
    return RunInfo(
        id=first.run_id,
        seed=first.checkpoint.seed,
        recipe_sha256=recipe_sha256(first.recipe),
        checkpoint_sha256=_combined([model.sha256 for model in models]),
        # An official checkpoint need not say how long it was trained.
        epochs=first.checkpoint.epoch or None,
        train_seconds=seconds or None,
        images_per_second=sum(timing.images for timing in timings) / seconds if seconds else None,
        input=f"{size.height}x{size.width}",
        backbone=str(getattr(first.recipe.model, "backbone", "")),
        pretrained=first.checkpoint.pretrained,
        precision=embedded.precision.name,
        compiled="+".join(what for what, was in compiled.items() if was),
        processes=None if first.description is None else first.description.processes,
        deterministic=None if first.description is None else first.description.deterministic,
    )


def _cost(method: Method, models: Sequence[TrainedModel], extractions: Sequence[Extraction], device: str) -> Cost:
    parameters = count_parameters(method)
    size = method.recipe.input
    images = sum(len(found.features.features) for found in extractions)
    seconds = sum(len(found.features.features) / found.images_per_second for found in extractions)
    return Cost(
        device=device,
        parameters_train=parameters.train,
        parameters_test=parameters.test,
        flops_per_image=count_flops(method, size.height, size.width),
        embedding_size=int(extractions[0].features.features.shape[1]),
        extraction_images_per_second=images / seconds,
        training_memory=_largest([model.timing.memory for model in models if model.timing is not None]),
        extraction_memory=_largest([found.memory for found in extractions]),
    )


def _largest(peaks: Sequence[PeakMemory]) -> PeakMemory:
    def largest(kind: str) -> int | None:
        return max((size for peak in peaks if (size := getattr(peak, kind)) is not None), default=None)

    return PeakMemory(largest("allocated"), largest("reserved"), largest("resident"))


def _origin_notes(models: Sequence[TrainedModel]) -> tuple[str, ...]:
    """Says how a checkpoint was chosen that is not ours."""
    if models[0].checkpoint.source != "imported":
        return ()
    return ("official checkpoint; the authors' codes keep the epoch with the best test rank-1",)


def _leaking_notes(models: Sequence[TrainedModel]) -> tuple[str, ...]:
    """Says so where a model knew identities of its test."""
    return tuple(
        f"trained on {len(model.leaked)} of the {model.test_index['pid'].nunique()} test identities"
        + (f" of trial {model.split}" if model.dataset.trials > 1 else "")
        for model in models
        if model.leaked
    )


def _training_notes(models: Sequence[TrainedModel]) -> tuple[str, ...]:
    """Says so where training had not come to its end, or where several processes shared it."""
    notes = []
    description = models[0].description
    if description is not None and description.processes > 1:
        notes.append(f"trained on {description.processes} processes together")
    epochs = models[0].recipe.schedule.epochs
    unfinished = [model for model in models if model.checkpoint.source == "trained" and model.checkpoint.epoch < epochs]
    if unfinished:
        least = min(model.checkpoint.epoch for model in unfinished)
        notes.append(f"evaluated after {least} of {epochs} epochs")
    return tuple(notes)


def _extraction_notes(embedded: Embedded) -> tuple[str, ...]:
    """Says so where several processes shared the images."""
    return (f"features extracted by {embedded.processes} processes together",) if embedded.processes > 1 else ()


def _combined(digests: Sequence[str]) -> str:
    """One SHA-256 as it is; of several, the SHA-256 of their lines."""
    return digests[0] if len(digests) == 1 else sha256_text("\n".join(digests)) if digests else ""
