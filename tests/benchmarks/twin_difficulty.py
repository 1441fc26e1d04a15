"""How hard the twin is: all-search single-shot rank-1 of trivial cues and of a plain two-stream network.

    python -m tests.benchmarks.twin_difficulty [--root TWIN] [--steps 400]

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

from vibench.datasets.index import SampleIndex, test_rows, training_rows
from vibench.datasets.registry import get_dataset
from vibench.datasets.twin.identity import ATTRIBUTES
from vibench.datasets.twin.make import make_twin

SIZE = (128, 64)
TRIALS = 10


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


def train_network(images: np.ndarray, index: SampleIndex, steps: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Train a two-stream ResNet-18 from scratch; returns (images, infrared flags) -> embeddings."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    from vibench.nn.torchvision_ops import import_torchvision

    models = import_torchvision().models
    torch.manual_seed(0)
    rng = np.random.default_rng(0)

    class TwoStream(nn.Module):
        def __init__(self, classes: int) -> None:
            super().__init__()
            trunk, other = models.resnet18(), models.resnet18()
            self.stems = nn.ModuleList(
                nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool) for net in (trunk, other)
            )
            self.trunk = nn.Sequential(trunk.layer1, trunk.layer2, trunk.layer3, trunk.layer4)
            self.neck = nn.BatchNorm1d(512)
            self.classifier = nn.Linear(512, classes, bias=False)
            nn.init.normal_(self.classifier.weight, std=0.001)

        def forward(self, visible: torch.Tensor, infrared: torch.Tensor) -> torch.Tensor:
            return self.trunk(torch.cat([self.stems[0](visible), self.stems[1](infrared)])).mean((2, 3))

    def tensor(pixels: np.ndarray) -> torch.Tensor:
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        scaled = (torch.from_numpy(pixels).float() / 255.0 - mean) / std
        return scaled.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)

    def augment(pixels: np.ndarray) -> np.ndarray:
        padded = np.pad(pixels, ((0, 0), (6, 6), (6, 6), (0, 0)))
        out = np.empty_like(pixels)
        for row in range(len(pixels)):
            top, left = rng.integers(0, 13, 2)
            crop = padded[row, top : top + SIZE[0], left : left + SIZE[1]]
            out[row] = crop[:, ::-1] if rng.random() < 0.5 else crop
        return out

    def triplet(features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Weighted regularised triplet loss."""
        distance = torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")
        same = labels[:, None] == labels
        positive = (distance * F.softmax(distance.masked_fill(~same, -1e9), dim=1)).sum(1)
        negative = (distance * F.softmax((-distance).masked_fill(same, -1e9), dim=1)).sum(1)
        return F.softplus(positive - negative).mean()

    pids = np.unique(index["pid"])
    labels = np.searchsorted(pids, index["pid"])
    flags = (index["modality"] == "infrared").to_numpy()
    rows = {
        (label, flag): np.flatnonzero((labels == label) & (flags == flag))
        for label in range(len(pids))
        for flag in (False, True)
    }
    network = TwoStream(len(pids)).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1.5e-3, total_steps=steps, pct_start=0.15)
    network.train()
    for step in range(steps):
        chosen = rng.choice(len(pids), 8, replace=False)
        picks = [np.concatenate([rng.choice(rows[label, flag], 4) for label in chosen]) for flag in (False, True)]
        inputs = [tensor(augment(images[pick])) for pick in picks]
        target = torch.from_numpy(np.tile(np.repeat(chosen, 4), 2))
        with torch.autocast("cpu", torch.bfloat16):
            features = network(*inputs)
        features = features.float()
        identity = F.cross_entropy(network.classifier(network.neck(features)), target)
        loss = identity + triplet(features, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 25 == 24:
            print(f"  step {step + 1}: identity loss {identity.item():.3f}", flush=True)

    def embed(pixels: np.ndarray, infrared: np.ndarray) -> np.ndarray:
        network.eval()
        out = np.empty((len(pixels), 512), np.float32)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            for flag in (False, True):
                members = np.flatnonzero(infrared == flag)
                for start in range(0, len(members), 128):
                    block = members[start : start + 128]
                    batch = tensor(pixels[block])
                    out[block] = (
                        network.neck(network.trunk(network.stems[int(flag)](batch)).mean((2, 3))).float().numpy()
                    )
        return out

    return embed


def measure(root: Path, steps: int) -> dict[str, tuple[float, float]]:
    """Rank-1 and mAP per cue; the network is left out where ``steps`` is 0."""
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
    }
    if steps:
        training = training_rows(index)
        embed = train_network(load_images(root, training), training, steps)
        cues["network"] = embed(images, (test["modality"] == "infrared").to_numpy())
    results = {name: scores(test, features, across) for name, features in cues.items()}
    return results | {f"{name}, visible only": scores(test, features, among) for name, features in cues.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="a sysu-mm01 twin; by default small, seed 0, in a temporary folder")
    parser.add_argument("--steps", type=int, default=400, help="training steps of the network; 0 leaves it out")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.root or make_twin("sysu-mm01", "small", 0, Path(temporary) / "twin")
        start = time.perf_counter()
        results = measure(root, options.steps)
    print(f"{options.steps} training steps, {time.perf_counter() - start:.0f} s in all")
    for name, (rank1, precision) in results.items():
        print(f"{name:35} rank-1 {rank1:6.1%}   mAP {precision:6.1%}")


if __name__ == "__main__":
    main()
