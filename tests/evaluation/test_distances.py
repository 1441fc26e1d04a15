"""Similarities against plain formulas, and exact ties between equal gallery rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from vibench.errors import VibenchError
from vibench.evaluation import distances
from vibench.evaluation.distances import DISTANCES, Comparison, Matrix, Rows, product_error, span_product


def example(rows: int, columns: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32) * 3


def scores(query: np.ndarray, gallery: np.ndarray, distance: str) -> Tensor:
    asked, answers = (Rows(side, np.arange(len(side))) for side in (query, gallery))
    return Comparison(asked, answers, distance).scores(slice(0, len(query)))


def test_cosine_and_euclidean() -> None:
    query, gallery = example(5), example(7, seed=1)
    q, g = query.astype(np.float64), gallery.astype(np.float64)
    cosine = (q / np.linalg.norm(q, axis=1, keepdims=True)) @ (g / np.linalg.norm(g, axis=1, keepdims=True)).T
    squared = np.array([[((a - b) ** 2).sum() for b in g] for a in q])
    np.testing.assert_allclose(scores(query, gallery, "cosine"), cosine, atol=1e-14)
    np.testing.assert_allclose(scores(query, gallery, "euclidean"), -squared, atol=1e-11)
    assert scores(query, gallery, "cosine").dtype == torch.float64


@pytest.mark.parametrize("distance", DISTANCES)
def test_equal_gallery_rows_tie_exactly(distance: str) -> None:
    gallery = example(40, 33)[np.arange(403) % 31]
    gallery[5] = 0.0
    gallery[36] = -0.0
    found = scores(example(9, 33, seed=2), gallery, distance)
    assert torch.equal(found[:, 5], found[:, 36])
    assert torch.equal(found[:, 6:31], found[:, 68:93])


def test_a_row_of_zeros_has_cosine_zero() -> None:
    rows = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert scores(rows, rows, "cosine").tolist() == [[0.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(("asked", "answers"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0), (1.0, 1.0)])
def test_the_quick_scores_of_rows_of_zeros_keep_to_their_error(distance: str, asked: float, answers: float) -> None:
    query, gallery = asked * example(4, 300), answers * example(9, 300, seed=1)
    sides = (Rows(side.astype(np.float32), np.arange(len(side))) for side in (query, gallery))
    comparison, whole = Comparison(*sides, distance), slice(0, 4)
    block = comparison.block(whole, slice(0, 9))
    quick = block.values * block.weights + block.offsets
    exact = comparison.scores(whole) * block.slope + block.shift
    assert bool(((quick - exact).abs() <= block.error).all())


def test_integer_ties_are_exact() -> None:
    """Scaled by powers of two, and of small integers: equal in cosine to the last bit."""
    gallery = np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0], [0.5, 1.0, 0.0], [-2.0, 1.0, 0.0]])
    found = scores(np.array([[3.0, 1.0, 2.0]]), gallery, "cosine")
    assert found[0, 0] == found[0, 1] == found[0, 2]


@pytest.mark.parametrize("distance", DISTANCES)
def test_a_gallery_too_large_to_be_kept_in_float64_gives_the_same_scores(
    distance: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query, gallery = example(3, 4), example(25, 4, seed=1)
    gallery[7] = gallery[2]
    expected = scores(query, gallery, distance)
    # Some seven rows at a time.
    monkeypatch.setattr(distances, "_KEPT_BYTES", 500)
    monkeypatch.setattr(distances, "_PIECE_BYTES", 230)
    assert torch.equal(scores(query, gallery, distance), expected)


@pytest.mark.parametrize("distance", DISTANCES)
def test_lengths_beyond_float64_are_refused(distance: str) -> None:
    with pytest.raises(VibenchError, match="NaN or infinite values; check the scale"):
        scores(np.full((2, 3), 1e200), np.ones((2, 3)), distance)


def test_somebody_elses_scores_come_to_lie_between_minus_one_and_one() -> None:
    matrix = Matrix(lambda part: torch.tensor([[0.0, 0.0], [-4.0, 1.0]])[part])
    assert matrix.block(slice(0, 2), slice(0, 2)).values.tolist() == [[0.0, 0.0], [-1.0, 0.25]]
    assert matrix.block(slice(0, 2), slice(1, 2)).values.tolist() == [[0.0], [0.25]]
    assert matrix.exact(slice(0, 2), torch.tensor([1]), torch.tensor([0])).tolist() == [-4.0]


@pytest.mark.parametrize("width", [4, 5, 11])
def test_products_in_tiles_and_spans_are_the_products(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distances, "_TILE", 3)
    monkeypatch.setattr(distances, "_SPAN", 4)
    generator = torch.Generator().manual_seed(0)
    sides = (torch.randn(size, width, generator=generator, dtype=torch.float64) for size in (8, 3 * 8 + 1))
    query, gallery = (torch.nn.functional.normalize(side, dim=1) for side in sides)
    found = span_product(query.float(), gallery.float())
    assert found.dtype == torch.float32
    assert float((found - query @ gallery.T).abs().max()) <= product_error(width, torch.float32)
