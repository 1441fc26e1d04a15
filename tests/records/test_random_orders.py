"""Chance levels in closed form against random orders."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibench.records.chance import random_average_precision, random_rank_one


@pytest.mark.parametrize(("matches", "images"), [(1, 1), (1, 6), (2, 6), (5, 6), (6, 6), (3, 9)])
def test_equals_the_mean_over_all_orders(matches: int, images: int) -> None:
    first, precision = [], []
    for places in combinations(range(1, images + 1), matches):
        first.append(places[0] == 1)
        precision.append(np.mean([nth / place for nth, place in enumerate(places, start=1)]))
    sizes = np.array([float(matches)]), np.array([float(images)])
    assert random_rank_one(*sizes) == pytest.approx(np.mean(first), abs=1e-14)
    assert random_average_precision(*sizes) == pytest.approx(np.mean(precision), abs=1e-14)


@pytest.mark.parametrize(("matches", "images"), [(4, 301), (10, 2060), (40, 500)])
def test_random_orders_approach_it(matches: int, images: int) -> None:
    generator = np.random.default_rng(0)
    orders = generator.permuted(np.tile(np.arange(images), (4000, 1)), axis=1)[:, :matches] + 1
    places = np.sort(orders, axis=1)
    precision = (np.arange(1, matches + 1) / places).mean(axis=1)
    first = places[:, 0] == 1
    sizes = np.array([float(matches)]), np.array([float(images)])
    for drawn, expected in ((precision, random_average_precision(*sizes)), (first, random_rank_one(*sizes))):
        assert abs(drawn.mean() - expected[0]) < 4 * max(drawn.std(), 0.02) / np.sqrt(len(drawn))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), min_size=1, max_size=8))
def test_queries_do_not_depend_on_one_another(sizes: list[tuple[int, int]]) -> None:
    matches = np.array([float(few) for few, _ in sizes])
    images = np.array([float(few + more) for few, more in sizes])
    for expected in (random_rank_one, random_average_precision):
        together = expected(matches, images)
        alone = [expected(matches[at : at + 1], images[at : at + 1])[0] for at in range(len(sizes))]
        np.testing.assert_array_equal(together, alone)
        np.testing.assert_array_equal(np.isnan(together), matches == 0)
        assert ((together >= 0) & (together <= 1) | (matches == 0)).all()
