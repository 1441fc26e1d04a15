"""The matching of parts against scipy's, and the histogram that outlives an epoch."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from vibench.methods.cal.matching import ENUMERATED, MatchHistogram, best_matching, permutations


def total(weights, matching) -> float:
    return sum(float(weights[u, v]) for u, v in enumerate(matching))


@settings(max_examples=120)
@given(
    parts=st.integers(1, ENUMERATED + 2),
    graphs=st.integers(1, 4),
    seed=st.integers(0, 2**31),
    levels=st.sampled_from([0, 1, 2, 3]),
)
def test_matchings_are_as_good_as_the_hungarian_ones(parts, graphs, seed, levels):
    """``levels`` > 0: weights from a few whole numbers, so that many matchings tie."""
    random = np.random.default_rng(seed)
    shape = (graphs, parts, parts)
    weights = random.integers(0, levels, shape).astype(float) if levels else random.standard_normal(shape)
    matchings = best_matching(torch.from_numpy(weights))
    assert matchings.shape == (graphs, parts) and matchings.dtype == torch.int64
    for graph, matching in zip(weights, matchings.tolist(), strict=True):
        assert sorted(matching) == list(range(parts))
        rows, columns = linear_sum_assignment(graph, maximize=True)
        assert total(graph, matching) == pytest.approx(graph[rows, columns].sum(), abs=1e-9)
        if not levels:
            assert matching == columns.tolist()


@pytest.mark.parametrize("parts", [3, ENUMERATED + 1])
def test_weights_that_are_not_finite_still_give_a_matching(parts):
    weights = torch.full((2, parts, parts), float("nan"))
    weights[1] = float("inf")
    assert best_matching(weights).sort(dim=1).values.tolist() == [list(range(parts))] * 2


def test_permutations_begin_with_the_identity():
    table = permutations(4, torch.device("cpu"))
    assert table.shape == (24, 4) and table[0].tolist() == [0, 1, 2, 3]
    assert len({tuple(row) for row in table.tolist()}) == 24


matchings_of_three = st.lists(st.permutations(range(3)), min_size=1, max_size=12)


@settings(max_examples=60)
@given(steps=st.lists(matchings_of_three, min_size=1, max_size=4))
def test_the_most_frequent_matching_of_all_steps_wins(steps):
    histogram = MatchHistogram(3)
    found = Counter()
    for step in steps:
        histogram.add(torch.tensor(step))
        found.update(map(tuple, step))
    histogram.close_epoch()
    most = max(found.values())
    # Of equally frequent ones the lexicographically first.
    assert tuple(histogram.order.tolist()) == min(matching for matching, n in found.items() if n == most)
    assert histogram.share.item() == pytest.approx(most / sum(found.values()))
    assert histogram.counts.sum() == 0


@settings(max_examples=60)
@given(matchings=matchings_of_three)
def test_edges_choose_the_matching_of_the_most_pairs(matchings):
    histogram = MatchHistogram(3, "edges")
    histogram.add(torch.tensor(matchings))
    edges = np.zeros((3, 3))
    for matching in matchings:
        for p, q in enumerate(matching):
            edges[p, q] += 1
    assert np.array_equal(histogram.counts.numpy(), edges)
    rows, columns = linear_sum_assignment(edges, maximize=True)
    histogram.close_epoch()
    assert total(edges, histogram.order.tolist()) == edges[rows, columns].sum()
    assert histogram.share.item() == pytest.approx(edges[rows, columns].sum() / edges.sum())


def test_votes_for_pairs_may_outvote_every_whole_matching():
    """Why the two are told apart: nobody votes for the matching that has the most pairs."""
    votes = torch.tensor([[1, 0, 2, 3], [1, 0, 2, 3], [0, 1, 3, 2], [0, 1, 3, 2], [0, 2, 1, 3]])
    whole, pairs = MatchHistogram(4), MatchHistogram(4, "edges")
    for histogram in (whole, pairs):
        histogram.add(votes)
        histogram.close_epoch()
    assert whole.order.tolist() == [0, 1, 3, 2]
    assert pairs.order.tolist() == [0, 1, 2, 3]


def test_many_parts_are_counted_by_pairs():
    histogram = MatchHistogram(ENUMERATED + 1)
    assert histogram.counts.shape == (ENUMERATED + 1, ENUMERATED + 1)
    wanted = torch.arange(ENUMERATED + 1).flip(0)
    histogram.add(wanted[None])
    histogram.close_epoch()
    assert torch.equal(histogram.order, wanted)


def test_an_epoch_without_matchings_changes_nothing():
    histogram = MatchHistogram(3)
    histogram.add(torch.tensor([[2, 1, 0]]))
    histogram.close_epoch()
    histogram.close_epoch()
    assert histogram.order.tolist() == [2, 1, 0] and histogram.share == 1


def test_counts_travel_with_the_state():
    histogram, copy = MatchHistogram(3), MatchHistogram(3)
    histogram.add(torch.tensor([[2, 1, 0], [0, 1, 2]]))
    copy.load_state_dict(histogram.state_dict())
    for each in (histogram, copy):
        each.add(torch.tensor([[2, 1, 0]]))
        each.close_epoch()
    assert copy.order.tolist() == histogram.order.tolist() == [2, 1, 0]
