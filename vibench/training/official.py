"""From an official checkpoint to one of ours: names, shapes, class count, trial and settings.

A method takes part with a module ``official.py`` in its folder that defines

``KEYS``
    pairs (official prefix, our prefix), in order: the first official prefix that a name begins with is replaced.
``UNUSED``
    official prefixes of what is stored but plays no part in the network; such entries are left out.
``SETTINGS`` (optional)
    recipe keys such as ``model.gem_p`` that decide what the weights compute and that no file carries; the recipe's
    values are taken, and named in the report. The input size is always among them.
``OPTIONAL`` (optional)
    our prefixes of what a file may lack: buffers that the official code keeps elsewhere, and classifiers that
    evaluation-only files leave out. They keep their initial values.
``VARIANT`` (optional)
    the variant whose network the files hold, where it is not the method itself; taken unless another is asked for.
``unused(recipe)`` (optional)
    further prefixes like ``UNUSED`` where they depend on the recipe, and so on data set and variant.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vibench.datasets.index import training_rows
from vibench.datasets.registry import Dataset, get_dataset
from vibench.errors import UsageError, VibenchError, suggestion
from vibench.methods.base import Method
from vibench.methods.recipe import load_recipe, recipe_dict
from vibench.methods.registry import build_method, method_entries, method_entry
from vibench.methods.sections import Recipe
from vibench.training.checkpoint import Checkpoint, save_checkpoint
from vibench.training.official_file import OfficialFile, read_official_file

TRAINING_IDENTITIES = {"sysu-mm01": 395, "regdb": 206, "llcm": 713}
"""Training identities of the real data sets by layout (SYSU-MM01: train and val; RegDB: of every split)."""

INPUT_SETTINGS = ("input.height", "input.width")

_COUNTERS = "num_batches_tracked"
"""Batch counters of norm layers, which files older than PyTorch 0.4.1 lack and nothing reads."""


@dataclass(frozen=True)
class Conversion:
    """What has been made of an official checkpoint."""

    checkpoint: Checkpoint
    file: OfficialFile
    settings: dict[str, Any]
    """What the file does not carry: recipe key -> value taken."""


@dataclass(frozen=True)
class _Names:
    """How the official names of a method translate."""

    keys: tuple[tuple[str, str], ...]
    unused: tuple[str, ...]
    optional: tuple[str, ...]
    settings: tuple[str, ...]

    def ours(self, official: str) -> str | None:
        """Our name of an official entry; None where the network has no such part."""
        for theirs, ours in self.keys:
            if official.startswith(theirs):
                return ours + official[len(theirs) :]
        return None

    def theirs(self, ours: str) -> str:
        """The official name of one of our entries, as far as the prefixes tell."""
        for official, own in self.keys:
            if ours.startswith(own):
                return official + ours[len(own) :]
        return ours

    def may_lack(self, ours: str) -> bool:
        return ours.startswith(self.optional) or ours.endswith(_COUNTERS)


def importable_methods() -> tuple[str, ...]:
    """The methods whose official checkpoints can be imported; imports no method."""
    return tuple(name for name, entry in method_entries().items() if (entry.folder / "official.py").is_file())


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
) -> Conversion:
    """Convert the official checkpoint ``path`` of ``method`` into the vibench checkpoint ``out``.

    ``root`` is a copy of the data set: its training identities are kept, so that testing on one of them is refused.
    Without it they are known for SYSU-MM01 only, from the published lists. ``trial`` is the train/test split of a
    data set with several, where the file's name does not state it. ``overrides`` are ``section.key=value`` texts.

    Raises `UsageError` where the file does not fit: every missing, surplus and wrongly shaped parameter is named.
    """
    path, out = Path(path), Path(out)
    module = _official_module(method)
    names_of = _names_of(module)
    recipe = load_recipe(method, variant or getattr(module, "VARIANT", ""), dataset, overrides)
    names = names_of(recipe)
    data = get_dataset(dataset)
    file = read_official_file(path)
    if out.exists() and out.samefile(path):
        raise UsageError(f"--out {out}: is the official file itself; give the checkpoint another name.")
    trial = _trial(file, data, trial)
    pids = _training_pids(data, root, trial)
    expected = len(pids) or TRAINING_IDENTITIES[data.layout]
    classes = _class_count(file, recipe, names, otherwise=expected)
    _check_class_count(file, data, root, classes, expected)
    weights = _weights(file, recipe, names, classes)
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
        pretrained="imagenet",
        precision="fp32",
        epoch=0 if file.epoch is None else file.epoch + 1,
        step=0,
        model=weights,
    )
    try:
        save_checkpoint(out, checkpoint)
    except OSError as error:
        raise VibenchError(f"{out}: cannot be written ({error.strerror or error}); choose another --out.") from error
    return Conversion(checkpoint, file, _settings(recipe, names))


def _official_module(method: str) -> Any:
    """The module ``official`` of a method; `UsageError` where its official checkpoints cannot be imported."""
    entry = method_entry(method)
    if not (entry.folder / "official.py").is_file():
        known = importable_methods()
        raise UsageError(
            f"official checkpoints of {method} cannot be imported{suggestion(method, known)}; those of "
            f"{', '.join(known)} can."
        )
    package, _, last = entry.module.rpartition(".")
    return importlib.import_module(f"{entry.module if last == entry.folder.name else package}.official")


def _names_of(module: Any) -> Callable[[Recipe], _Names]:
    """Recipe -> names, of a module ``official``."""

    def names(recipe: Recipe) -> _Names:
        further = module.unused(recipe) if hasattr(module, "unused") else ()
        return _Names(
            keys=tuple(module.KEYS),
            unused=(*module.UNUSED, *further),
            optional=tuple(getattr(module, "OPTIONAL", ())),
            settings=tuple(getattr(module, "SETTINGS", ())),
        )

    return names


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


def _training_pids(dataset: Dataset, root: Path | None, trial: int | None) -> tuple[int, ...]:
    """The training identities in ascending order; empty where they are unknown."""
    if root is not None:
        return tuple(sorted({int(pid) for pid in training_rows(dataset.index(root, trial))["pid"]}))
    if dataset.synthetic:
        raise UsageError(f"--dataset {dataset.name}: is synthetic, so name the copy that was trained on with --root.")
    if dataset.layout == "sysu-mm01":
        from vibench.datasets.sysu_mm01 import sysu_skeleton

        return tuple(sorted({int(pid) for pid in training_rows(sysu_skeleton())["pid"]}))
    return ()


def _class_count(file: OfficialFile, recipe: Recipe, names: _Names, otherwise: int) -> int:
    """The number of classes, from the first parameter whose shape depends on it; ``otherwise`` where there is none."""
    two, three = (_on_no_device(recipe, classes).state_dict() for classes in (2, 3))
    for official, tensor in file.state.items():
        ours = names.ours(official)
        if official.startswith(names.unused) or ours not in two or tensor.ndim != two[ours].ndim:
            continue
        for size, small, large in zip(tensor.shape, two[ours].shape, three[ours].shape, strict=True):
            if small != large:
                return size
    return otherwise


def _on_no_device(recipe: Recipe, classes: int) -> Method:
    """The network without its numbers: names and shapes alone."""
    with torch.device("meta"):
        return build_method(recipe, classes)


def _check_class_count(file: OfficialFile, dataset: Dataset, root: Path | None, classes: int, expected: int) -> None:
    if classes == expected:
        return
    others = [layout for layout, count in TRAINING_IDENTITIES.items() if count == classes]
    remedy = f"name its data set with --dataset {others[0]}" if others else "name its data set with --dataset"
    source = dataset.name if root is None else f"the copy {root}"
    raise UsageError(
        f"{file.path}: tells {classes} identities apart, but {source} has {expected} training identities; {remedy}."
    )


def _weights(file: OfficialFile, recipe: Recipe, names: _Names, classes: int) -> dict[str, Tensor]:
    """The state dict of our network with the file's numbers; `UsageError` names all that does not fit."""
    state = build_method(recipe, classes).state_dict()
    given: dict[str, str] = {}
    surplus, doubled, shapes, infinite = [], [], [], []
    for official, tensor in file.state.items():
        if official.startswith(names.unused):
            continue
        ours = names.ours(official)
        if ours is None or ours not in state:
            surplus.append(official)
        elif ours in given:
            doubled.append(official)
        else:
            given[ours] = official
            if tensor.shape != state[ours].shape:
                shapes.append(f"{official} {_shape(tensor)} instead of {_shape(state[ours])}")
            elif not torch.isfinite(tensor).all():
                infinite.append(official)
    missing = [names.theirs(ours) for ours in state if ours not in given and not names.may_lack(ours)]
    problems = {
        "missing": missing,
        "surplus": surplus,
        "given twice": doubled,
        "of another shape": shapes,
        "not finite": infinite,
    }
    found = [f"{what}: {', '.join(entries)}" for what, entries in problems.items() if entries]
    if found:
        what = f"{recipe.method} {recipe.variant}".strip()
        raise UsageError(
            f"{file.path}: does not fit {what} on {recipe.dataset}; choose its method, --variant, --dataset and --set "
            f"as it was trained. {'; '.join(found)}."
        )
    return {
        ours: file.state[given[ours]].to(initial.dtype).clone() if ours in given else initial
        for ours, initial in state.items()
    }


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "single number"


def _settings(recipe: Recipe, names: _Names) -> dict[str, Any]:
    tables = recipe_dict(recipe)
    keys = dict.fromkeys((*INPUT_SETTINGS, *names.settings))
    return {key: tables[section][name] for key in keys for section, _, name in [key.partition(".")]}
