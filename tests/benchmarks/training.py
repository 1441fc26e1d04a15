"""Training throughput of AGW and DDAG beside the field's habit: ``python -m tests.benchmarks --only training``.

The reference decodes, resizes, pads, crops, mirrors and normalises every image with Pillow and torchvision, one at a
time, in DataLoader workers, and trains in float32 and NCHW with the default optimiser kernels, reading the loss at
every step. Both train the same network from the same weights on the same batches of identities, in turns of an epoch
each; a ratio is the median of those of the turns.

On a CPU shared with other work the ratio of processor times is the better figure: both pipelines keep all cores busy,
so that it is the ratio of the throughputs on an idle machine. Workers count there.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from tests.benchmarks.target import Options, Target, cpu_hardware, needs_cuda
from vibench.data.batch import Batch
from vibench.data.loader import TrainingLoader
from vibench.data.normalise import MEAN, STD
from vibench.data.sampler import IdentitySampler
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method
from vibench.methods.sections import Recipe
from vibench.modality import CODE
from vibench.nn.torchvision_ops import import_torchvision
from vibench.runtime.devices import Precision, resolve_device, resolve_precision
from vibench.runtime.fastest import fastest_amp
from vibench.training.trainer import Trainer

METHODS = ("agw", "ddag")
IDENTITIES, IMAGES = 24, 4
FILE_SIZE = (120, 300)
"""Width and height of the image files, about those of SYSU-MM01."""
GPU_WORKERS = 4
"""Of the reference, the default of the AGW code line."""


@dataclass(frozen=True)
class Sizes:
    backbone: str
    height: int
    width: int
    people: int
    """P; four images of each in either modality."""
    steps: int
    turns: int

    def recipe(self, method: str) -> Recipe:
        return load_recipe(
            method,
            overrides=(
                f"model.backbone={self.backbone}",
                f"input.height={self.height}",
                f"input.width={self.width}",
                f"sampler.identities={self.people}",
                f"sampler.batches_per_epoch={self.steps}",
            ),
        )


QUICK = Sizes("resnet18", 96, 48, people=4, steps=3, turns=1)
ON_CPU = Sizes("resnet18", 128, 64, people=8, steps=5, turns=3)
ON_GPU = Sizes("resnet50", 288, 144, people=8, steps=60, turns=3)


@dataclass(frozen=True)
class Speed:
    images_per_second: float
    processor_milliseconds: float
    """Per image, of all threads and workers."""
    data_wait: float
    """Share of the time spent waiting for the next batch."""


def write_images(folder: Path) -> pd.DataFrame:
    """JPEG files that compress like photographs, with their index."""
    generator = np.random.default_rng(0)
    rows = []
    for pid in range(IDENTITIES):
        for modality in CODE:
            for number in range(IMAGES):
                coarse = generator.integers(0, 256, (30, 12, 3), dtype=np.uint8)
                path = f"{modality}-{pid}-{number}.jpg"
                Image.fromarray(coarse).resize(FILE_SIZE, Image.Resampling.BICUBIC).save(folder / path)
                rows.append((path, pid, 1, modality))
    return pd.DataFrame(rows, columns=["path", "pid", "camera", "modality"])


class ReferenceDataset(Dataset):
    """One image at a time, with Pillow and torchvision."""

    def __init__(self, folder: Path, index: pd.DataFrame, recipe: Recipe) -> None:
        self.samples = list(zip(index["path"], index["pid"], index["modality"], strict=True))
        self.folder = folder
        self.size = (recipe.input.width, recipe.input.height)
        self.recipe = recipe

    @cached_property
    def transform(self) -> Callable[[Image.Image], torch.Tensor]:
        """Made by the worker that uses it: it must import torchvision in the way that works beside any torch."""
        transforms = import_torchvision().transforms
        return transforms.Compose(
            [
                transforms.Pad(self.recipe.augmentation.pad),
                transforms.RandomCrop((self.recipe.input.height, self.recipe.input.width)),
                transforms.RandomHorizontalFlip(self.recipe.augmentation.flip),
                transforms.ToTensor(),
                transforms.Normalize(mean=MEAN, std=STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int, int]:
        path, pid, modality = self.samples[row]
        image = Image.open(self.folder / path).convert("RGB").resize(self.size, Image.Resampling.LANCZOS)
        return self.transform(image), pid, CODE[modality]


class ReferencePipeline:
    """The habit."""

    def __init__(self, folder: Path, index: pd.DataFrame, recipe: Recipe, device: torch.device, workers: int) -> None:
        torch.manual_seed(0)
        self.method = build_method(recipe, IDENTITIES).to(device).train()
        self.optimizer = torch.optim.SGD(
            [
                {"params": group["params"], "lr": recipe.optimizer.lr * group["lr_factor"]}
                for group in self.method.parameter_groups(recipe)
            ],
            lr=recipe.optimizer.lr,
            momentum=recipe.optimizer.momentum,
            nesterov=recipe.optimizer.nesterov,
            weight_decay=recipe.optimizer.weight_decay,
        )
        pids, modality = index["pid"].to_numpy(), index["modality"].to_numpy(dtype=object)
        self.sampler = IdentitySampler(pids, modality, recipe.sampler, seed=0)
        self.dataset = ReferenceDataset(folder, index, recipe)
        self.device = device
        self.workers = workers
        self.epoch = 0

    def turn(self) -> Speed:
        """An epoch; its first step pays for starting the workers and is left out of the wall time."""
        plan = [batch.reshape(-1).tolist() for batch in self.sampler.epoch(self.epoch)]
        self.epoch += 1
        processor = _processor_seconds()
        pin = self.device.type == "cuda"
        loader = DataLoader(self.dataset, batch_sampler=plan, num_workers=self.workers, pin_memory=pin)
        steps = self._steps(iter(loader))
        next(steps)
        start = time.perf_counter()
        waits = list(steps)
        seconds = time.perf_counter() - start
        del steps, loader
        images = len(plan[0])
        used = _processor_seconds() - processor
        return Speed(len(waits) * images / seconds, 1000 * used / (len(plan) * images), sum(waits) / seconds)

    def _steps(self, batches: Iterator[Any]) -> Iterator[float]:
        """Yield the seconds waited for data at every step."""
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            waited = time.perf_counter() - asked
            images, labels, modality = (part.to(self.device) for part in batch)
            losses = self.method.losses(Batch(images, labels, modality, torch.ones_like(labels)))
            total = sum(losses.values())
            self.optimizer.zero_grad()
            total.backward()
            self.optimizer.step()
            total.item()
            yield waited


class OurPipeline:
    """The trainer of ``vibench train``."""

    def __init__(
        self,
        images: np.ndarray,
        index: pd.DataFrame,
        recipe: Recipe,
        device: torch.device,
        precision: Precision,
        compiled: bool = False,
    ) -> None:
        torch.manual_seed(0)
        loader = TrainingLoader(images, np.arange(len(images)), index, recipe, 0, device)
        method = build_method(recipe, IDENTITIES)
        self.trainer = Trainer(method, loader, device, precision, seed=0, compiled=compiled)

    def turn(self) -> Speed:
        """An epoch."""
        processor = _processor_seconds()
        report = self.trainer.train_epoch(lambda: False, lambda count, status="": None)
        used = _processor_seconds() - processor
        return Speed(report.images_per_second, 1000 * used / report.images, report.data_wait)


def _processor_seconds() -> float:
    """Of this process and of its workers that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def speeds_in_turn(pipelines: Mapping[str, Callable[[], Speed]], turns: int) -> dict[str, list[Speed]]:
    """``turns`` speeds of every pipeline, one after the other in each turn, after an unmeasured turn of each."""
    for turn in pipelines.values():
        turn()
    found: dict[str, list[Speed]] = {name: [] for name in pipelines}
    for _ in range(turns):
        for name, turn in pipelines.items():
            found[name].append(turn())
    return found


def measure(method: str, sizes: Sizes, device: torch.device, workers: int) -> dict[str, list[Speed]]:
    """The speeds of ``reference`` and of ours by precision, the fastest last."""
    recipe = sizes.recipe(method)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = write_images(folder)
        size = (recipe.input.width, recipe.input.height)
        images = np.stack(
            [np.asarray(Image.open(folder / path).resize(size, Image.Resampling.LANCZOS)) for path in index["path"]]
        )
        pipelines = {"reference": ReferencePipeline(folder, index, recipe, device, workers).turn}
        for amp in dict.fromkeys(("off", fastest_amp(device))):
            precision = resolve_precision(amp, device)
            pipelines[precision.name] = OurPipeline(images, index, recipe, device, precision).turn
        if device.type == "cuda":
            pipelines["compiled"] = OurPipeline(images, index, recipe, device, precision, compiled=True).turn
        return speeds_in_turn(pipelines, sizes.turns)


def _ratio(ours: Sequence[Speed], reference: Sequence[Speed], processor: bool) -> float:
    """Median over the turns of how many times as fast ours is."""
    turns = list(zip(ours, reference, strict=True))
    if processor:
        each = [two.processor_milliseconds / one.processor_milliseconds for one, two in turns]
    else:
        each = [one.images_per_second / two.images_per_second for one, two in turns]
    return float(np.median(each))


def _targets_of(method: str, sizes: Sizes, device: torch.device, options: Options) -> list[Target]:
    on_gpu = device.type == "cuda"
    workers = GPU_WORKERS if on_gpu else options.threads
    hardware = torch.cuda.get_device_name() if on_gpu else cpu_hardware(options.threads)
    speeds = measure(method, sizes, device, workers)
    reference = speeds.pop("reference")
    network = f"{sizes.backbone} {sizes.height}x{sizes.width}, batch {8 * sizes.people}"
    rate = float(np.median([speed.images_per_second for speed in reference]))
    cost = float(np.median([speed.processor_milliseconds for speed in reference]))
    beside = f"fp32 in {workers} workers: {rate:.0f} images/s, {cost:.1f} ms of processor time each"
    best = resolve_precision(fastest_amp(device), device).name
    found = []
    for name, ours in speeds.items():
        goal = (3.0 if on_gpu else 1.2) if name == best else None
        what = f"training {method}, {network}: {name} against the reference"
        own = float(np.median([speed.images_per_second for speed in ours]))
        found.append(
            Target(what, _ratio(ours, reference, False), "x", hardware, None, goal, beside, f"{own:.0f} images/s")
        )
        if not on_gpu:
            own = float(np.median([speed.processor_milliseconds for speed in ours]))
            note = f"{own:.1f} ms of processor time per image"
            what = f"the same, {name}, by processor time"
            found.append(Target(what, _ratio(ours, reference, True), "x", hardware, None, goal, beside, note))
    waits = 100 * float(np.median([speed.data_wait for speed in speeds[best]]))
    waited = 100 * float(np.median([speed.data_wait for speed in reference]))
    what = f"training {method}, {best}: waiting for data"
    found.append(Target(what, waits, "%", hardware, at_most=2.0, reference=f"{waited:.1f} %"))
    return found


def targets(options: Options) -> list[Target]:
    """Ratios to the reference for both methods, in float32 and in the fastest precision, and the wait for data."""
    cpu = torch.device("cpu")
    found = [one for name in METHODS for one in _targets_of(name, QUICK if options.quick else ON_CPU, cpu, options)]
    if not torch.cuda.is_available():
        missing = [f"training {name}, resnet50 288x144, batch 64, against the reference" for name in METHODS]
        return [*found, *(needs_cuda(what, "x", at_least=3.0) for what in missing)]
    gpu, sizes = resolve_device("cuda"), QUICK if options.quick else ON_GPU
    return [*found, *(one for name in METHODS for one in _targets_of(name, sizes, gpu, options))]
