"""k-reciprocal re-ranking against a slow reference written with sets from the paper's definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vibench.evaluation.rerank import _neighbours, k_reciprocal_distances


def slow(query: np.ndarray, gallery: np.ndarray, k1: int, k2: int, weight: float) -> np.ndarray:
    features = np.concatenate([query, gallery]).astype(np.float64)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    count, queries = len(features), len(query)
    distance = ((features[:, None] - features[None]) ** 2).sum(axis=2)
    distance /= distance.max(axis=1, keepdims=True)
    ranked = np.argsort(distance, axis=1, kind="stable")

    def reciprocal(image: int, k: int) -> set[int]:
        return {int(other) for other in ranked[image, : k + 1] if image in ranked[other, : k + 1]}

    encoding = np.zeros((count, count))
    for image in range(count):
        expanded = reciprocal(image, k1)
        for candidate in reciprocal(image, k1):
            theirs = reciprocal(candidate, round(k1 / 2))
            if len(reciprocal(image, k1) & theirs) >= 2 / 3 * len(theirs):
                expanded |= theirs
        members = sorted(expanded)
        encoding[image, members] = np.exp(-distance[image, members])
        encoding[image] /= encoding[image].sum()
    encoding = np.array([encoding[ranked[image, :k2]].mean(axis=0) for image in range(count)])

    final = np.empty((queries, count - queries))
    for q in range(queries):
        for g in range(count - queries):
            pair = encoding[q], encoding[queries + g]
            jaccard = 1 - np.minimum(*pair).sum() / np.maximum(*pair).sum()
            final[q, g] = (1 - weight) * jaccard + weight * distance[q, queries + g]
    return final


def clusters(images: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((6, 8))
    return (centres[generator.integers(0, 6, images)] + 0.7 * generator.standard_normal((images, 8))).astype("f4")


@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (7, 3, 0.0), (4, 1, 0.6), (60, 6, 0.3)])
@pytest.mark.parametrize("chunk_bytes", [1, 1 << 20])
def test_equals_the_slow_reference(k1: int, k2: int, weight: float, chunk_bytes: int) -> None:
    query, gallery = clusters(17, 0), clusters(33, 1)
    found = k_reciprocal_distances(torch.from_numpy(query), torch.from_numpy(gallery), k1, k2, weight, chunk_bytes)
    np.testing.assert_allclose(found.numpy(), slow(query, gallery, k1, k2, weight), rtol=0, atol=1e-12)


@pytest.mark.parametrize("chunk_bytes", [1, 64 * 9, 1 << 20])
@pytest.mark.parametrize("k", [1, 5, 40, 60])
def test_among_equal_neighbours_the_first_comes_first(k: int, chunk_bytes: int) -> None:
    """Small integers multiply exactly and tie often, within a square of the products and across squares."""
    features = np.random.default_rng(0).integers(-1, 2, (47, 5)) / 4
    sizes = [k, 1 + k // 2, 1 + k // 4]
    found, largest = _neighbours(torch.from_numpy(features), sizes, chunk_bytes)
    products = features @ features.T
    for size in sizes:
        expected = np.argsort(-products, axis=1, kind="stable")[:, :size]
        assert (np.sort(found[:, :size], axis=1) == np.sort(expected, axis=1)).all()
    assert (largest == 2.0 - 2.0 * products.min(axis=1)).all()


def test_images_all_alike() -> None:
    rows = torch.ones(6, 4)
    assert k_reciprocal_distances(rows[:2], rows[2:]).isfinite().all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_same_on_cuda() -> None:
    query, gallery = torch.from_numpy(clusters(17, 0)), torch.from_numpy(clusters(33, 1))
    there = k_reciprocal_distances(query.cuda(), gallery.cuda())
    torch.testing.assert_close(there.cpu(), k_reciprocal_distances(query, gallery), rtol=0, atol=1e-12)
