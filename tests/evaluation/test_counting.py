"""Float32 with a proven bound ranks as float64 does, to the last hit, however near to one another scores are."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vibench.evaluation import distances, ranking
from vibench.evaluation.distances import DISTANCES, Comparison, Matrix, Rows
from vibench.evaluation.ranking import Outcome, Ranker, Sought, TieOrder
from vibench.protocols import Skip


def rows_of(values: np.ndarray) -> Rows:
    return Rows(values, np.arange(len(values)))


@st.composite
def features(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Queries and gallery images of which many are alike, equal, or differ in the last bit of an entry."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = draw(st.sampled_from([1, 2, 5, 64, 300, 1100]))
    queries, images = draw(st.integers(1, 7)), draw(st.integers(1, 40))
    values = generator.standard_normal((queries + images, width))
    kind = draw(st.sampled_from(["apart", "near", "signs", "equal"]))
    if kind == "near":
        values = values[:1] + draw(st.sampled_from([0.0, 1e-9, 1e-5])) * values
    elif kind == "signs":
        values = np.sign(values)
    elif kind == "equal":
        values = values[generator.integers(0, draw(st.integers(1, 2)), len(values))]
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    values = (values * 10.0 ** draw(st.integers(-18, 18))).astype(dtype)
    bent = generator.random(values.shape) < draw(st.sampled_from([0.0, 2.0 / width]))
    values[bent] = np.nextafter(values[bent], dtype(np.inf))
    values[generator.random(len(values)) < draw(st.sampled_from([0.0, 0.2]))] = 0.0
    return values[:queries], values[queries:]


def people(generator: np.random.Generator, count: int) -> Sought:
    return Sought(torch.from_numpy(generator.integers(1, 5, count)), torch.from_numpy(generator.integers(1, 4, count)))


def assert_same(one: Outcome, other: Outcome) -> None:
    for field in fields(Outcome):
        if field.name != "opened":
            assert torch.equal(getattr(one, field.name).nan_to_num(-1), getattr(other, field.name).nan_to_num(-1))


@settings(max_examples=300)
@given(
    features(),
    st.sampled_from(DISTANCES),
    st.sampled_from(["any", "same"]),
    st.sampled_from(["unique", "standard"]),
    st.integers(1, 3),
    st.integers(0, 2**32 - 1),
)
def test_ranks_as_the_exact_scores_do(
    rows: tuple[np.ndarray, np.ndarray], distance: str, who: str, cmc: str, trials: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    query, gallery = rows
    askers, candidates = people(generator, len(query)), people(generator, len(gallery))
    drawn = torch.from_numpy(generator.random((len(gallery), trials)) < 0.7)
    drawn[0] = True
    if trials == 1:
        drawn[:] = True
    orders = [
        TieOrder(torch.tensor(range(0, trials, 2))),
        TieOrder(torch.tensor(range(1, trials, 2)), torch.from_numpy(generator.permutation(len(gallery)))),
    ]
    ranker = Ranker(candidates, drawn, Skip(who, ((1, 2),)), cmc, orders[: 1 + (trials > 1)])  # type: ignore[arg-type]
    quick = Comparison(rows_of(query), rows_of(gallery), distance)
    exact = Matrix(Comparison(rows_of(query), rows_of(gallery), distance).scores)
    expected = ranker.rank(exact, askers, 1 << 20, lambda count: None)
    with pytest.MonkeyPatch.context() as patch:
        # Pieces of the gallery, and no turning to float64 where much is.
        patch.setattr(ranking, "_CANDIDATES", 7)
        patch.setattr(distances, "_OPEN_SHARE", 2.0)
        assert_same(ranker.rank(quick, askers, 2000, lambda count: None), expected)


@pytest.mark.parametrize("longer", [1e17, 1e100])
def test_queries_far_longer_than_the_gallery_tie_and_hide_nothing_wrong(longer: float) -> None:
    """Float64 cannot tell their euclidean distances apart, and matches are no wrong images before one another."""
    pids, query = torch.tensor([1, 2, 1]), torch.tensor([1])
    ranker = Ranker(Sought(pids, pids), torch.ones(3, 1, dtype=torch.bool), Skip(), "standard")
    comparison = Comparison(rows_of(np.array([[longer]])), rows_of(np.ones((3, 1))), "euclidean")
    outcome = ranker.rank(comparison, Sought(query, query), 1 << 20, lambda count: None)
    assert (outcome.ap.item(), outcome.inp.item()) == (pytest.approx((1 + 2 / 3) / 2), pytest.approx(2 / 3))


@pytest.mark.parametrize("scale", [5e-324, 1e-310, 1e-300, 1.0, 1e307])
def test_scores_of_any_scale_rank_alike(scale: float) -> None:
    pids, query = torch.tensor([1, 2, 1]), torch.tensor([1])
    ranker = Ranker(Sought(pids, pids), torch.ones(3, 1, dtype=torch.bool), Skip(), "standard")
    scores = Matrix(lambda part: torch.tensor([[3.0, 5.0, 4.0]], dtype=torch.float64) * scale)
    outcome = ranker.rank(scores, Sought(query, query), 1 << 20, lambda count: None)
    assert (outcome.first_hit.item(), outcome.ap.item()) == (2, pytest.approx((1 / 2 + 2 / 3) / 2))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("width", [1, 256, 257, 2048, 4096])
def test_values_are_as_near_as_they_say(distance: str, width: int) -> None:
    """Of the exact scores, up to a factor and a constant per query; entries of one sign are the worst case."""
    generator = np.random.default_rng(width)
    query, gallery = (generator.random((count, width)).astype(np.float32) for count in (5, 60))
    comparison = Comparison(rows_of(query), rows_of(gallery), distance)
    part = slice(1, 5)
    block = comparison.block(part, slice(0, 60))
    assert block.values.dtype == torch.float32
    values = (block.values * block.weights + block.offsets).double()
    off = (values - comparison.scores(part) * block.slope - block.shift).abs().max()
    assert off <= block.error < 4e-5 and values.abs().max() <= 1 + block.error


def test_few_images_are_compared_exactly_where_scores_are_apart() -> None:
    generator = np.random.default_rng(0)
    pids = torch.arange(300) % 30
    centres = generator.standard_normal((30, 64))
    query, gallery = ((centres[pids] + generator.standard_normal((300, 64))).astype(np.float32) for _ in range(2))
    sought = Sought(pids, torch.ones_like(pids))
    ranker = Ranker(sought, torch.ones(300, 1, dtype=torch.bool), Skip(), "standard")
    outcome = ranker.rank(Comparison(rows_of(query), rows_of(gallery), "cosine"), sought, 1 << 20, lambda count: None)
    assert outcome.opened.sum() < 0.001 * 300 * 300


def test_where_float32_leaves_much_open_the_rest_is_float64() -> None:
    values = np.ones((600, 8), dtype=np.float32)
    comparison = Comparison(rows_of(values), rows_of(values[:10]), "cosine")
    assert comparison.block(slice(0, 2), slice(0, 10)).values.dtype == torch.float32
    comparison.found_open(0.5)
    assert comparison.block(slice(0, 2), slice(0, 10)).values.dtype == torch.float64


def test_lowered_precision_of_products_is_not_used() -> None:
    values = np.ones((3, 8), dtype=np.float32)
    try:
        torch.set_float32_matmul_precision("medium")
        assert (
            Comparison(rows_of(values), rows_of(values), "cosine").block(slice(0, 2), slice(0, 3)).values.dtype
            == torch.float64
        )
    finally:
        torch.set_float32_matmul_precision("highest")
