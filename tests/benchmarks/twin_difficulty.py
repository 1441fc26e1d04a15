"""How hard the twin is: all-search single-shot rank-1 of trivial cues and of a plain two-stream network.

    python -m tests.benchmarks.twin_difficulty [--root TWIN]

Expected, and guarded by tests/datasets/twin/test_difficulty.py: chance, colour histogram and brightness
profile below 10 %, grey HOG below 25 %, attribute codes 25-35 %, the network 30-80 % and far better among visible
images.
"""

from __future__ import annotations

import argparse
import csv
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vibench.datasets.attribute_names import ATTRIBUTES
from vibench.datasets.index import SampleIndex, test_rows
from vibench.datasets.registry import get_dataset
from vibench.datasets.twin.make import make_twin
from vibench.methods.recipe import load_recipe
from vibench.runtime.devices import resolve_device, resolve_precision
from vibench.scoring.trained import models_of_run
from vibench.training.run import train
from vibench.training.spec import TrainingSpec

SIZE = (128, 64)
TRIALS = 10
NETWORK = (
    'model.backbone="resnet18"',
    "input.height=96",
    "input.width=48",
    "augmentation.pad=4",
    'optimizer.name="adamw"',
    "optimizer.lr=0.0015",
    "optimizer.backbone_lr_factor=1.0",
    "sampler.images=2",
    "sampler.batches_per_epoch=38",
    "schedule.epochs=9",
    "schedule.warmup_epochs=2",
    "schedule.milestones=[6, 8]",
    "schedule.gamma=0.2",
)
"""A small one, trained from scratch for 342 steps instead of 56,000."""


@dataclass(frozen=True)
class Retrieval:
    """Rows of a test index to search for, and where."""

    queries: np.ndarray
    galleries: tuple[np.ndarray, ...]
    skipped: Callable[[SampleIndex, SampleIndex], np.ndarray]
    """(queries, gallery) -> bool matrix of pairs that a query does not look at."""


def seeded_galleries(index: SampleIndex) -> tuple[np.ndarray, ...]:
    """One visible image per identity and camera, drawn as the seeded protocol draws."""
    rows = {path: row for row, path in enumerate(index["path"])}
    galleries = []
    folders = index[index["modality"] == "visible"].groupby(["pid", "camera"])["path"].apply(sorted)
    for trial in range(TRIALS):
        draw = random.Random(trial)
        galleries.append(np.array([rows[draw.choice(paths)] for _, paths in sorted(folders.items())]))
    return tuple(galleries)


def infrared_to_visible(index: SampleIndex) -> Retrieval:
    """All-search: camera 3 skips camera 2, which stands in the same room."""
    queries = np.flatnonzero(index["modality"] == "infrared")
    return Retrieval(
        queries,
        seeded_galleries(index),
        lambda query, gallery: (query["camera"].to_numpy() == 3)[:, None] & (gallery["camera"].to_numpy() == 2),
    )


def visible_to_visible(index: SampleIndex) -> Retrieval:
    """Among visible images, never in the query's own camera."""
    queries = np.flatnonzero(index["modality"] == "visible")
    return Retrieval(
        queries,
        seeded_galleries(index),
        lambda query, gallery: query["camera"].to_numpy()[:, None] == gallery["camera"].to_numpy(),
    )


def scores(index: SampleIndex, features: np.ndarray, retrieval: Retrieval) -> tuple[float, float]:
    """Mean rank-1 and mAP over the drawn galleries, by cosine similarity; ties keep gallery order."""
    features = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    firsts, precisions = [], []
    for rows in retrieval.galleries:
        query, gallery = index.iloc[retrieval.queries], index.iloc[rows]
        similarity = features[retrieval.queries] @ features[rows].T
        similarity[retrieval.skipped(query, gallery)] = -np.inf
        order = np.argsort(-similarity, axis=1, kind="stable")
        same = query["pid"].to_numpy()[:, None] == gallery["pid"].to_numpy()
        hits = np.take_along_axis(same & np.isfinite(similarity), order, axis=1)
        hits = hits[hits.any(axis=1)]
        firsts.append(hits[:, 0].mean())
        precision = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
        precisions.append(((precision * hits).sum(axis=1) / hits.sum(axis=1)).mean())
    return float(np.mean(firsts)), float(np.mean(precisions))


def load_images(root: Path, index: SampleIndex) -> np.ndarray:
    """(N, H, W, 3) uint8."""
    images = np.empty((len(index), *SIZE, 3), np.uint8)
    for row, path in enumerate(index["path"]):
        with Image.open(root / path) as image:
            images[row] = np.asarray(image.convert("RGB").resize(SIZE[::-1], Image.Resampling.BILINEAR))
    return images


def colour_histograms(images: np.ndarray) -> np.ndarray:
    """Eight levels per channel, jointly, in three horizontal stripes."""
    codes = (images.astype(np.int64) // 32) @ np.array([64, 8, 1])
    stripes = np.array_split(codes, 3, axis=1)
    counts = [[np.bincount(stripe[row].ravel(), minlength=512) for stripe in stripes] for row in range(len(images))]
    return np.sqrt(np.array(counts).reshape(len(images), -1).astype(np.float64))


def grey_hogs(images: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients: nine unsigned orientations, cells of 8x8 pixels, each cell normalised."""
    grey = images.astype(np.float32).mean(axis=3)
    down, across = np.gradient(grey, axis=(1, 2))
    strength = np.hypot(down, across)
    orientation = np.minimum((np.mod(np.arctan2(down, across), np.pi) / np.pi * 9).astype(int), 8)
    count, height, width = grey.shape
    cells = np.zeros((count, height // 8, width // 8, 9))
    for angle in range(9):
        part = np.where(orientation == angle, strength, 0.0)
        cells[..., angle] = part.reshape(count, height // 8, 8, width // 8, 8).sum(axis=(2, 4))
    cells /= np.linalg.norm(cells, axis=3, keepdims=True) + 20.0
    return cells.reshape(count, -1)


def brightness_profiles(images: np.ndarray) -> np.ndarray:
    """Mean grey of 16 x 4 cells in the middle of the picture, standardised per image."""
    grey = images[:, :, SIZE[1] // 4 : 3 * SIZE[1] // 4].mean(axis=3, dtype=np.float32)
    count, height, width = grey.shape
    cells = grey.reshape(count, 16, height // 16, 4, width // 4).mean(axis=(2, 4)).reshape(count, -1)
    return (cells - cells.mean(axis=1, keepdims=True)) / cells.std(axis=1, keepdims=True)


def attribute_codes(root: Path, index: SampleIndex) -> np.ndarray:
    """(N, 8) -1 or 1 from the truth: cosine similarity then orders by the number of equal attributes."""
    with (root / "truth" / "attributes.csv").open(encoding="utf-8", newline="") as handle:
        codes = {
            (int(row["pid"]), int(row["camera"])): [2.0 * int(row[name]) - 1.0 for name in ATTRIBUTES]
            for row in csv.DictReader(handle)
        }
    return np.array([codes[key] for key in zip(index["pid"], index["camera"], strict=True)])


def baseline_features(root: Path, folder: Path) -> np.ndarray:
    """(N, D) features of the test images by `baseline`, trained by the recipe `NETWORK`."""
    recipe = load_recipe("baseline", "", "sysu-mm01-twin", NETWORK)
    spec = TrainingSpec(recipe, root, pretrained="none", folder=folder / "run")
    (model,) = models_of_run(train(spec, cache=folder / "cache").path)
    device = resolve_device("auto")
    _, extraction = model.extract(device, resolve_precision("auto", device), cache=folder / "cache")
    return extraction.features.features


def measure(root: Path, folder: Path) -> dict[str, tuple[float, float]]:
    """Rank-1 and mAP per cue; the network leaves its run and image cache in ``folder``."""
    index = get_dataset("sysu-mm01-twin").index(root)
    test = test_rows(index)
    images = load_images(root, test)
    across, among = infrared_to_visible(test), visible_to_visible(test)
    cues = {
        "chance": np.random.default_rng(0).standard_normal((len(test), 64)),
        "colour histogram": colour_histograms(images),
        "brightness profile": brightness_profiles(images),
        "grey HOG": grey_hogs(images),
        "attribute codes": attribute_codes(root, test),
        "network": baseline_features(root, folder),
    }
    results = {name: scores(test, features, across) for name, features in cues.items()}
    return results | {f"{name}, visible only": scores(test, features, among) for name, features in cues.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a sysu-mm01 twin; by default small, seed 0, in a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.root or make_twin("sysu-mm01", "small", 0, Path(temporary) / "twin")
        start = time.perf_counter()
        results = measure(root, Path(temporary))
    print(f"{time.perf_counter() - start:.0f} s in all")
    for name, (rank1, precision) in results.items():
        print(f"{name:35} rank-1 {rank1:6.1%}   mAP {precision:6.1%}")


if __name__ == "__main__":
    main()
