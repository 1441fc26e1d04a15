"""Extraction throughput beside the network alone: ``python -m tests.benchmarks --only extraction``.

What `vibench.scoring.extraction` does from cached pixels to features on the host, against the same network, in the same
precision, on one random batch that stays where it is: what reading, copying, normalising and gathering cost. Both take
turns; a ratio is the median of those of the turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from tests.benchmarks.target import Options, Target, cpu_hardware, needs_cuda
from vibench.data.cache import ImageCache
from vibench.methods.base import Method
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method
from vibench.modality import MODALITIES
from vibench.runtime.devices import Precision, compile_function, resolve_device, resolve_precision
from vibench.runtime.fastest import fastest_amp
from vibench.scoring.extraction import extract_features

METHOD = "baseline"
GOAL = 60.0
"""Percent of the network's own throughput, on a GPU."""
GOAL_OF_LIBRARY = 70.0
"""Percent of the throughput of the best library figure that the network's own throughput must have."""
OFF = Precision("fp32", "cuda")
"""Without autocast."""


@dataclass(frozen=True)
class Sizes:
    backbone: str
    height: int
    width: int
    images: int
    batch: int
    turns: int


QUICK = Sizes("resnet18", 96, 48, images=64, batch=16, turns=1)
ON_CPU = Sizes("resnet18", 128, 64, images=512, batch=64, turns=3)
ON_GPU = Sizes("resnet50", 288, 144, images=15360, batch=64, turns=3)


def _cache(sizes: Sizes) -> tuple[ImageCache, pd.DataFrame]:
    """Images of noise, half of them infrared, as if they had been cached."""
    paths = [f"{place}.jpg" for place in range(sizes.images)]
    index = pd.DataFrame({"path": paths, "modality": np.resize(MODALITIES, sizes.images)})
    pixels = np.random.default_rng(0).integers(0, 256, (sizes.images, sizes.height, sizes.width, 3), dtype=np.uint8)
    return ImageCache(Path("noise"), pixels, index, "", "made", ()), index


def resident_images_per_second(
    embed: Callable[[Tensor, str], object], sizes: Sizes, device: torch.device, precision: Precision
) -> float:
    """Of batches that are on the device already, as many as there are images to extract."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(sizes.batch, 3, sizes.height, sizes.width, generator=generator)
    images = images.to(device, memory_format=torch.channels_last)
    start = time.perf_counter()
    with torch.inference_mode(), precision.autocast():
        for place in range(sizes.images // sizes.batch):
            embed(images, MODALITIES[place % 2])
    if device.type == "cuda":
        torch.cuda.synchronize()
    return sizes.images / (time.perf_counter() - start)


def _method(sizes: Sizes, device: torch.device) -> Method:
    settings = (f"model.backbone={sizes.backbone}", f"input.height={sizes.height}", f"input.width={sizes.width}")
    method = build_method(load_recipe(METHOD, overrides=settings), num_classes=395)
    return method.to(device, memory_format=torch.channels_last).eval()


def _best_of_library(sizes: Sizes, device: torch.device) -> Target:
    """The resident batch as `vibench extract --compile` runs it, against all that PyTorch offers for the network.

    That is weights in half precision instead of autocast, and kernels chosen by trying.
    """
    precision = resolve_precision(fastest_amp(device), device)
    method = _method(sizes, device)
    ours = compile_function(method.embed, device.type, graphs=True)
    half = _method(sizes, device).to(torch.bfloat16)
    best = torch.compile(lambda images, modality: half.embed(images.bfloat16(), modality), mode="max-autotune")
    for embed, how in ((ours, precision), (best, OFF)):
        resident_images_per_second(embed, replace(sizes, images=4 * sizes.batch), device, how)
    pairs = [
        (
            resident_images_per_second(ours, sizes, device, precision),
            resident_images_per_second(best, sizes, device, OFF),
        )
        for _ in range(sizes.turns)
    ]
    mine, most = (float(np.median(speeds)) for speeds in zip(*pairs, strict=True))
    return Target(
        f"{sizes.backbone} {sizes.height}x{sizes.width} on a resident batch, compiled, against max-autotune in bf16",
        100 * float(np.median([one / other for one, other in pairs])),
        "%",
        torch.cuda.get_device_name(),
        at_least=GOAL_OF_LIBRARY,
        reference=f"{most:.0f} images/s",
        note=f"{mine:.0f} images/s",
    )


def _ratio(sizes: Sizes, device: torch.device, compiled: bool, hardware: str, goal: float | None) -> Target:
    precision = resolve_precision(fastest_amp(device), device)
    method = _method(sizes, device)
    embed = compile_function(method.embed, device.type, graphs=True) if compiled else method.embed
    cache, index = _cache(sizes)

    def extract() -> float:
        return extract_features(
            method, cache, index, device=device, precision=precision, compiled=compiled, batch_size=sizes.batch
        ).images_per_second

    def resident() -> float:
        return resident_images_per_second(embed, sizes, device, precision)

    extract(), resident()
    pairs = [(extract(), resident()) for _ in range(sizes.turns)]
    ours, alone = (float(np.median(speeds)) for speeds in zip(*pairs, strict=True))
    how = f"{precision.name}{', compiled' if compiled else ''}"
    return Target(
        f"extraction, {sizes.backbone} {sizes.height}x{sizes.width}, batch {sizes.batch}, {how}",
        100 * float(np.median([one / other for one, other in pairs])),
        "%",
        hardware,
        at_least=goal,
        reference=f"the network on a resident batch: {alone:.0f} images/s",
        note=f"{ours:.0f} images/s",
    )


def targets(options: Options) -> list[Target]:
    """Percent of the network's own throughput, on the CPU for its own sake."""
    sizes = QUICK if options.quick else ON_CPU
    found = [_ratio(sizes, torch.device("cpu"), False, cpu_hardware(options.threads), None)]
    if not torch.cuda.is_available():
        return [*found, needs_cuda("extraction, resnet50 288x144, batch 64", "%", at_least=GOAL)]
    sizes, name = QUICK if options.quick else ON_GPU, torch.cuda.get_device_name()
    device = resolve_device("cuda")
    found += [_ratio(sizes, device, compiled, name, GOAL) for compiled in (False, True)]
    return [*found, _best_of_library(sizes, device)]
