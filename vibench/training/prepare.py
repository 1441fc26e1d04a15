"""From a specification to a new run folder that says what is to be trained: the checks before the first step."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime, timezone

from vibench.datasets.joined import parts_of, training_dataset
from vibench.datasets.passed_over import empty_note, passed_over_note
from vibench.datasets.registry import dataset_root
from vibench.datasets.training_split import names_sha256, training_differences
from vibench.errors import UsageError, VibenchWarning
from vibench.files.digests import canonical_json, sha256_text
from vibench.files.places import require_folder
from vibench.files.writing import write_text
from vibench.methods.recipe import recipe_dict, recipe_sha256, recipe_toml
from vibench.runtime.determinism import deterministic
from vibench.runtime.devices import resolve_device, resolve_precision
from vibench.runtime.environment import describe_environment
from vibench.training.folder import InputFile, RunDescription, RunFolder, writing
from vibench.training.inputs import find_inputs
from vibench.training.spec import TrainingSpec, check_trial, default_folder, training_needs


def prepare(spec: TrainingSpec, *, device: str = "auto") -> RunFolder:
    """Check a specification and write ``recipe.toml`` and ``run.json`` of a new run, which `resume` then trains.

    Raises `UsageError` where the folder holds a run, or anything else, already.
    """
    recipe = spec.recipe
    run = RunFolder(spec.folder or default_folder(recipe, spec.seed, spec.trial))
    if os.path.lexists(run.path):
        _require_unused(run)
    require_folder(run.path, "--out")
    dataset = training_dataset(recipe.dataset)
    root = dataset_root(dataset.name, spec.root)
    check_trial(dataset, spec.trial)
    if not root.is_dir():
        raise UsageError(
            f"{root}: there is no such folder for the data set {dataset.name}; name it with --root or VIBENCH_DATA."
        )
    listing = dataset.list_root(root)
    version = dataset.version(root)
    inputs = find_inputs(training_needs(recipe), dataset, root, spec.attributes, spec.heatmaps)
    if spec.compiled and spec.processes > 1:
        raise UsageError("--compile: what several processes tell one another cannot be compiled; leave it out.")
    resolved = resolve_device(device)
    precision = resolve_precision(spec.amp, resolved, recipe.optimizer.precision, spec.tf32).name
    with deterministic(spec.deterministic):
        environment = describe_environment(str(resolved))
    run = RunFolder(spec.folder or default_folder(recipe, spec.seed, spec.trial))
    _require_unused(run)
    index = dataset.index(root, spec.trial, missing_ok=True)
    incomplete = training_differences(dataset, root, index, spec.trial)
    if incomplete and not spec.allow_incomplete:
        trial = "" if spec.trial is None else f", trial {spec.trial}"
        empty = f"; {empty_note(listing)}" if listing.empty else ""
        raise UsageError(
            f"{root}: the training split of {dataset.name}{trial} {incomplete}{empty}; complete the copy (vibench data "
            f"check names every file), or train on it as it is with {spec.allow_incomplete_by}, into records that say "
            "so and hold no rank."
        )
    for part, place in parts_of(dataset, root):
        passed_over = passed_over_note(part, place, part.list_root(place))
        if passed_over:
            warnings.warn(f"{passed_over}.", VibenchWarning, stacklevel=2)
    description = RunDescription(
        id=_run_id(spec, version, precision, inputs, names_sha256(index) if incomplete else ""),
        method=recipe.method,
        variant=recipe.variant,
        dataset=recipe.dataset,
        dataset_version=version,
        root=str(root.resolve()),
        seed=spec.seed,
        pretrained=spec.pretrained,
        precision=precision,
        recipe_sha256=recipe_sha256(recipe),
        environment=environment,
        created=datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        trial=spec.trial,
        inputs=inputs,
        compiled=spec.compiled,
        processes=spec.processes,
        sync_batch_norm=spec.sync_batch_norm,
        deterministic=spec.deterministic,
        incomplete=incomplete,
        training_names_sha256=names_sha256(index),
    )
    with writing(run), run.locked():
        write_text(run.recipe_path, recipe_toml(recipe))
        run.write_description(description)
    return run


@contextmanager
def removed_where_refused() -> Iterator[list[RunFolder]]:
    """A list of runs, of which a `UsageError` that leaves the block removes what `prepare` wrote: it leaves no run.

    Where something was trained already they stay. So does a folder that holds anything else, and one that another
    process trains in.
    """
    prepared: list[RunFolder] = []
    try:
        yield prepared
    except UsageError:
        if not any(run.checkpoint_path.exists() for run in prepared):
            for run in prepared:
                _unprepare(run)
        raise


def _unprepare(run: RunFolder) -> None:
    own = (run.description_path, run.recipe_path, run.lock_path)
    with suppress(UsageError, OSError), run.locked():
        if set(run.path.iterdir()) == set(own):
            for file in own:
                file.unlink()
            run.path.rmdir()


def _require_unused(run: RunFolder) -> None:
    """A run that was prepared but has no checkpoint yet may be prepared anew: nothing is lost."""
    if run.checkpoint_path.exists():
        if run.finished():
            raise UsageError(
                f"{run.path}: holds a finished run; evaluate it with 'vibench eval {run.path}', or train into another "
                "folder with --out."
            )
        raise UsageError(
            f"{run.path}: holds an unfinished run; continue it with 'vibench train --resume {run.path}', remove it, "
            "or train into another folder with --out."
        )
    foreign = run.path.exists() and not run.description_path.exists()
    if foreign and (not run.path.is_dir() or any(not run.begins_with(file.name) for file in run.path.iterdir())):
        raise UsageError(f"{run.path}: exists and is no run folder; choose a new one with --out.")


def _run_id(spec: TrainingSpec, version: str, precision: str, inputs: Mapping[str, InputFile], incomplete: str) -> str:
    """Readable, and different wherever anything that defines the run is."""
    recipe = spec.recipe
    defining = {
        "recipe": recipe_dict(recipe),
        "dataset_version": version,
        "trial": spec.trial,
        "seed": spec.seed,
        "pretrained": spec.pretrained,
        "precision": precision,
        **{name: file.sha256 for name, file in inputs.items()},
        **({"compiled": True} if spec.compiled else {}),
        **({"incomplete": incomplete} if incomplete else {}),
        # How many processes share a batch changes nothing else than the order of sums, unlike what they normalise by.
        **({"shares": spec.processes} if spec.processes > 1 and not spec.sync_batch_norm else {}),
    }
    trial = "" if spec.trial is None else f"t{spec.trial:02d}"
    parts = (recipe.dataset, recipe.method, recipe.variant, f"s{spec.seed}", trial)
    return "-".join(part for part in (*parts, sha256_text(canonical_json(defining))[:8]) if part)
