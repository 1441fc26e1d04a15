"""From a plan to its jobs: every combination, checked before anything starts.

Ids hash what defines a job: of a training, the effective recipe, the data set and its version, trial, seed, the
SHA-256 of weights and label files, and the precision; of an evaluation, its trainings and its rules; of a profile,
recipe, precision and device. Where things lie does not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from vibench.datasets.registry import Dataset, dataset_root, get_dataset
from vibench.errors import UsageError, VibenchError
from vibench.files.digests import canonical_json, sha256_file, sha256_text
from vibench.leaderboard.profiles import FOLDER
from vibench.methods.plugin import add_plugin
from vibench.methods.recipe import load_recipe, recipe_dict
from vibench.methods.registry import build_method, method_entry, method_names
from vibench.methods.sections import Recipe
from vibench.protocols import corrupted, load_protocol, protocol_names
from vibench.runtime.devices import resolve_device, resolve_precision
from vibench.scoring.attributes import GivenAttributes
from vibench.sweep.job import Evaluating, Job, Profiling, Training
from vibench.sweep.plan import EVERY, JobsTable, Plan, SlurmTable
from vibench.training.inputs import find_inputs
from vibench.training.spec import check_trial, training_needs, trial_name


@dataclass(frozen=True)
class _Setting:
    """What all jobs of a plan share."""

    device: str
    amp: str

    def precision(self, recipe: Recipe) -> str:
        """``off``, ``bf16`` or ``fp16``: what ``auto`` means for a recipe is the same on every machine of a kind."""
        if self.amp != "auto":
            return self.amp
        own = recipe.optimizer.precision
        return "off" if own == "fp32" or (own == "fp16" and self.device == "cpu") else own


def expand(plan: Plan) -> tuple[Job, ...]:
    """The jobs of a plan, each once, trainings and evaluations in the order of the plan and profiles last.

    Raises `UsageError`, naming the plan's entry, for whatever does not exist or does not fit.
    """
    for plugin in plan.sweep.plugins:
        add_plugin(plan.path(plugin))
    with _naming(f"{plan.name}.toml: [sweep]"):
        setting = _setting(plan)
    jobs: dict[str, Job] = {}
    profiles: dict[str, Job] = {}
    for number, entry in enumerate(plan.jobs, start=1):
        where = f"{plan.name}.toml: [[jobs]] number {number}"
        with _naming(where):
            for recipe, dataset in _recipes(plan, entry):
                for job in _experiments(plan, entry, setting, recipe, dataset):
                    jobs.setdefault(job.id, job)
                if plan.sweep.profile:
                    job = _profile(plan, setting, recipe)
                    profiles.setdefault(job.id, job)
    return (*jobs.values(), *profiles.values())


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Put the plan's entry before whatever is wrong with it."""
    try:
        yield
    except VibenchError as error:
        raise type(error)(f"{where}: {error}") from error


def _setting(plan: Plan) -> _Setting:
    """Device and precision; on a cluster they must not depend on where the sweep is started."""
    sweep = plan.sweep
    if isinstance(plan.executor, SlurmTable) and plan.executor.cluster == "slurm":
        return _Setting(sweep.device, sweep.amp)
    device = resolve_device(sweep.device)
    resolve_precision(sweep.amp, device)
    return _Setting(device.type, sweep.amp)


def _recipes(plan: Plan, entry: JobsTable) -> Iterator[tuple[Recipe, Dataset]]:
    """The effective recipe on each data set of each method and variant that the entry names."""
    for method, variant in _variants(entry):
        for name in entry.datasets:
            dataset = get_dataset(name)
            yield load_recipe(method, variant, name, (*plan.sweep.set, *entry.set)), dataset


def _variants(entry: JobsTable) -> list[tuple[str, str]]:
    names = method_names() if entry.methods == (EVERY,) else entry.methods
    found: dict[tuple[str, str], None] = {}
    for name in names:
        method, colon, variant = name.partition(":")
        recipe_file = method_entry(method).recipe_file
        wanted = (variant,) if colon else entry.variants
        if wanted == (EVERY,):
            wanted = ("", *recipe_file.variants)
        for one in wanted:
            found[method, recipe_file.resolve_variant(one)] = None
    return list(found)


def _experiments(plan: Plan, entry: JobsTable, setting: _Setting, recipe: Recipe, dataset: Dataset) -> Iterator[Job]:
    """Per seed: one training per trial, then the evaluation of them all."""
    root = _root(plan, dataset)
    trials: tuple[int | None, ...] = (
        (None,) if dataset.trials == 1 else entry.trials or tuple(range(1, dataset.trials + 1))
    )
    for trial in trials:
        check_trial(dataset, trial)
    pretrained = _pretrained(plan, entry)
    evaluating = _rules(plan, entry, recipe, dataset)
    inputs = _input_digests(training_needs(recipe), dataset, root)
    for seed in entry.seeds or plan.sweep.seeds:
        defining = {
            "recipe": recipe_dict(recipe),
            "dataset_version": dataset.version(root),
            "seed": seed,
            "pretrained": _weights_identity(pretrained),
            "precision": setting.precision(recipe),
            **inputs,
        }
        label = " ".join(part for part in (recipe.method, recipe.variant, recipe.dataset, f"s{seed}") if part)
        experiment = "-".join(part for part in (recipe.method, recipe.variant, f"s{seed}", _hash(defining)[:8]) if part)
        trainings = [
            Job(
                id=f"train-{_hash({**defining, 'trial': trial})}",
                label=label if trial is None else f"{label} t{trial:02d}",
                method=recipe.method,
                variant=recipe.variant,
                dataset=recipe.dataset,
                train=Training(
                    recipe=recipe_dict(recipe),
                    root=str(root),
                    seed=seed,
                    pretrained=pretrained,
                    precision=setting.precision(recipe),
                    device=setting.device,
                    run="/".join(("runs", recipe.dataset, experiment, *((trial_name(trial),) if trial else ()))),
                    trial=trial,
                    allow_incomplete=plan.sweep.allow_incomplete,
                ),
            )
            for trial in trials
        ]
        yield from trainings
        needs = tuple(job.id for job in trainings)
        yield Job(
            id=f"evaluate-{_hash({'trainings': needs, **evaluating})}",
            label=label,
            method=recipe.method,
            variant=recipe.variant,
            dataset=recipe.dataset,
            needs=needs,
            evaluate=Evaluating(
                runs=tuple(job.train.run for job in trainings if job.train is not None),
                root=str(root),
                precision=setting.precision(recipe),
                device=setting.device,
                leaderboards=str(plan.leaderboards),
                allow_incomplete=plan.sweep.allow_incomplete,
                **evaluating["rules"],
            ),
        )


def _profile(plan: Plan, setting: _Setting, recipe: Recipe) -> Job:
    defining = {"recipe": recipe_dict(recipe), "precision": setting.precision(recipe), "device": setting.device}
    digest = _hash(defining)
    name = "-".join(part for part in (recipe.method, recipe.variant, recipe.dataset, digest[:8]) if part)
    return Job(
        id=f"profile-{digest}",
        label=" ".join(part for part in (recipe.method, recipe.variant, recipe.dataset) if part),
        method=recipe.method,
        variant=recipe.variant,
        dataset=recipe.dataset,
        profile=Profiling(
            recipe=recipe_dict(recipe),
            precision=setting.precision(recipe),
            device=setting.device,
            leaderboards=str(plan.leaderboards),
            file=f"{FOLDER}/{name}.json",
        ),
    )


def _root(plan: Plan, dataset: Dataset) -> Path:
    given = plan.roots.get(dataset.name)
    root = dataset_root(dataset.name, plan.path(given) if given else None).absolute()
    if not root.is_dir():
        raise UsageError(
            f"{root}: there is no such folder for the data set {dataset.name}; name it in [roots] or with VIBENCH_DATA."
        )
    return root


def _pretrained(plan: Plan, entry: JobsTable) -> str:
    given = entry.pretrained or plan.sweep.pretrained
    if given in ("imagenet", "none"):
        return given
    path = plan.path(given)
    if not path.is_file():
        raise UsageError(f"pretrained = '{given}': there is no file {path}; give imagenet, none or a weights file.")
    return str(path)


def _rules(plan: Plan, entry: JobsTable, recipe: Recipe, dataset: Dataset) -> dict[str, Any]:
    """The rules of an entry's evaluations, and the fingerprints of their protocols."""
    # What is not asked for is evaluated on clean images.
    usual = [name for name in protocol_names() if load_protocol(name).corruption is None]
    names = [str(plan.path(name)) if name.endswith(".toml") else name for name in entry.protocols or usual]
    fitting = {name: protocol for name in names if (protocol := load_protocol(name)).layout == dataset.layout}
    layouts = {get_dataset(name).layout for name in entry.datasets}
    for name in names if entry.protocols else ():
        if load_protocol(name).layout not in layouts:
            raise UsageError(f"'protocols' names {name}, which is a protocol of none of the entry's data sets.")
    if not fitting:
        raise UsageError(f"'protocols' names none of the data set {dataset.name}; leave it out to evaluate in all.")
    if len(corrupted(tuple(fitting.values()))) > 1:
        raise UsageError(
            f"'protocols' of {dataset.name} are of clean and of corrupted images; give each an entry of its own."
        )
    for protocol in fitting.values():
        for draw in entry.draws:
            protocol.resolve_draw(draw)
    given = [GivenAttributes(source) for source in entry.test_attributes]
    if any(one.source for one in given):
        with torch.device("meta"):
            method = build_method(recipe, num_classes=2)
        for one in given:
            one.resolve(method)
    rules = {
        "protocols": tuple(fitting),
        "query_modes": entry.query_modes,
        "test_attributes": entry.test_attributes,
        "features": entry.features,
        "draws": entry.draws,
        "reranks": entry.reranks,
    }
    # A protocol whose file says something new is another evaluation.
    fingerprints = [protocol.fingerprint(dataset.name, protocol.draws[0]) for protocol in fitting.values()]
    return {"rules": rules, "fingerprints": fingerprints}


@lru_cache(maxsize=64)
def _input_digests(needs: frozenset[str], dataset: Dataset, root: Path) -> dict[str, str]:
    """SHA-256 of the label files that a method trains on."""
    return {name: file.sha256 for name, file in find_inputs(needs, dataset, root, None, None).items()}


def _weights_identity(pretrained: str) -> str:
    return pretrained if pretrained in ("imagenet", "none") else _file_digest(pretrained)


@lru_cache(maxsize=64)
def _file_digest(path: str) -> str:
    return sha256_file(Path(path))


def _hash(defining: Any) -> str:
    """The first 16 hexadecimal digits of a SHA-256."""
    return sha256_text(canonical_json(defining))[:16]
