"""k-reciprocal re-ranking of 3,803 queries and 301 gallery images, beside the same with dense NumPy matrices.

The dense version keeps (N, N) distances, ranks and encodings, walks over the images and compares every query's
encoding with all of the gallery's. Both give the same distances, which is checked.
"""

from __future__ import annotations

import numpy as np
import torch

from tests.benchmarks.target import Options, Target, cpu_hardware, needs_cuda
from tests.benchmarks.timing import timed
from vibench.evaluation.rerank import K1, K2, LAMBDA, k_reciprocal_distances

QUERIES, GALLERY, IDENTITIES = 3803, 301, 96
TOLERANCE = 1e-6


def clustered(images: int, dimensions: int, seed: int) -> np.ndarray:
    """Float32 features (images, D) of `IDENTITIES` people."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(0).standard_normal((IDENTITIES, dimensions))
    noise = generator.standard_normal((images, dimensions))
    return (0.5 * centres[generator.integers(0, IDENTITIES, images)] + noise).astype(np.float32)


def dense_distances(query: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Re-ranked distances (Q, G) float64, from Zhong et al.'s equations."""
    features = np.concatenate([query, gallery]).astype(np.float64)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    images, asked = len(features), len(query)
    distance = np.maximum(2.0 - 2.0 * features @ features.T, 0.0)
    distance /= distance.max(axis=1, keepdims=True)
    ranked = np.argsort(distance, axis=1, kind="stable")

    def reciprocal(image: int, k: int) -> np.ndarray:
        near = ranked[image, : k + 1]
        return near[(ranked[near, : k + 1] == image).any(axis=1)]

    encoding = np.zeros((images, images))
    for image in range(images):
        own = reciprocal(image, K1)
        expanded = [own]
        for candidate in own:
            theirs = reciprocal(candidate, int(np.around(K1 / 2)))
            if len(np.intersect1d(own, theirs)) >= 2 / 3 * len(theirs):
                expanded.append(theirs)
        members = np.unique(np.concatenate(expanded))
        weights = np.exp(-distance[image, members])
        encoding[image, members] = weights / weights.sum()
    encoding = np.stack([encoding[ranked[image, :K2]].mean(axis=0) for image in range(images)])
    answers = encoding[asked:]
    overlap = np.stack([np.minimum(row, answers).sum(axis=1) for row in encoding[:asked]])
    return (1.0 - LAMBDA) * (1.0 - overlap / (2.0 - overlap)) + LAMBDA * distance[:asked, asked:]


def products_once(features: torch.Tensor) -> None:
    """Multiply every pair of images once but for squares on the diagonal: what no exact version does without."""
    parts = features.tensor_split(8)
    for place, rows in enumerate(parts):
        for columns in parts[place:]:
            rows @ columns.T


def targets(options: Options) -> list[Target]:
    """How many times as fast as the dense version; raises where the distances differ."""
    queries, gallery, dimensions, repeats = (300, 60, 64, 1) if options.quick else (QUERIES, GALLERY, 2048, 2)
    query, answers = clustered(queries, dimensions, 1), clustered(gallery, dimensions, 2)
    tensors = torch.from_numpy(query), torch.from_numpy(answers)
    expected = []
    dense = timed(lambda: expected.append(dense_distances(query, answers)))
    k_reciprocal_distances(*tensors)
    ours = timed(lambda: k_reciprocal_distances(*tensors), repeats)
    difference = float(np.abs(k_reciprocal_distances(*tensors).numpy() - expected[0]).max())
    assert difference < TOLERANCE, f"re-ranked distances differ by {difference}"
    products = timed(lambda: products_once(torch.cat(tensors).double()), repeats)

    what = f"re-ranking of {queries + gallery:,} images, {dimensions}-d, beside dense NumPy"
    hardware = cpu_hardware(options.threads)
    found = [
        Target(
            what,
            dense.seconds / ours.seconds,
            "x",
            hardware,
            at_least=20.0,
            reference=f"dense {dense.seconds:.1f} s, ours {ours.seconds:.2f} s, the float64 products alone, "
            f"each pair once, {products.seconds:.2f} s",
            note=f"largest difference {difference:.0e}",
        ),
        Target(
            "the same, by processor time of all threads",
            dense.processor_seconds / ours.processor_seconds,
            "x",
            hardware,
            reference=f"dense {dense.processor_seconds:.1f} s, ours {ours.processor_seconds:.2f} s",
        ),
    ]
    if not torch.cuda.is_available():
        return [*found, needs_cuda(what, "x", at_least=20.0)]
    there = [part.cuda() for part in tensors]
    k_reciprocal_distances(*there)
    gpu = timed(lambda: k_reciprocal_distances(*there), repeats, "cuda")
    difference = float(np.abs(k_reciprocal_distances(*there).cpu().numpy() - expected[0]).max())
    assert difference < TOLERANCE, f"re-ranked distances differ by {difference} on CUDA"
    return [
        *found,
        Target(
            what,
            dense.seconds / gpu.seconds,
            "x",
            torch.cuda.get_device_name(),
            at_least=20.0,
            reference=f"dense {dense.seconds:.1f} s on the CPU, ours {gpu.seconds:.2f} s",
        ),
    ]
