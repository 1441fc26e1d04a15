"""Similarities against plain formulas, and exact ties between equal gallery rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vibench.evaluation import distances
from vibench.evaluation.distances import DISTANCES, Similarity, both_ways


def example(rows: int, columns: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32) * 3


def test_cosine_and_euclidean() -> None:
    query, gallery = example(5), example(7, seed=1)
    q, g = query.astype(np.float64), gallery.astype(np.float64)
    cosine = (q / np.linalg.norm(q, axis=1, keepdims=True)) @ (g / np.linalg.norm(g, axis=1, keepdims=True)).T
    squared = np.array([[((a - b) ** 2).sum() for b in g] for a in q])
    tensors = torch.from_numpy(query), torch.from_numpy(gallery)
    np.testing.assert_allclose(Similarity(tensors[1], "cosine")(tensors[0]), cosine, atol=1e-14)
    np.testing.assert_allclose(Similarity(tensors[1], "euclidean")(tensors[0]), -squared, atol=1e-11)
    assert Similarity(tensors[1], "cosine")(tensors[0]).dtype == torch.float64


@pytest.mark.parametrize("distance", DISTANCES)
def test_equal_gallery_rows_tie_exactly(distance: str) -> None:
    gallery = example(40, 33)[np.arange(403) % 31]
    gallery[5] = 0.0
    gallery[36] = -0.0
    scores = Similarity(torch.from_numpy(gallery), distance)(torch.from_numpy(example(9, 33, seed=2)))
    assert torch.equal(scores[:, 5], scores[:, 36])
    assert torch.equal(scores[:, 6:31], scores[:, 68:93])


@pytest.mark.parametrize("distance", DISTANCES)
def test_one_product_scores_both_ways(distance: str) -> None:
    one, other = example(67, 33)[np.arange(403) % 61], example(90, 33, seed=1)[np.arange(203) % 87]
    one[5], other[[7, 11]] = 0.0, other[2]
    tensors = torch.from_numpy(one), torch.from_numpy(other)
    for score, query, gallery in zip(both_ways(*tensors, distance), tensors, tensors[::-1], strict=True):
        scores = torch.cat([score(slice(0, 100)), score(slice(100, len(query)))])
        torch.testing.assert_close(scores, Similarity(gallery, distance)(query), rtol=1e-13, atol=1e-11)
        copies = [(np.asarray(gallery)[:, None] == np.asarray(gallery)).all(axis=2).argmax(axis=1)]
        assert torch.equal(scores, scores[:, torch.from_numpy(copies[0])])


def test_a_row_of_zeros_has_cosine_zero() -> None:
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert Similarity(rows, "cosine")(rows).tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_integer_ties_are_exact() -> None:
    """Scaled by powers of two, and of small integers: equal in cosine to the last bit."""
    gallery = torch.tensor([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.5, 1.0, 0.0], [-2.0, 1.0, 0.0]])
    scores = Similarity(gallery, "cosine")(torch.tensor([[3.0, 1.0, 2.0]]))
    assert scores[0, 0] == scores[0, 1] == scores[0, 2]


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_gallery_too_large_to_be_kept_in_float64_gives_the_same_scores(
    distance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    query, gallery = (torch.randn(rows, 4, generator=generator) for rows in (3, 25))
    gallery[7] = gallery[2]
    expected = Similarity(gallery, distance)(query)
    ways = [way(slice(0, 3)) for way in both_ways(query, gallery, distance)]
    # Some seven rows at a time.
    monkeypatch.setattr(distances, "_WIDENED_BYTES", 900)
    found = Similarity(gallery, distance)(query)
    assert found.dtype == torch.float64 and torch.equal(found[:, 7], found[:, 2])
    torch.testing.assert_close(found, expected, rtol=1e-14, atol=1e-14)
    for way, before in zip(both_ways(query, gallery, distance), ways, strict=True):
        torch.testing.assert_close(way(slice(0, 3)), before, rtol=1e-14, atol=1e-14)
