"""Training throughput beside the field's habit, in one table: ``python -m tests.benchmarks.training``.

The reference decodes, resizes, pads, crops, flips and normalises every image with Pillow, one at a time, in
DataLoader workers, and trains in float32 and NCHW with the default optimiser kernels, reading the loss at every
step. Both train the same network from the same weights on the same batches of identities.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from vibench.data.augmentation import crop_and_flip, draw_augmentation
from vibench.data.batch import Batch
from vibench.data.loader import TrainingLoader
from vibench.data.normalise import MEAN, STD, normalise
from vibench.data.sampler import IdentitySampler
from vibench.devices import Precision, resolve_device, resolve_precision
from vibench.methods.recipe import Recipe, load_recipe
from vibench.methods.registry import build_method
from vibench.modality import CODE
from vibench.training.trainer import Trainer

IDENTITIES, IMAGES = 24, 4
FILE_SIZE = (120, 300)
"""Width and height of the image files, about those of SYSU-MM01."""


@dataclass(frozen=True)
class Speed:
    images_per_second: float
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
    """One image at a time, with Pillow."""

    def __init__(self, folder: Path, index: pd.DataFrame, recipe: Recipe) -> None:
        self.samples = list(zip(index["path"], index["pid"], index["modality"], strict=True))
        self.folder = folder
        self.recipe = recipe

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int, int]:
        path, pid, modality = self.samples[row]
        size = self.recipe.input
        pad = self.recipe.augmentation.pad
        image = (
            Image.open(self.folder / path).convert("RGB").resize((size.width, size.height), Image.Resampling.LANCZOS)
        )
        image = ImageOps.expand(image, border=pad)
        left, top = random.randint(0, 2 * pad), random.randint(0, 2 * pad)
        image = image.crop((left, top, left + size.width, top + size.height))
        if random.random() < self.recipe.augmentation.flip:
            image = ImageOps.mirror(image)
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]
        return (tensor - mean) / std, pid, CODE[modality]


def reference_speed(folder: Path, index: pd.DataFrame, recipe: Recipe, device: torch.device, workers: int) -> Speed:
    """Steps of the reference after one epoch of warm-up."""
    torch.manual_seed(0)
    method = build_method(recipe, IDENTITIES).to(device).train()
    groups = method.parameter_groups(recipe)
    optimizer = torch.optim.SGD(
        [{"params": g["params"], "lr": recipe.optimizer.lr * g["lr_factor"]} for g in groups],
        lr=recipe.optimizer.lr,
        momentum=recipe.optimizer.momentum,
        nesterov=recipe.optimizer.nesterov,
        weight_decay=recipe.optimizer.weight_decay,
    )
    sampler = IdentitySampler(index["pid"].to_numpy(), index["modality"].to_numpy(dtype=object), recipe.sampler, seed=0)
    speed = Speed(0.0, 0.0)
    for epoch in range(2):
        plan = [batch.reshape(-1).tolist() for batch in sampler.epoch(epoch)]
        dataset = ReferenceDataset(folder, index, recipe)
        loader = DataLoader(dataset, batch_sampler=plan, num_workers=workers, pin_memory=device.type == "cuda")
        speed = _timed(_reference_steps(iter(loader), method, optimizer, device), len(plan[0]))
    return speed


def _reference_steps(
    batches: Iterator, method: torch.nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
):
    """Yield the seconds waited for data at every step."""
    while True:
        asked = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
            return
        waited = time.perf_counter() - asked
        images, labels, modality = (part.to(device) for part in batch)
        losses = method.losses(Batch(images, labels, modality, torch.ones_like(labels)))
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        total.item()
        yield waited


def _timed(steps: Iterator[float], batch_size: int) -> Speed:
    # The first step pays for starting the workers, which an epoch of the real size does not notice.
    next(steps)
    start = time.perf_counter()
    waits = list(steps)
    seconds = time.perf_counter() - start
    return Speed(len(waits) * batch_size / seconds, sum(waits) / seconds)


def our_speed(
    images: np.ndarray, index: pd.DataFrame, recipe: Recipe, device: torch.device, precision: Precision
) -> Speed:
    """The trainer of ``vibench train`` after one epoch of warm-up."""
    torch.manual_seed(0)
    loader = TrainingLoader(images, np.arange(len(images)), index, recipe, 0, device)
    trainer = Trainer(build_method(recipe, IDENTITIES), loader, device, precision, seed=0)
    for _ in range(2):
        report = trainer.train_epoch(lambda: False, lambda count, status="": None)
    return Speed(report.images_per_second, report.data_wait)


def preparation_milliseconds(images: np.ndarray, recipe: Recipe) -> dict[str, float]:
    """Median milliseconds per batch of what lies between cache and network."""
    recipe = replace(recipe, augmentation=replace(recipe.augmentation, erasing=0.5))
    batch = 2 * recipe.sampler.identities * recipe.sampler.images
    height, width = images.shape[1:3]
    generator = np.random.default_rng(0)
    rows = generator.integers(0, len(images), batch)
    draw = draw_augmentation(recipe.augmentation, batch, height, width, generator)
    cropped = torch.from_numpy(crop_and_flip(images, rows, draw))
    work: dict[str, Callable[[], object]] = {
        "draw": lambda: draw_augmentation(recipe.augmentation, batch, height, width, generator),
        "read, crop, flip": lambda: crop_and_flip(images, rows, draw),
        "normalise": lambda: normalise(cropped),
    }
    return {name: 1000 * _median_seconds(call) for name, call in work.items()}


def _median_seconds(call: Callable[[], object]) -> float:
    seconds = []
    for _ in range(15):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", default="baseline")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", default="128x64", help="height x width")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1), help="of the reference")
    arguments = parser.parse_args()

    height, width = arguments.size.split("x")
    settings = (
        f"model.backbone={arguments.backbone}",
        f"input.height={height}",
        f"input.width={width}",
        f"sampler.batches_per_epoch={arguments.steps}",
    )
    recipe = load_recipe(arguments.method, overrides=settings)
    device = resolve_device(arguments.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        index = write_images(folder)
        reference = reference_speed(folder, index, recipe, device, arguments.workers)
        size = (recipe.input.width, recipe.input.height)
        images = np.stack(
            [np.asarray(Image.open(folder / path).resize(size, Image.Resampling.LANCZOS)) for path in index["path"]]
        )
    rows = {"reference, fp32": reference}
    for amp in ("off", "auto"):
        precision = resolve_precision(amp, device)
        rows.setdefault(f"vibench, {precision.name}", our_speed(images, index, recipe, device, precision))

    table = Table("pipeline", "images/s", "ratio", "data wait")
    for label, speed in rows.items():
        ratio = speed.images_per_second / reference.images_per_second
        table.add_row(label, f"{speed.images_per_second:.1f}", f"{ratio:.2f}", f"{100 * speed.data_wait:.1f} %")
    console = Console()
    threads = torch.get_num_threads()
    console.print(f"{arguments.method} {arguments.backbone} {arguments.size}, batch 64, {device}, {threads} threads")
    console.print(table)
    for step, milliseconds in preparation_milliseconds(images, recipe).items():
        console.print(f"{step}: {milliseconds:.2f} ms per batch")


if __name__ == "__main__":
    main()
