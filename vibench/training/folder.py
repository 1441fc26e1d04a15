"""The run folder: everything one training run leaves behind, in files a person can open.

::

    recipe.toml            the effective recipe
    run.json               what was trained on what, and where: `RunDescription`
    log.csv                one row per epoch: `vibench.training.log`
    timing.json            what it has cost so far: `Timing`
    checkpoints/last.pt    the state after the last whole epoch, or where training was interrupted
    tensorboard/           event files, if asked for
    lock                   held by the process that is training

There is no "best" checkpoint: choosing one would take a validation split, which no protocol here leaves over, or the
test split, as much published code does and no honest number may.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from vibench.errors import UsageError, VibenchError
from vibench.files.json_table import read_json_table, write_json_table
from vibench.files.lock import take
from vibench.files.toml import read_toml
from vibench.methods.recipe import recipe_from_dict
from vibench.methods.sections import Recipe
from vibench.runtime.environment import Environment
from vibench.runtime.memory import PeakMemory


@dataclass(frozen=True)
class InputFile:
    """A file besides the images that a run trains on."""

    path: str
    """Absolute, as it was when the run was prepared."""
    sha256: str


@dataclass(frozen=True)
class RunDescription:
    """``run.json``: written before the first step and never changed."""

    id: str
    method: str
    variant: str
    dataset: str
    dataset_version: str
    root: str
    """Absolute path of the data set as it was when the run was prepared."""
    seed: int
    pretrained: str
    """``imagenet``, ``none`` or the path of a weights file."""
    precision: str
    """``fp32``, ``tf32``, ``bf16`` or ``fp16``."""
    recipe_sha256: str
    environment: Environment
    created: str
    """UTC, such as ``2025-01-31T12:00:00Z``."""
    trial: int | None = None
    """The train/test split, from 1, of a data set that has several."""
    inputs: dict[str, InputFile] = field(default_factory=dict)
    """The files of the method's needs, by the need's name."""
    compiled: bool = False
    """Whether the losses are computed by code of `torch.compile`."""
    processes: int = 1
    """Processes that share each batch."""
    sync_batch_norm: bool = True
    """With several processes: batch norm by the statistics of the whole batch, not of each process's share."""
    deterministic: bool = False
    """Trained with `vibench.runtime.determinism.deterministic`."""
    incomplete: str = ""
    """What the training split of the copy lacks or has too much (`vibench.datasets.training_split`)."""
    training_names_sha256: str = ""
    """Of the names of the training images; empty in folders of earlier versions."""


@dataclass(frozen=True)
class Timing:
    """``timing.json``: what training has cost so far. Not in the checkpoint, whose bytes must not depend on it."""

    epochs: int = 0
    """Whole epochs trained."""
    train_seconds: float = 0.0
    """Wall seconds inside training epochs, data included; reading the data set and writing files apart."""
    images: int = 0
    """Images that passed the network, repetitions included."""
    images_per_second: float = 0.0
    data_wait: float = 0.0
    """Share of the wall time in which the network waited for data."""
    memory: PeakMemory = field(default_factory=PeakMemory)

    def plus(self, seconds: float, images: int, waited: float) -> Timing:
        """With further training of so many seconds, ``waited`` of them for data; epochs and memory as they are."""
        seconds_before, images = self.train_seconds, self.images + images
        total = seconds_before + seconds
        return replace(
            self,
            train_seconds=total,
            images=images,
            images_per_second=images / total if total > 0 else 0.0,
            data_wait=(self.data_wait * seconds_before + waited) / total if total > 0 else 0.0,
        )


@dataclass(frozen=True)
class RunFolder:
    """The paths and the content of one run folder."""

    path: Path

    @property
    def recipe_path(self) -> Path:
        """``recipe.toml``."""
        return self.path / "recipe.toml"

    @property
    def description_path(self) -> Path:
        """``run.json``."""
        return self.path / "run.json"

    @property
    def log_path(self) -> Path:
        """``log.csv``."""
        return self.path / "log.csv"

    @property
    def timing_path(self) -> Path:
        """``timing.json``."""
        return self.path / "timing.json"

    @property
    def checkpoint_path(self) -> Path:
        """``checkpoints/last.pt``."""
        return self.path / "checkpoints" / "last.pt"

    @property
    def lock_path(self) -> Path:
        """``lock``."""
        return self.path / "lock"

    @property
    def tensorboard_path(self) -> Path:
        """``tensorboard/``."""
        return self.path / "tensorboard"

    def description(self) -> RunDescription:
        """Read ``run.json``."""
        return read_json_table(RunDescription, self.description_path)

    def recipe(self) -> Recipe:
        """Read ``recipe.toml``."""
        return recipe_from_dict(read_toml(self.recipe_path), str(self.recipe_path))

    def timing(self) -> Timing:
        """Read ``timing.json``; zeros before the first epoch has ended."""
        return read_json_table(Timing, self.timing_path) if self.timing_path.exists() else Timing()

    def finished(self) -> bool:
        """Whether all epochs of the recipe are trained."""
        return self.checkpoint_path.exists() and self.timing().epochs >= self.recipe().schedule.epochs

    def begins_with(self, name: str) -> bool:
        """Whether a file of that name may lie in the folder of a run that was killed while it was prepared."""
        return name in (self.lock_path.name, self.recipe_path.name) or (
            name.endswith(".part")
            and name.startswith((f".{self.recipe_path.name}.", f".{self.description_path.name}."))
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from training in this folder; a killed process loses its lock.

        Raises `UsageError` where another process has it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with self.lock_path.open("w") as handle:
            if not take(handle.fileno(), wait=False):
                raise UsageError(
                    f"{self.path}: another process is training this run; wait for it, or choose another --out."
                )
            yield

    def write_description(self, description: RunDescription) -> None:
        """Write ``run.json``."""
        write_json_table(self.description_path, description)

    def write_timing(self, timing: Timing) -> None:
        """Write ``timing.json``."""
        write_json_table(self.timing_path, timing)


def open_runs(path: Path) -> tuple[RunFolder, ...]:
    """The run at ``path``, or the runs of several trials in its folders ``trial-01``, ``trial-02``, ..., in order.

    Raises `UsageError` where there is none.
    """
    path = Path(path)
    found = tuple(RunFolder(folder) for folder in (path, *sorted(path.glob("trial-*"))))
    runs = tuple(run for run in found if run.description_path.is_file())
    if not runs:
        if path.is_file():
            raise UsageError(
                f"{path}: is a file, and no run folder; 'vibench doctor {path}' says what it is and what to do with it."
            )
        what = "is not a run folder (it has no run.json)" if path.is_dir() else "there is no such run folder"
        raise UsageError(f"{path}: {what}; 'vibench train' prints the folder it writes, by default below runs/.")
    return runs


@contextmanager
def writing(run: RunFolder) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into one sentence."""
    try:
        yield
    except OSError as error:
        raise VibenchError(
            f"{run.path}: {error.strerror or error} while reading or writing {error.filename or 'its files'}; what was "
            f"saved before is kept: remove the cause and continue with 'vibench train --resume {run.path}'."
        ) from error
