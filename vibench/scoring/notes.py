"""The sentences that records carry: what a reader of a score must know about how it came about."""

from __future__ import annotations

from collections.abc import Sequence

from vibench.scoring.rules import Rules
from vibench.scoring.trained import TrainedModel
from vibench.training.official import TRAINING_IDENTITIES


def origin_notes(models: Sequence[TrainedModel]) -> tuple[str, ...]:
    """Says how a checkpoint was chosen that is not ours, and where it was trained on other identities than ours are."""
    if models[0].checkpoint.source != "imported":
        return ()
    others = dict.fromkeys(note for model in models for note in _other_identities(model))
    return ("official checkpoint; the authors' codes keep the epoch with the best test rank-1", *others)


def _other_identities(model: TrainedModel) -> tuple[str, ...]:
    """What is known of the identities that a model was trained on, where they are not all those of its split."""
    if model.transferred:
        return ()
    checkpoint, split = model.checkpoint, model.training_split
    if checkpoint.train_pids:
        left_out = split.difference(checkpoint.train_pids)
        trained = f"trained on {len(checkpoint.train_pids)} of the {len(split)} training identities"
        return (f"{trained}, as the size of its head says",) if left_out else ()
    classes = checkpoint.num_classes
    if classes in (len(split), TRAINING_IDENTITIES[model.dataset.layout]):
        return ()
    return (
        f"its head has {classes} classes, the training split {len(split)} identities: which it was trained on is "
        "unknown, so that test identities may be among them",
    )


def leaking_notes(models: Sequence[TrainedModel]) -> tuple[str, ...]:
    """Says so where a model knew identities of its test."""
    return tuple(
        f"trained on {len(model.leaked)} of the {model.test_index['pid'].nunique()} test identities"
        + (f" of trial {model.split}" if model.dataset.trials > 1 else "")
        for model in models
        if model.leaked
    )


def copy_notes(models: Sequence[TrainedModel]) -> tuple[str, ...]:
    """Says what the copies lacked that the models were tested on."""
    return tuple(
        "tested on an incomplete copy: the test split"
        + (f" of trial {model.split}" if model.dataset.trials > 1 else "")
        + f" {model.test_split_lacks}"
        for model in models
        if model.allow_incomplete and model.test_split_lacks
    )


def training_notes(models: Sequence[TrainedModel]) -> tuple[str, ...]:
    """Says so where training was unfinished, shared by processes, or lacked images or the recipe's precision."""
    notes = []
    description = models[0].description
    if description is not None and description.processes > 1:
        notes.append(f"trained on {description.processes} processes together")
    own, asked = models[0].checkpoint.precision, models[0].recipe.optimizer.precision
    if models[0].checkpoint.source == "trained" and own != asked:
        notes.append(f"trained in {own}, not in the recipe's {asked}")
    notes += [
        "trained on an incomplete copy: the training split"
        + (f" of trial {model.checkpoint.trial}" if model.trained_on.trials > 1 else "")
        + f" {model.checkpoint.incomplete}"
        for model in models
        if model.checkpoint.incomplete
    ]
    epochs = models[0].recipe.schedule.epochs
    unfinished = [model for model in models if model.checkpoint.source == "trained" and model.checkpoint.epoch < epochs]
    if unfinished:
        least = min(model.checkpoint.epoch for model in unfinished)
        notes.append(f"evaluated after {least} of {epochs} epochs")
    return tuple(notes)


def extraction_notes(processes: int) -> tuple[str, ...]:
    """Says so where several processes shared the images."""
    return (f"features extracted by {processes} processes together",) if processes > 1 else ()


def query_mode_notes(rules: Rules, information: str) -> tuple[str, ...]:
    """Says so where the rankings are the same in both query modes."""
    if rules.query_mode != "single" or "queries" in information.split("+"):
        return ()
    return ("query mode single changes nothing here: no ranking looks at the other queries in any mode",)


def masking_notes(rules: Rules) -> tuple[str, ...]:
    if not rules.mask_same_location:
        return ()
    return ("a query exchanges nothing with gallery images of its own location, which its ranking skips",)
