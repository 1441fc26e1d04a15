"""Trained models as evaluation meets them: a checkpoint, the data set it was trained on, and what training cost."""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from vibench.corruption import Corruption
from vibench.data.cache import ImageCache, open_cache, shared_images, shared_images_note
from vibench.data.corruption.cache import caches_by_modality
from vibench.datasets.index import SampleIndex, test_rows, training_rows
from vibench.datasets.registry import Dataset, dataset_root, get_dataset
from vibench.datasets.testing import test_differences
from vibench.distributed.world import ALONE, World
from vibench.errors import UsageError, VibenchWarning
from vibench.files.digests import sha256_file
from vibench.methods.base import Method
from vibench.methods.recipe import recipe_from_dict
from vibench.methods.sections import Recipe
from vibench.runtime.devices import Precision
from vibench.runtime.progress import Progress, silent
from vibench.scoring.attributes import GivenAttributes
from vibench.scoring.corrupted import corruption_note, extract_apart
from vibench.scoring.extraction import EMBEDDING, Extraction, extract_features
from vibench.scoring.joint import extract_jointly
from vibench.training.checkpoint import (
    Checkpoint,
    check_test_identities,
    leaked_identities,
    load_method,
    read_checkpoint,
)
from vibench.training.folder import RunDescription, RunFolder, Timing, open_runs


@dataclass(frozen=True)
class TrainedModel:
    """A checkpoint with what is known about where it came from."""

    path: Path
    """Of the checkpoint file."""
    checkpoint: Checkpoint
    root: Path
    """Of the data set to evaluate on."""
    description: RunDescription | None = None
    """How it was trained; None for a checkpoint without its run folder."""
    timing: Timing | None = None
    """What training cost; None for a checkpoint without its run folder."""
    test_trial: int | None = None
    """Train/test split to evaluate on; None: that of the training."""
    allow_leaking: bool = False
    """Evaluate even on identities that the model was trained on."""
    allow_incomplete: bool = False
    """Evaluate although images of the test split are missing."""

    @property
    def run_id(self) -> str:
        """Of its run; empty for a checkpoint without its run folder."""
        return "" if self.description is None else self.description.id

    @property
    def dataset(self) -> Dataset:
        """The data set that the checkpoint was trained on."""
        return get_dataset(self.checkpoint.dataset)

    @property
    def split(self) -> int:
        """Number of the train/test split to evaluate on, 1 for a data set with only one."""
        return self.test_trial or self.checkpoint.trial or 1

    @cached_property
    def recipe(self) -> Recipe:
        """The effective recipe."""
        return recipe_from_dict(self.checkpoint.recipe, str(self.path))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the checkpoint file."""
        return sha256_file(self.path)

    @cached_property
    def test_index(self) -> SampleIndex:
        """The images of the test split; `VibenchError` where the model was trained on one of its identities."""
        self._check_version()
        missing_ok = bool(self.checkpoint.incomplete) or self.allow_incomplete
        index = test_rows(self.dataset.index(self.root, self._trial, missing_ok))
        if not self.allow_leaking:
            check_test_identities(self._with_identities, self.dataset.name, index["pid"])
        return index

    @cached_property
    def test_split_lacks(self) -> str:
        """What the test split of the copy lacks or has too much, as half a sentence; empty for the whole one."""
        self._check_version()
        index = self.dataset.index(self.root, self._trial, missing_ok=True)
        return test_differences(self.dataset, self.root, index, self._trial)

    def _check_version(self) -> None:
        version = self.dataset.version(self.root)
        if version != self.checkpoint.dataset_version:
            raise UsageError(
                f"{self.root}: is {self.dataset.name} {version}, but {self.path} was trained on "
                f"{self.checkpoint.dataset_version}; name that copy with --root."
            )

    @property
    def _trial(self) -> int | None:
        """The train/test split as data sets take it."""
        return self.split if self.dataset.trials > 1 else None

    @cached_property
    def leaked(self) -> list[int]:
        """The test identities that the model was trained on; none unless `allow_leaking`."""
        return leaked_identities(self._with_identities, self.dataset.name, self.test_index["pid"])

    @cached_property
    def training_split(self) -> frozenset[int]:
        """The training identities that the data set has in the split that the checkpoint is of."""
        return frozenset(int(pid) for pid in training_rows(self.dataset.index(self.root, self.checkpoint.trial))["pid"])

    @cached_property
    def _with_identities(self) -> Checkpoint:
        """The checkpoint; where it does not name its training identities, they are those of its split."""
        if self.checkpoint.train_pids or self.split == self.checkpoint.trial or self.dataset.trials == 1:
            return self.checkpoint
        return replace(self.checkpoint, train_pids=tuple(sorted(self.training_split)))

    def extract(
        self,
        device: torch.device,
        precision: Precision,
        *,
        extras: bool = False,
        feature: str = EMBEDDING,
        cache: Path | None = None,
        given: GivenAttributes | None = None,
        corruption: Corruption | None = None,
        compiled: bool = False,
        progress: Progress = silent,
        world: World = ALONE,
    ) -> tuple[Method, Extraction]:
        """Embed the test images; the features say which data set, split and checkpoint they are of.

        ``feature`` names the output of `Method.embed` that is taken. ``cache`` is the folder of image caches, by
        default that of `vibench.data.cache.open_cache`. ``given``: where a method that takes attributes has them from;
        None: its default. ``corruption``: what happens to the images first. ``compiled``: by code of `torch.compile`.
        The processes of ``world`` share the images.
        """
        size = self.recipe.input
        index = self.test_index
        method = load_method(self.path, device)
        images = open_cache(
            self.dataset, self.root, size.height, size.width, size.interpolation, folder=cache, progress=progress
        )
        meta = {
            "dataset": self.dataset.name,
            "dataset_version": self.checkpoint.dataset_version,
            "method": self.checkpoint.method,
            "variant": self.checkpoint.variant,
            "checkpoint_sha256": self.sha256,
            "precision": precision.name,
            **({"compiled": True} if compiled else {}),
            **({"trial": self.split} if self.dataset.trials > 1 else {}),
            **({"corruption": asdict(corruption)} if corruption is not None else {}),
        }
        trained = images.index["pid"].isin(self._with_identities.train_pids) & ~images.index["path"].isin(index["path"])
        shared = shared_images(images, images.index["path"][trained], index["path"])
        given = given or GivenAttributes()

        def extract_from(cache: ImageCache, share: SampleIndex, codes: np.ndarray | None) -> Extraction:
            return extract_features(
                method,
                cache,
                share,
                device=device,
                precision=precision,
                compiled=compiled,
                attributes=codes,
                extras=extras,
                feature=feature,
                meta=meta,
                progress=progress,
            )

        caches = caches_by_modality(images, self.dataset, corruption, progress)

        def extract(share: SampleIndex, codes: np.ndarray | None) -> Extraction:
            if corruption is None:
                return extract_from(images, share, codes)
            return extract_apart(caches, share, codes, extract_from)

        codes = given.codes(method, self.dataset, self.root, index)
        found = extract_jointly(index, codes, extract, world)
        if shared:
            if world.leads:
                warnings.warn(f"{self.root}: {shared_images_note(shared)}.", VibenchWarning, stacklevel=2)
            found = replace(found, notes=(shared_images_note(shared),))
        if corruption is not None:
            found = replace(found, notes=(*found.notes, corruption_note(corruption, caches)))
        return method, found


def models_of_run(
    path: Path, root: Path | None = None, trial: int | None = None, allow_leaking: bool = False
) -> list[TrainedModel]:
    """The trained models of a run folder: one, or one per trial.

    ``trial`` picks one of several; of a single model, it names the train/test split to evaluate on. Raises
    `UsageError` where there is no run, no checkpoint yet, or no such trial.
    """
    runs = open_runs(path)
    models = [replace(_model_of_run(run, root), allow_leaking=allow_leaking) for run in runs]
    if trial is None:
        return models
    if len(models) == 1:
        return [_on_split(models[0], trial)]
    models = [model for model in models if model.checkpoint.trial == trial]
    if not models:
        raise UsageError(f"{path}: holds no run of --trial {trial}.")
    return models


def model_of_checkpoint(
    path: Path, root: Path | None = None, trial: int | None = None, allow_leaking: bool = False
) -> TrainedModel:
    """The model of a single checkpoint file; its data set lies at ``root`` or in the default place.

    ``trial`` is the train/test split to evaluate on, by default that of the training.
    """
    checkpoint = read_checkpoint(path)
    model = TrainedModel(path, checkpoint, dataset_root(checkpoint.dataset, root), allow_leaking=allow_leaking)
    return model if trial is None else _on_split(model, trial)


def _on_split(model: TrainedModel, trial: int) -> TrainedModel:
    dataset = model.dataset
    if dataset.trials == 1:
        raise UsageError(f"--trial {trial}: {dataset.name} has only one train/test split; leave --trial out.")
    if trial not in range(1, dataset.trials + 1):
        raise UsageError(f"--trial {trial}: {dataset.name} has the train/test splits 1 to {dataset.trials}.")
    return replace(model, test_trial=trial)


def _model_of_run(run: RunFolder, root: Path | None) -> TrainedModel:
    if not run.checkpoint_path.exists():
        raise UsageError(f"{run.path}: has no checkpoint yet; train it with 'vibench train --resume {run.path}'.")
    description = run.description()
    checkpoint = read_checkpoint(run.checkpoint_path)
    return TrainedModel(run.checkpoint_path, checkpoint, root or Path(description.root), description, run.timing())
