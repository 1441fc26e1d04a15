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
from vibench.datasets.joined import JoinedDataset, first_test, parts_of, trained_identities, training_dataset
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
from vibench.scoring.tracklets import frames_of
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
    target: Dataset | None = None
    """The data set to evaluate on; None: that of the training."""
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
    def trained_on(self) -> Dataset:
        """The data set that the checkpoint was trained on, or the several as one."""
        return training_dataset(self.checkpoint.dataset)

    @property
    def dataset(self) -> Dataset:
        """The data set to evaluate on."""
        return self.target or self.trained_on

    @property
    def transferred(self) -> bool:
        """Whether it was trained on another data set than it is evaluated on."""
        return self.dataset != self.trained_on

    @property
    def origin(self) -> str:
        """Data set, version and split of the training, where it is evaluated on another data set; else empty."""
        if not self.transferred:
            return ""
        split = "" if self.checkpoint.trial is None else f"split {self.checkpoint.trial}"
        return " ".join(filter(None, (self.checkpoint.dataset, self.checkpoint.dataset_version, split)))

    @cached_property
    def dataset_version(self) -> str:
        """Of the data set to evaluate on."""
        return self.dataset.version(self.root) if self.transferred else self.checkpoint.dataset_version

    @property
    def split(self) -> int:
        """Number of the train/test split to evaluate on, 1 for a data set with only one."""
        return 1 if self.dataset.trials == 1 else self.test_trial or self.checkpoint.trial or 1

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
        if self.description is not None and not self.transferred and not self.root.is_dir():
            # A run says itself where its images lay, so that no default place is looked at.
            raise UsageError(
                f"{self.root}: the data set {self.dataset.name} is no longer there; say where it is with --root."
            )
        version = self.dataset.version(self.root)
        if not self.transferred and version != self.checkpoint.dataset_version:
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
        known = self.checkpoint.train_pids or self.transferred
        if known or self.split == self.checkpoint.trial or self.dataset.trials == 1:
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
        """Embed the test images, or tracklets; the features say which data set, split and checkpoint they are of.

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
            "dataset_version": self.dataset_version,
            **({"trained_on": self.origin} if self.transferred else {}),
            "method": self.checkpoint.method,
            "variant": self.checkpoint.variant,
            "checkpoint_sha256": self.sha256,
            "precision": precision.name,
            **({"compiled": True} if compiled else {}),
            **({"trial": self.split} if self.dataset.trials > 1 else {}),
            **({"corruption": asdict(corruption)} if corruption is not None else {}),
        }
        known = trained_identities(self.trained_on, self._with_identities.train_pids, self.dataset.name)
        trained = images.index["pid"].isin(known) & ~images.index["path"].isin(index["path"])
        shared = shared_images(images, images.index["path"][trained], index["path"])
        given = given or GivenAttributes()
        tracklets = self.dataset.tracklets(self.root)

        def extract_from(cache: ImageCache, share: SampleIndex, codes: np.ndarray | None) -> Extraction:
            frames = frames_of(share, tracklets)
            found = extract_features(
                method,
                cache,
                frames.index,
                device=device,
                precision=precision,
                compiled=compiled,
                attributes=frames.attributes(codes),
                extras=extras,
                feature=feature,
                meta=meta,
                progress=progress,
            )
            return frames.mean(found, share)

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
    path: Path,
    root: Path | None = None,
    trial: int | None = None,
    allow_leaking: bool = False,
    dataset: str | None = None,
) -> list[TrainedModel]:
    """The trained models of a run folder: one, or one per trial.

    ``trial`` picks one of several; of a single model, it names the train/test split to evaluate on. ``dataset`` is the
    one to evaluate on, by default that of the training; one that has several splits and was not trained on is tested
    on all of them. Raises `UsageError` where there is no run, no checkpoint yet, no such trial, or no one data set.
    """
    runs = open_runs(path)
    models = [replace(_model_of_run(run), allow_leaking=allow_leaking) for run in runs]
    return [replace(model, root=_root(model, root)) for model in _on_splits(path, _on_dataset(models, dataset), trial)]


def models_of_checkpoint(
    path: Path,
    root: Path | None = None,
    trial: int | None = None,
    allow_leaking: bool = False,
    dataset: str | None = None,
) -> list[TrainedModel]:
    """The model of a single checkpoint file, once per train/test split to evaluate it on; else as `models_of_run`.

    Its data set lies at ``root`` or in the default place. ``trial`` is by default the split of the training.
    """
    model = TrainedModel(path, read_checkpoint(path), Path(), allow_leaking=allow_leaking)
    models = _on_splits(path, _on_dataset([model], dataset), trial)
    return [replace(model, root=dataset_root(model.dataset.name, root)) for model in models]


def _on_dataset(models: list[TrainedModel], name: str | None) -> list[TrainedModel]:
    """The models where they are to be evaluated; `UsageError` where that is not one data set."""
    trained = models[0].trained_on
    if name is None:
        if isinstance(trained, JoinedDataset):
            raise UsageError(
                f"{models[0].path}: was trained on {trained.title} together; say which data set to evaluate on with "
                f"--dataset {first_test(trained.name, len(models)).name}."
            )
        return models
    return [replace(model, target=get_dataset(name)) for model in models]


def _on_splits(path: Path, models: list[TrainedModel], trial: int | None) -> list[TrainedModel]:
    first = models[0]
    if len(models) > 1:
        if trial is not None:
            models = [model for model in models if model.checkpoint.trial == trial]
            if not models:
                raise UsageError(f"{path}: holds no run of --trial {trial}.")
        elif first.dataset.trials == 1:
            raise UsageError(
                f"{path}: holds {len(models)} models of {first.checkpoint.dataset}, one per split, and "
                f"{first.dataset.name} takes one; name it with --trial."
            )
        return models
    # Where the test has one split, the option names the model, as it does where there are several.
    if trial is not None and not (first.transferred and first.dataset.trials == 1 and first.checkpoint.trial == trial):
        return [_on_split(first, trial)]
    known = [part for part, _ in parts_of(first.trained_on, first.root)]
    if first.dataset.trials > 1 and trial is None and first.dataset not in known:
        return [replace(first, test_trial=number) for number in range(1, first.dataset.trials + 1)]
    return models


def _root(model: TrainedModel, root: Path | None) -> Path:
    if root is None and not model.transferred:
        return model.root
    return dataset_root(model.dataset.name, root)


def _on_split(model: TrainedModel, trial: int) -> TrainedModel:
    dataset = model.dataset
    if dataset.trials == 1:
        raise UsageError(f"--trial {trial}: {dataset.name} has only one train/test split; leave --trial out.")
    if trial not in range(1, dataset.trials + 1):
        raise UsageError(f"--trial {trial}: {dataset.name} has the train/test splits 1 to {dataset.trials}.")
    return replace(model, test_trial=trial)


def _model_of_run(run: RunFolder) -> TrainedModel:
    if not run.checkpoint_path.exists():
        raise UsageError(f"{run.path}: has no checkpoint yet; train it with 'vibench train --resume {run.path}'.")
    description = run.description()
    checkpoint = read_checkpoint(run.checkpoint_path)
    return TrainedModel(run.checkpoint_path, checkpoint, Path(description.root), description, run.timing())
