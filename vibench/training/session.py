"""One process at work on a run: from opening its files to the last epoch or an interruption."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vibench.data.cache import open_cache, shared_images, shared_images_note
from vibench.data.loader import TrainingLoader
from vibench.datasets.index import SampleIndex, test_rows, training_rows
from vibench.datasets.joined import training_dataset
from vibench.datasets.passed_over import empty_note
from vibench.datasets.registry import Dataset
from vibench.datasets.training_split import names_sha256, training_differences
from vibench.distributed.world import World
from vibench.errors import UsageError, VibenchWarning, cited
from vibench.methods.recipe import recipe_dict
from vibench.methods.registry import build_method
from vibench.runtime.devices import recorded_precision, resolve_device
from vibench.runtime.memory import PeakMemory, measure_peak_memory
from vibench.runtime.progress import Progress
from vibench.runtime.randomness import torch_seed
from vibench.training.checkpoint import Checkpoint, load_weights, read_checkpoint, save_checkpoint
from vibench.training.folder import RunFolder, Timing
from vibench.training.inputs import load_inputs, unchanged_inputs
from vibench.training.interrupt import TrainingInterrupted
from vibench.training.log import EpochReport, TrainingLog, read_log
from vibench.training.meter import NonFiniteLoss
from vibench.training.trainer import Trainer


class Session:
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
        precision = recorded_precision(self.description.precision, self.device, str(run.path))
        checkpoint = read_checkpoint(run.checkpoint_path) if run.checkpoint_path.exists() else None
        self._check_method(checkpoint)
        self._check_processes()

        dataset = training_dataset(self.recipe.dataset)
        data_root = Path(root or self.description.root)
        self._check_version(dataset, data_root)
        index = dataset.index(data_root, self.description.trial, missing_ok=True)
        training = training_rows(index)
        self.incomplete = training_differences(dataset, data_root, index, self.description.trial)
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
        self._check_images(dataset, data_root, names_sha256(index))

        torch.manual_seed(torch_seed(self.description.seed, "initialisation"))
        pretrained = self.description.pretrained if checkpoint is None else "none"
        method = build_method(self.recipe, len(self.train_pids), pretrained)
        if checkpoint is not None:
            load_weights(method, checkpoint.model, run.checkpoint_path)
        files = unchanged_inputs(self.description.inputs, Path(self.description.root), data_root)
        inputs = load_inputs(files, method, dataset, data_root, index)
        if size.training_detour is not None:
            images = open_cache(
                dataset, data_root, *size.training_detour, size.interpolation, folder=cache, progress=progress
            )
        rows, seed = images.rows(training["path"]), self.description.seed
        loader = TrainingLoader(
            images.images, rows, training, self.recipe, seed, self.device, inputs, (size.height, size.width)
        )
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
                        f"training was stopped and has saved epoch {self.trainer.epoch}, step {self.trainer.step}",
                        f"continue with: vibench train --resume {self.run.path}",
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
            incomplete=self.incomplete,
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
        batch = f"batch of {cited(paths, 8)}, identities {cited(pids, 8)}"
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

    def _check_images(self, dataset: Dataset, root: Path, sha256: str) -> None:
        begun = self.description
        if not begun.training_names_sha256 and self.incomplete and self.world.leads:
            warnings.warn(
                f"{root}: the training split of {dataset.name} {self.incomplete}, which {self.run.path} does not say, "
                "for it was begun by an earlier vibench; its records will say it, and hold no rank.",
                VibenchWarning,
                stacklevel=3,
            )
        if begun.training_names_sha256 not in ("", sha256):
            now = f"the training split {self.incomplete}" if self.incomplete else "the training split is whole"
            then = f"it {begun.incomplete}" if begun.incomplete else "it was whole" if self.incomplete else "it was not"
            empty = empty_note(dataset.list_root(root))
            raise UsageError(
                f"{root}: its training images are not those that {self.run.path} was begun with: now {now}, then "
                f"{then}{'; ' if empty else ''}{empty}; put that copy back, or train anew into another folder with "
                "--out."
            )

    def _check_identities(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None and checkpoint.train_pids != self.train_pids:
            raise UsageError(
                f"{self.run.checkpoint_path}: was trained on {len(checkpoint.train_pids)} identities that are not the "
                f"{len(self.train_pids)} training identities of the data set now; restore that copy of the data set."
            )


def _check_split(dataset: Dataset, training: SampleIndex, test: SampleIndex) -> None:
    if training.empty:
        raise UsageError(f"{dataset.name}: the training split is empty; check the copy with 'vibench data check'.")
    shared = np.intersect1d(training["pid"].to_numpy(), test["pid"].to_numpy())
    if len(shared):
        raise UsageError(
            f"{dataset.name}: {len(shared)} identities (pid {cited(shared)}) are in the training and in the test "
            "split; check the copy with 'vibench data check'."
        )


def _weights_name(pretrained: str) -> str:
    """``imagenet`` or ``none`` as it is, a weights file by its name: its place says nothing on another machine."""
    return pretrained if pretrained in ("imagenet", "none") else Path(pretrained).name


def _larger(one: PeakMemory, other: PeakMemory) -> PeakMemory:
    def of(name: str) -> Any:
        known = [value for value in (getattr(one, name), getattr(other, name)) if value is not None]
        return max(known, default=None)

    return PeakMemory(*(of(field.name) for field in dataclasses.fields(PeakMemory)))
