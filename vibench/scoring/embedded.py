"""Trained models with the features of their test images, and how these are ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vibench.data.corruption.corrupt import require_libraries
from vibench.datasets.passed_over import empty_note
from vibench.distributed.world import ALONE, World
from vibench.errors import UsageError
from vibench.evaluation.distances import DistanceFunction
from vibench.methods.base import Method
from vibench.methods.transductive import TransductiveMethod
from vibench.runtime.devices import Precision, resolve_device, resolve_precision
from vibench.runtime.progress import Progress, silent
from vibench.scoring.extraction import EMBEDDING, Extraction
from vibench.scoring.rules import Rules, check_protocols, check_together, permutations_of
from vibench.scoring.trained import TrainedModel


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


def embed_models(
    models: Sequence[TrainedModel],
    rules: Rules,
    *,
    device: str = "auto",
    amp: str = "auto",
    tf32: bool = False,
    compiled: bool = False,
    cache: Path | None = None,
    progress: Progress = silent,
    world: World = ALONE,
) -> Embedded:
    """Extract the features of the models' test images. Rules and copies are checked first; errors as `score_models`.

    The processes of ``world`` share the work, and all of them return the same.
    """
    check_protocols(rules.protocols, models[0])
    check_together(models)
    permutations_of(rules, models[0].root)
    corruption = rules.corruption
    if corruption is not None:
        require_libraries(corruption)
    models = [_on_copy(model, rules) for model in models]
    place = resolve_device(device)
    precision = resolve_precision(amp, place, models[0].recipe.optimizer.precision, tf32)
    ranking: dict[int, Method] = {}
    extractions: dict[int, Extraction] = {}
    for model in models:
        method, extractions[model.split] = model.extract(
            place,
            precision,
            feature=rules.feature or EMBEDDING,
            cache=cache,
            given=rules.given,
            corruption=corruption,
            compiled=compiled,
            progress=progress,
            world=world,
        )
        if method.has_own_distance():
            ranking[model.split] = method
    return Embedded(tuple(models), method, ranking, extractions, place, precision, compiled, world.size)


def _on_copy(model: TrainedModel, rules: Rules) -> TrainedModel:
    """The model on a copy that lacks no test image, or that the rules allow to."""
    lacking = model.test_split_lacks
    if not lacking:
        return model
    if rules.allow_incomplete:
        return replace(model, allow_incomplete=True)
    trial = f", trial {model.split}" if model.dataset.trials > 1 else ""
    empty = empty_note(model.dataset.list_root(model.root))
    raise UsageError(
        f"{model.root}: the test split of {model.dataset.name}{trial} {lacking}{'; ' if empty else ''}{empty}; "
        f"{rules.complete_copy}."
    )


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


def information_under(embedded: Embedded, rules: Rules) -> str:
    """The method's test-time information under these rules, apart from query mode and re-ranking.

    Gallery and queries are what its own distance looks at, everything else enters its embedding.
    """
    parts = embedded.method.test_time_information.split("+")
    if not rules.own_distance:
        parts = [part for part in parts if part not in ("gallery", "queries")]
    return "+".join(parts) or "none"
