"""Where a score comes from and what it cost, as its record says it."""

from __future__ import annotations

from collections.abc import Sequence

from vibench.errors import UsageError
from vibench.files.digests import sha256_text
from vibench.methods.base import Method
from vibench.methods.recipe import departures, recipe_sha256
from vibench.methods.registry import get_method
from vibench.profiling.flops import count_flops
from vibench.profiling.parameters import count_parameters
from vibench.records.schema import OFFICIAL, Cost, RunInfo
from vibench.runtime.memory import largest_memory
from vibench.scoring.embedded import Embedded
from vibench.scoring.extraction import Extraction
from vibench.scoring.trained import TrainedModel


def run_info(embedded: Embedded) -> RunInfo:
    models, first = embedded.models, embedded.models[0]
    compiled = {"training": first.checkpoint.compiled, "extraction": embedded.compiled}
    timings = [model.timing for model in models if model.timing is not None]
    seconds = sum(timing.train_seconds for timing in timings)
    size = first.recipe.input
    return RunInfo(
        id=first.run_id,
        seed=first.checkpoint.seed,
        recipe_sha256=recipe_sha256(first.recipe),
        checkpoint_sha256=combined([model.sha256 for model in models]),
        # An official checkpoint need not say how long it was trained.
        epochs=first.checkpoint.epoch or None,
        train_seconds=seconds or None,
        images_per_second=sum(timing.images for timing in timings) / seconds if seconds else None,
        input=f"{size.height}x{size.width}",
        backbone=str(getattr(first.recipe.model, "backbone", "")),
        pretrained=first.checkpoint.pretrained,
        precision=embedded.precision.name,
        training_precision=first.checkpoint.precision,
        recipe=_recipe(first),
        compiled="+".join(what for what, was in compiled.items() if was),
        processes=None if first.description is None else first.description.processes,
        deterministic=None if first.description is None else first.description.deterministic,
        incomplete=_incomplete(models),
        trained_on=first.origin,
    )


def _incomplete(models: Sequence[TrainedModel]) -> str:
    """What the training splits of the models lacked or had too much (`RunInfo.incomplete`)."""
    return "; ".join(
        (f"trial {model.checkpoint.trial} " if len(models) > 1 else "") + model.checkpoint.incomplete
        for model in models
        if model.checkpoint.incomplete
    )


def _recipe(model: TrainedModel) -> str:
    """What a record says of the recipe (`RunInfo.recipe`); nothing of a checkpoint that another code trained."""
    if model.checkpoint.source == "imported":
        return ""
    try:
        changed = list(departures(model.recipe))
    except UsageError:  # a method of one's own that has lost this variant since
        return ""
    if model.checkpoint.precision != model.recipe.optimizer.precision and "optimizer.precision" not in changed:
        changed.append("optimizer.precision")
    if model.checkpoint.pretrained != get_method(model.recipe.method).official_start:
        changed.append("pretrained")
    return ", ".join(changed) or OFFICIAL


def cost_of(method: Method, models: Sequence[TrainedModel], extractions: Sequence[Extraction], device: str) -> Cost:
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
        training_memory=largest_memory([model.timing.memory for model in models if model.timing is not None]),
        extraction_memory=largest_memory([found.memory for found in extractions]),
    )


def combined(digests: Sequence[str]) -> str:
    """One SHA-256 as it is; of several, the SHA-256 of their lines."""
    return digests[0] if len(digests) == 1 else sha256_text("\n".join(digests)) if digests else ""
