"""From an official checkpoint to one of ours: names, shapes, class count, trial and settings.

A method takes part with a module ``official.py`` in its folder; `vibench.training.official_names` says what it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vibench.datasets.index import training_rows
from vibench.datasets.registry import Dataset, get_dataset
from vibench.errors import UsageError, VibenchError, cited
from vibench.methods.recipe import load_recipe, recipe_dict
from vibench.methods.registry import build_method, get_method
from vibench.methods.sections import Recipe
from vibench.training.checkpoint import Checkpoint, save_checkpoint
from vibench.training.official_file import OfficialFile, read_official_file
from vibench.training.official_fit import Fit, fit, outline_of
from vibench.training.official_guess import what_it_is
from vibench.training.official_names import Names, importable_methods, official_names, official_variant

__all__ = ["TRAINING_IDENTITIES", "Conversion", "import_official", "importable_methods"]

TRAINING_IDENTITIES = {"sysu-mm01": 395, "regdb": 206, "llcm": 713, "hitsz-vcm": 500, "buptcampus": 1074}
"""Training identities of the real data sets by layout (SYSU-MM01: train and val; RegDB: of every split)."""

INPUT_SETTINGS = ("input.height", "input.width")


@dataclass(frozen=True)
class Conversion:
    """What has been made of an official checkpoint."""

    checkpoint: Checkpoint
    file: OfficialFile
    settings: dict[str, Any]
    """What the file does not carry: recipe key -> value taken."""
    notes: tuple[str, ...] = ()
    """What was done to make it fit, and what is not known of it."""


def import_official(
    method: str,
    path: Path,
    out: Path,
    *,
    variant: str = "",
    dataset: str = "sysu-mm01",
    root: Path | None = None,
    trial: int | None = None,
    overrides: Sequence[str] = (),
    key: str = "",
) -> Conversion:
    """Convert the official checkpoint ``path`` of ``method`` into the vibench checkpoint ``out``.

    ``root`` is a copy of the data set: its training identities are kept, so that testing on one of them is refused.
    Without it they are known for SYSU-MM01 only, from the published lists. ``trial`` is the train/test split of a
    data set with several, where the file's name does not state it. ``overrides`` are ``section.key=value`` texts.
    ``key`` names the state dict where the file holds several.

    A head for another number of identities than the data set has, or none at all, is no hindrance: testing uses none.
    The checkpoint then names its training identities only where the number tells them.

    Raises `UsageError` where the file does not fit: every missing, surplus and wrongly shaped parameter is named.
    """
    path, out = Path(path), Path(out)
    recipe = load_recipe(method, variant or official_variant(method), dataset, overrides)
    names = official_names(recipe)
    data = get_dataset(dataset)
    file = read_official_file(path, key)
    if out.exists() and out.samefile(path):
        raise UsageError(f"--out {out}: is the official file itself; give the checkpoint another name.")
    trial = _trial(file, data, trial)
    found = fit(file.state, outline_of(recipe))
    # First, because a method's network may differ between data sets.
    pids, classes, told = _identities(file, found, data, root, trial)
    _check_fit(file, found)
    weights, widened = _weights(file, found, classes)
    checkpoint = Checkpoint(
        source="imported",
        method=recipe.method,
        variant=recipe.variant,
        recipe=recipe_dict(recipe),
        dataset=data.name,
        dataset_version="" if root is None else data.version(root),
        trial=trial,
        train_pids=pids,
        num_classes=classes,
        seed=file.seed or 0,
        pretrained=get_method(method).official_start,
        precision="fp32",
        epoch=0 if file.epoch is None else file.epoch + 1,
        step=0,
        model=weights,
    )
    try:
        save_checkpoint(out, checkpoint)
    except OSError as error:
        raise VibenchError(f"{out}: cannot be written ({error.strerror or error}); choose another --out.") from error
    return Conversion(checkpoint, file, _settings(recipe, names), (*_place_notes(file, found), *widened, *told))


def _trial(file: OfficialFile, dataset: Dataset, asked: int | None) -> int | None:
    if dataset.trials == 1:
        if asked is not None:
            raise UsageError(f"--trial {asked}: {dataset.name} has one train/test split only; leave --trial out.")
        return None
    if asked is not None and file.trial is not None and asked != file.trial:
        raise UsageError(
            f"--trial {asked}: {file.path} says that it is of trial {file.trial}, and on another split it would be "
            "tested on identities it was trained on; leave --trial out, or rename the file if its name is wrong."
        )
    trial = asked if asked is not None else file.trial
    if trial is None:
        raise UsageError(
            f"{file.path}: does not say which of the {dataset.trials} train/test splits of {dataset.name} it was "
            "trained on; name it with --trial."
        )
    if trial not in range(1, dataset.trials + 1):
        raise UsageError(f"--trial {trial}: {dataset.name} has the train/test splits 1 to {dataset.trials}.")
    return trial


def _identities(
    file: OfficialFile, found: Fit, dataset: Dataset, root: Path | None, trial: int | None
) -> tuple[tuple[int, ...], int, tuple[str, ...]]:
    """The training identities, empty where they are unknown, the number of classes, and what to say about them.

    `UsageError` where the number is that of another data set.
    """
    all_pids, without_validation = _training_pids(dataset, root, trial)
    expected = len(all_pids) or TRAINING_IDENTITIES[dataset.layout]
    source = dataset.name if root is None else f"the copy {root}"
    missing = (
        (f"its head is missing ({cited(found.headless)}): it stays untrained, and is unused in testing",)
        if found.headless
        else ()
    )
    classes = expected if found.classes is None else found.classes
    if classes == expected:
        return all_pids, expected, missing
    others = [name for name, count in TRAINING_IDENTITIES.items() if count == classes and name != dataset.layout]
    if others:
        raise UsageError(
            f"{file.path}: tells {classes} identities apart, but {source} has {expected} training identities; "
            f"name its data set with --dataset {others[0]}."
        )
    told = f"its head has {classes} classes, {source} {expected} training identities"
    if classes == len(without_validation):
        told += ": trained without the validation identities, by that number"
    pids = without_validation if classes == len(without_validation) else ()
    return pids, classes, (*missing, f"{told}; the head is unused in testing")


def _training_pids(dataset: Dataset, root: Path | None, trial: int | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The training identities in ascending order, with and without those for validation; empty where unknown."""
    if root is not None:
        index = dataset.index(root, trial)
    elif dataset.synthetic:
        raise UsageError(f"--dataset {dataset.name}: is synthetic, so name the copy that was trained on with --root.")
    elif dataset.layout == "sysu-mm01":
        from vibench.datasets.sysu_mm01 import sysu_skeleton

        index = sysu_skeleton()
    else:
        return (), ()
    rows = training_rows(index)
    every, without = (
        tuple(sorted({int(pid) for pid in pids})) for pids in (rows["pid"], rows.loc[rows["split"] == "train", "pid"])
    )
    return every, without


def _check_fit(file: OfficialFile, found: Fit) -> None:
    """`UsageError` names all that does not fit, and what the file is instead where that can be told."""
    infinite = (
        name.removeprefix(found.prefix)
        for name in found.given.values()
        if not (file.state[name].is_complex() or torch.isfinite(file.state[name].to(torch.float64)).all())
    )
    problems = {**found.problems, "not finite": list(infinite)}
    said = [f"{what}: {', '.join(entries)}" for what, entries in problems.items() if entries]
    if not said and found.given:
        return
    recipe = found.outline.recipe
    several = "save one of its networks by itself" if found.problems["several networks, behind"] else ""
    guess = several or ("" if found.sound else what_it_is(file.state, file.path, found))
    remedy = guess or "choose its method, --variant, --dataset and --set as it was trained"
    what = f"{recipe.method} {recipe.variant}".strip()
    raise UsageError(f"{file.path}: does not fit {what} on {recipe.dataset}; {remedy}. {'; '.join(said)}.")


def _weights(file: OfficialFile, found: Fit, classes: int) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dict of our network with the file's numbers, and what to say about their type."""
    with torch.random.fork_rng(devices=()):
        # What the file lacks keeps its initial values, the same each time.
        torch.manual_seed(0)
        state = build_method(found.outline.recipe, classes).state_dict()
    kinds = {
        file.state[name].dtype: state[ours].dtype
        for ours, name in found.given.items()
        if state[ours].is_floating_point() and file.state[name].dtype != state[ours].dtype
    }
    notes = tuple(
        f"its weights are {_type(given)}, {change} to {_type(taken)}"
        for given, taken in kinds.items()
        for change in ["widened" if given.itemsize < taken.itemsize else "rounded"]
    )
    weights = {
        ours: file.state[found.given[ours]].to(initial.dtype).clone() if ours in found.given else initial
        for ours, initial in state.items()
    }
    return weights, notes


def _type(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _place_notes(file: OfficialFile, found: Fit) -> tuple[str, ...]:
    """Where in the file the weights were found, if not in the usual place."""
    notes = []
    if file.key not in ("", "net", "state_dict"):
        notes.append(f"its weights are those of its entry {file.key!r}")
    if found.prefix:
        notes.append(f"its names stand behind {found.prefix!r}")
    if found.outside:
        notes.append(f"left out, as no part of the network: {cited(found.outside)}")
    return tuple(notes)


def _settings(recipe: Recipe, names: Names) -> dict[str, Any]:
    tables = recipe_dict(recipe)
    keys = dict.fromkeys((*INPUT_SETTINGS, *names.settings))
    return {key: tables[section][name] for key in keys for section, _, name in [key.partition(".")]}
