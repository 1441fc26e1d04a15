"""A training run from its specification to its finished folder, in one go or in several."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vibench.data.cache import open_cache, shared_images, shared_images_note
from vibench.data.loader import TrainingLoader
from vibench.datasets.index import SampleIndex, test_rows, training_rows
from vibench.datasets.registry import Dataset, dataset_root, get_dataset
from vibench.distributed.world import ALONE, World
from vibench.errors import UsageError, VibenchError, VibenchWarning
from vibench.files.digests import canonical_json, sha256_text
from vibench.files.writing import write_text
from vibench.methods.recipe import recipe_dict, recipe_sha256, recipe_toml
from vibench.methods.registry import build_method, get_method
from vibench.methods.sections import Recipe
from vibench.runtime.determinism import deterministic
from vibench.runtime.devices import resolve_device, resolve_precision
from vibench.runtime.environment import describe_environment
from vibench.runtime.memory import PeakMemory, measure_peak_memory
from vibench.runtime.progress import Progress, silent
from vibench.runtime.randomness import torch_seed
from vibench.training.checkpoint import Checkpoint, load_weights, read_checkpoint, save_checkpoint
from vibench.training.folder import InputFile, RunDescription, RunFolder, Timing
from vibench.training.inputs import find_inputs, load_inputs, unchanged_inputs
from vibench.training.interrupt import TrainingInterrupted, stop_requests
from vibench.training.log import EpochReport, TrainingLog, read_log
from vibench.training.meter import NonFiniteLoss
from vibench.training.tensorboard import epoch_writer
from vibench.training.trainer import Trainer

_PRECISION_OPTION = {"fp32": "off", "bf16": "bf16", "fp16": "fp16"}


@dataclass(frozen=True)
class TrainingSpec:
    """What to train on what."""

    recipe: Recipe
    """Names method, variant and data set."""
    root: Path | None = None
    """Folder of the data set; None: the default place of `vibench.datasets.registry.dataset_root`."""
    trial: int | None = None
    """Train/test split, from 1, of a data set that has several; None for the others."""
    seed: int = 0
    amp: str = "auto"
    pretrained: str = "imagenet"
    """``imagenet``, ``none`` or the path of a weights file."""
    folder: Path | None = None
    """The run folder; None: `default_folder`."""
    attributes: Path | None = None
    """Attribute labels; None: those of the data set's folder."""
    heatmaps: Path | None = None
    """Keypoint heatmaps; None: those of the data set's folder."""
    compiled: bool = False
    """Train by code of `torch.compile`."""
    processes: int = 1
    """Processes that share each batch."""
    sync_batch_norm: bool = True
    """With several processes: batch norm by the statistics of the whole batch, not of each process's share."""
    deterministic: bool = False
    """Take algorithms that repeat themselves, on a GPU too."""


def train(
    spec: TrainingSpec,
    *,
    device: str = "auto",
    cache: Path | None = None,
    tensorboard: bool = False,
    progress: Progress = silent,
) -> RunFolder:
    """Train a method from the start and return its run folder.

    Raises `UsageError` for a specification that does not work out and for a folder in use, `NonFiniteLoss` where a
    loss is NaN or infinite and `TrainingInterrupted` after Ctrl-C; in the latter two cases `resume` goes on.
    """
    run = prepare(spec, device=device)
    return resume(run, device=device, cache=cache, tensorboard=tensorboard, progress=progress)


def train_or_resume(
    spec: TrainingSpec, device: str, cache: Path | None = None, progress: Progress = silent
) -> RunFolder:
    """Train into ``spec.folder``, or go on with what an earlier call with the same specification left there.

    Raises `UsageError` where the folder holds a run of another recipe.
    """
    if spec.folder is None:
        raise ValueError("a run that may be resumed needs a folder of its own")
    run = RunFolder(spec.folder)
    if run.checkpoint_path.exists() and run.recipe() != spec.recipe:
        raise UsageError(f"{run.path}: holds a run of another recipe; remove it, or choose another folder with --out.")
    if not run.checkpoint_path.exists():
        run = prepare(spec, device=device)
    return resume(run, device=device, cache=cache, progress=progress)


def default_folder(recipe: Recipe, seed: int, trial: int | None = None) -> Path:
    """``runs/<dataset>/<method>-<variant>-s<seed>``, and in it ``trial-NN`` for one of several splits."""
    parts = (recipe.method, recipe.variant, f"s{seed}")
    folder = Path("runs") / recipe.dataset / "-".join(part for part in parts if part)
    return folder if trial is None else folder / trial_name(trial)


def trial_name(trial: int) -> str:
    """The folder of one trial within the folder of all."""
    return f"trial-{trial:02d}"


def prepare(spec: TrainingSpec, *, device: str = "auto") -> RunFolder:
    """Check a specification and write ``recipe.toml`` and ``run.json`` of a new run, which `resume` then trains.

    Raises `UsageError` where the folder holds a run, or anything else, already.
    """
    recipe = spec.recipe
    dataset = get_dataset(recipe.dataset)
    root = dataset_root(dataset.name, spec.root)
    check_trial(dataset, spec.trial)
    if not root.is_dir():
        raise UsageError(
            f"{root}: there is no such folder for the data set {dataset.name}; name it with --root or VIBENCH_DATA."
        )
    version = dataset.version(root)
    inputs = find_inputs(training_needs(recipe), dataset, root, spec.attributes, spec.heatmaps)
    if spec.compiled and spec.processes > 1:
        raise UsageError("--compile: what several processes tell one another cannot be compiled; leave it out.")
    resolved = resolve_device(device)
    precision = resolve_precision(spec.amp, resolved).name
    with deterministic(spec.deterministic):
        environment = describe_environment(str(resolved))
    description = RunDescription(
        id=_run_id(spec, version, precision, inputs),
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
    )
    run = RunFolder(spec.folder or default_folder(recipe, spec.seed, spec.trial))
    _require_unused(run)
    with _writing(run), run.locked():
        write_text(run.recipe_path, recipe_toml(recipe))
        run.write_description(description)
    return run


def resume(
    run: RunFolder,
    *,
    device: str = "auto",
    root: Path | None = None,
    cache: Path | None = None,
    tensorboard: bool = False,
    progress: Progress = silent,
    world: World = ALONE,
) -> RunFolder:
    """Train a prepared, interrupted or killed run to its end; a finished one is left as it is.

    On one CPU with one number of threads the final checkpoint is, to the byte, that of an uninterrupted run.
    ``root`` says where the data set lies now, if it has moved. The processes of ``world`` share each batch, call this
    alike and see the same files; the leading one alone writes. Errors as `train`.
    """
    with ExitStack() as stack:
        stack.enter_context(_writing(run))
        world.from_leader(lambda: stack.enter_context(run.locked()) or "")
        if run.finished():
            return run
        stack.enter_context(deterministic(run.description().deterministic))
        session = _Session(run, device, root, cache, progress, world)
        events = epoch_writer(run.tensorboard_path, session.trainer.epoch, tensorboard and world.leads)
        write_epoch = stack.enter_context(events)
        stop = stack.enter_context(stop_requests())
        session.train(lambda: world.any(stop()), write_epoch)
    return run


class _Session:
    """One process's work on a run: from opening its files to the last epoch or an interruption."""

    def __init__(
        self, run: RunFolder, device: str, root: Path | None, cache: Path | None, progress: Progress, world: World
    ) -> None:
        self.run = run
        self.progress = progress
        self.world = world
        self.recipe = run.recipe()
        self.description = run.description()
        self.device = resolve_device(device)
        precision = resolve_precision(_PRECISION_OPTION.get(self.description.precision, ""), self.device)
        checkpoint = read_checkpoint(run.checkpoint_path) if run.checkpoint_path.exists() else None
        self._check_method(checkpoint)
        self._check_processes()

        dataset = get_dataset(self.recipe.dataset)
        data_root = Path(root or self.description.root)
        self._check_version(dataset, data_root)
        index = dataset.index(data_root, self.description.trial)
        training = training_rows(index)
        _check_split(dataset, training, test_rows(index))
        size = self.recipe.input
        images = open_cache(
            dataset, data_root, size.height, size.width, size.interpolation, folder=cache, progress=progress
        )
        shared = shared_images(images, training["path"], test_rows(index)["path"])
        if shared and world.leads:
            warnings.warn(f"{data_root}: {shared_images_note(shared)}.", VibenchWarning, stacklevel=2)
        self.train_pids = tuple(sorted({int(pid) for pid in training["pid"]}))
        self._check_identities(checkpoint)

        torch.manual_seed(torch_seed(self.description.seed, "initialisation"))
        pretrained = self.description.pretrained if checkpoint is None else "none"
        method = build_method(self.recipe, len(self.train_pids), pretrained)
        if checkpoint is not None:
            load_weights(method, checkpoint.model, run.checkpoint_path)
        files = unchanged_inputs(self.description.inputs, Path(self.description.root), data_root)
        inputs = load_inputs(files, method, dataset, data_root, index)
        rows, seed = images.rows(training["path"]), self.description.seed
        loader = TrainingLoader(images.images, rows, training, self.recipe, seed, self.device, inputs)
        described = self.description
        self.trainer = Trainer(
            method,
            loader,
            self.device,
            precision,
            seed,
            compiled=described.compiled,
            world=world,
            sync_batch_norm=described.sync_batch_norm,
        )
        if checkpoint is not None:
            try:
                self.trainer.restore(checkpoint)
            except Exception as error:  # optimisers raise almost anything on the state of another
                raise UsageError(
                    f"{run.checkpoint_path}: its optimiser's state does not fit ({type(error).__name__}); put the "
                    "run's own checkpoint back, or train anew into another folder with --out."
                ) from None
        self.timing = self._timing_so_far()

    def train(self, stop: Callable[[], bool], write_epoch: Callable[[EpochReport], None]) -> None:
        """Train epoch after epoch, each with its row in the log, its checkpoint and its timing."""
        log = TrainingLog(self.run.log_path, self.trainer.epoch)
        title = f"training {self.recipe.method} on {self.recipe.dataset}"
        if self.description.trial is not None:
            title += f" trial {self.description.trial}"
        with self.progress(title, self.trainer.remaining_steps) as advance:
            while self.trainer.epoch < self.recipe.schedule.epochs:
                try:
                    with measure_peak_memory(str(self.device)) as memory:
                        report = self.trainer.train_epoch(stop, advance)
                except NonFiniteLoss as error:
                    raise NonFiniteLoss(self._non_finite_message(error), error.epoch, error.step) from None
                if self.world.leads:
                    # A row without its checkpoint is dropped at the next start, and a checkpoint without its row would
                    # last.
                    if report.complete:
                        log.append(report)
                        write_epoch(report)
                    save_checkpoint(self.run.checkpoint_path, self._checkpoint())
                    self._count(report, memory.peak)
                if stop() and self.trainer.epoch < self.recipe.schedule.epochs:
                    raise TrainingInterrupted(
                        f"training was stopped and has saved epoch {self.trainer.epoch}, step {self.trainer.step}; "
                        f"continue with: vibench train --resume {self.run.path}"
                    )
        if self.world.leads and self.timing != self.run.timing():
            self.run.write_timing(self.timing)

    def _checkpoint(self) -> Checkpoint:
        described = self.description
        return Checkpoint(
            source="trained",
            method=self.recipe.method,
            variant=self.recipe.variant,
            recipe=recipe_dict(self.recipe),
            dataset=self.recipe.dataset,
            dataset_version=described.dataset_version,
            trial=described.trial,
            train_pids=self.train_pids,
            num_classes=len(self.train_pids),
            seed=described.seed,
            pretrained=_weights_name(described.pretrained),
            precision=described.precision,
            compiled=described.compiled,
            **self.trainer.state(),
        )

    def _timing_so_far(self) -> Timing:
        """What the epochs of the checkpoint have cost.

        A run that was killed between an epoch's checkpoint and its timing has the seconds of that epoch in its log.
        """
        timing = self.run.timing()
        if timing.epochs >= self.trainer.epoch:
            return timing
        for row in read_log(self.run.log_path):
            if timing.epochs <= row["epoch"] < self.trainer.epoch:
                timing = timing.plus(row["seconds"], 0, row["data_wait"] * row["seconds"])
        missing = self.trainer.trained_images - timing.images
        return dataclasses.replace(timing.plus(0.0, missing, 0.0), epochs=self.trainer.epoch)

    def _count(self, report: EpochReport, peak: PeakMemory) -> None:
        counted = self.timing.plus(report.seconds, report.images, report.data_wait_seconds)
        self.timing = dataclasses.replace(counted, epochs=self.trainer.epoch, memory=_larger(self.timing.memory, peak))
        self.run.write_timing(self.timing)

    def _non_finite_message(self, error: NonFiniteLoss) -> str:
        kept = (
            f"the checkpoint before it is kept in {self.run.checkpoint_path}"
            if self.run.checkpoint_path.exists()
            else "no epoch was finished, so there is no checkpoint"
        )
        paths, pids = self.trainer.batch_images(error.epoch, error.step)
        batch = f"batch of {_cited(paths)}, identities {_cited(pids)}"
        return (
            f"{error} ({batch}) of {self.recipe.method} on {self.recipe.dataset}; training has stopped and {kept}. "
            "Try a lower rate (--set optimizer.lr=...), clipping (--set optimizer.clip_grad_norm=5) or --amp off."
        )

    def _check_version(self, dataset: Dataset, root: Path) -> None:
        if not root.is_dir():
            raise UsageError(f"{root}: the data set {dataset.name} is no longer there; say where it is with --root.")
        version = dataset.version(root)
        if version != self.description.dataset_version:
            raise UsageError(
                f"{root}: is {dataset.name} {version}, but {self.run.path} was begun on "
                f"{self.description.dataset_version}; name that copy with --root."
            )

    def _check_method(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None and checkpoint.method != self.recipe.method:
            raise UsageError(
                f"{self.run.checkpoint_path}: is a checkpoint of the method {checkpoint.method}, but the run is one "
                f"of {self.recipe.method}; put its own checkpoint back, or train anew into another folder."
            )

    def _check_processes(self) -> None:
        begun = self.description.processes
        if begun != self.world.size:
            how = f"with torchrun, {begun} processes in all" if begun > 1 else "without torchrun"
            raise UsageError(
                f"{self.run.path}: was begun on {begun} process{'es' if begun > 1 else ''}, and now there "
                f"{'are' if self.world.size > 1 else 'is'} {self.world.size}; go on {how}."
            )

    def _check_identities(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None and checkpoint.train_pids != self.train_pids:
            raise UsageError(
                f"{self.run.checkpoint_path}: was trained on {len(checkpoint.train_pids)} identities that are not the "
                f"{len(self.train_pids)} training identities of the data set now; restore that copy of the data set."
            )


def check_trial(dataset: Dataset, trial: int | None) -> None:
    if dataset.trials == 1 and trial is not None:
        raise UsageError(
            f"--trial {trial}: {dataset.name} has one train/test split and so one model; leave --trial out."
        )
    if dataset.trials > 1 and trial not in range(1, dataset.trials + 1):
        raise UsageError(f"--trial {trial}: {dataset.name} has the train/test splits 1 to {dataset.trials}.")


def _check_split(dataset: Dataset, training: SampleIndex, test: SampleIndex) -> None:
    if training.empty:
        raise UsageError(f"{dataset.name}: the training split is empty; check the copy with 'vibench data check'.")
    shared = np.intersect1d(training["pid"].to_numpy(), test["pid"].to_numpy())
    if len(shared):
        named = ", ".join(str(pid) for pid in shared[:5]) + (", ..." if len(shared) > 5 else "")
        raise UsageError(
            f"{dataset.name}: {len(shared)} identities (pid {named}) are in the training and in the test split; "
            "check the copy with 'vibench data check'."
        )


@contextmanager
def _writing(run: RunFolder) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into one sentence."""
    try:
        yield
    except OSError as error:
        raise VibenchError(
            f"{run.path}: {error.strerror or error} while reading or writing {error.filename or 'its files'}; what was "
            f"saved before is kept: remove the cause and continue with 'vibench train --resume {run.path}'."
        ) from error


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


def training_needs(recipe: Recipe) -> frozenset[str]:
    """What the method trains on besides images in this variant; one that needs nothing is not built for it."""
    if not get_method(recipe.method).needs:
        return frozenset()
    with torch.device("meta"):
        return build_method(recipe, num_classes=2).needs


def _run_id(spec: TrainingSpec, version: str, precision: str, inputs: Mapping[str, InputFile]) -> str:
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
        # How many processes share a batch changes nothing else than the order of sums, unlike what they normalise by.
        **({"shares": spec.processes} if spec.processes > 1 and not spec.sync_batch_norm else {}),
    }
    trial = "" if spec.trial is None else f"t{spec.trial:02d}"
    parts = (recipe.dataset, recipe.method, recipe.variant, f"s{spec.seed}", trial)
    return "-".join(part for part in (*parts, sha256_text(canonical_json(defining))[:8]) if part)


def _cited(names: Sequence[object]) -> str:
    return ", ".join(map(str, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _weights_name(pretrained: str) -> str:
    """``imagenet`` or ``none`` as it is, a weights file by its name: its place says nothing on another machine."""
    return pretrained if pretrained in ("imagenet", "none") else Path(pretrained).name


def _larger(one: PeakMemory, other: PeakMemory) -> PeakMemory:
    def of(name: str) -> Any:
        known = [value for value in (getattr(one, name), getattr(other, name)) if value is not None]
        return max(known, default=None)

    return PeakMemory(*(of(field.name) for field in dataclasses.fields(PeakMemory)))
