"""What the jobs of a sweep will cost, before they start.

The measure is images: epochs still to be trained, times batches, times images per batch. Seconds stand beside it only
where finished runs of the same sweep say how fast the same method is: same variant, input size and precision.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from vibench.data.loader import SAMPLERS
from vibench.datasets.index import training_rows
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError
from vibench.methods.recipe import recipe_from_dict
from vibench.methods.sections import Recipe
from vibench.sweep.job import Job, Training
from vibench.training.folder import RunFolder

_PRECISION = {"off": "fp32", "bf16": "bf16", "fp16": "fp16"}
_Speed = tuple[str, str, int, int, str]


@dataclass(frozen=True)
class Measured:
    """How fast finished runs were."""

    runs: int
    images: int
    seconds: float
    devices: tuple[str, ...]


@dataclass(frozen=True)
class Estimate:
    """Of one training."""

    images: int
    """That are still to pass the network in training, repetitions included."""
    measured: Measured | None
    """The runs that the seconds follow from; None where there is none."""

    @property
    def seconds(self) -> float | None:
        """Of training alone, without start-up and evaluation."""
        if self.measured is None:
            return None
        return self.images * self.measured.seconds / self.measured.images


def estimate(out: Path, jobs: Sequence[Job]) -> dict[str, Estimate]:
    """By job id, an estimate of every training among ``jobs``."""
    speeds = _speeds(out)
    found = {}
    for job in jobs:
        if job.train is not None:
            recipe = recipe_from_dict(job.train.recipe, job.id)
            found[job.id] = Estimate(_images(out, job.train, recipe), speeds.get(_key(recipe, job.train.precision)))
    return found


def _images(out: Path, training: Training, recipe: Recipe) -> int:
    run = RunFolder(out / training.run)
    epochs = recipe.schedule.epochs - (run.timing().epochs if run.checkpoint_path.exists() else 0)
    pids, modalities = _training_images(recipe.dataset, training.root, training.trial)
    sampler = SAMPLERS[recipe.sampler.kind](pids, modalities, recipe.sampler, training.seed)
    views = len(recipe.augmentation.visible_views)
    # Epochs of an exhaustive sampler differ by a batch or two: the first stands for all.
    return max(0, epochs) * sampler.batches(0) * recipe.sampler.identities * recipe.sampler.images * (views + 1)


@lru_cache(maxsize=64)
def _training_images(dataset: str, root: str, trial: int | None):  # type: ignore[no-untyped-def]
    """Identities and modalities of the training images."""
    rows = training_rows(get_dataset(dataset).index(Path(root), trial, missing_ok=True))
    return rows["pid"].to_numpy(), rows["modality"].to_numpy()


def _speeds(out: Path) -> dict[_Speed, Measured]:
    """What the run folders below ``out`` have measured; what cannot be read is left out."""
    speeds: dict[_Speed, Measured] = {}
    for path in _run_folders(out):
        run = RunFolder(path)
        try:
            recipe, description, timing = run.recipe(), run.description(), run.timing()
        except UsageError:
            continue
        if timing.epochs < recipe.schedule.epochs or not timing.images or not timing.train_seconds > 0:
            continue
        key = (recipe.method, recipe.variant, recipe.input.height, recipe.input.width, description.precision)
        before = speeds.get(key, Measured(0, 0, 0.0, ()))
        device = description.environment.gpu or description.environment.cpu
        speeds[key] = Measured(
            before.runs + 1,
            before.images + timing.images,
            before.seconds + timing.train_seconds,
            tuple(dict.fromkeys((*before.devices, device))),
        )
    return speeds


def _run_folders(out: Path) -> Iterable[Path]:
    return (file.parent for file in sorted((out / "runs").rglob("timing.json")))


def _key(recipe: Recipe, precision: str) -> _Speed:
    size = recipe.input
    return (recipe.method, recipe.variant, size.height, size.width, _PRECISION[precision])
