"""Protocols, draws and directions that share their work score as each alone."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.evaluation.made import assert_same_scores, evaluate, regdb, sysu
from vibench.datasets.permutations import Permutations
from vibench.evaluation.distances import DistanceFunction
from vibench.evaluation.features import Features
from vibench.evaluation.shared_ranking import shares_of


def test_shared_ranking_equals_ranking_alone() -> None:
    names = ("sysu-all", "sysu-all-multi", "sysu-indoor", "sysu-indoor-multi")
    for together, name in zip(evaluate(sysu(), *names), names, strict=True):
        (alone,) = evaluate(sysu(), name)
        assert_same_scores(together, alone)
        (chunked,) = evaluate(sysu(), name, chunk_bytes=1)
        assert_same_scores(together, chunked)


def permutations(features: Features) -> Permutations:
    """Official draws of the features' folders, made up."""
    generator = np.random.default_rng(7)
    folders = Counter(tuple(re.findall(r"\d+", path)[:2]) for path in features.paths or ())
    return Permutations(
        {
            (int(camera), int(pid)): np.array([generator.permutation(count) + 1 for _ in range(10)])
            for (camera, pid), count in folders.items()
        }
    )


@pytest.mark.parametrize("rounded", [False, True])
def test_both_draws_at_once_equal_each_alone(rounded: bool) -> None:
    """Their galleries are in different orders, which decides where scores tie: in small integers nearly everywhere."""
    features = sysu()
    if rounded:
        features = replace(features, features=np.round(features.features[:, :3]))
    names, perm = ("sysu-all", "sysu-indoor-multi"), permutations(features)
    options = {"distance": "euclidean", "permutations": perm}
    together = evaluate(features, *names, draw=("official", "seeded", "official"), **options)
    assert [(found.protocol, found.draw) for found in together] == [
        (name, draw) for name in names for draw in ("official", "seeded")
    ]
    for found in together:
        (alone,) = evaluate(features, found.protocol, draw=found.draw, **options)
        assert_same_scores(found, alone)
        assert (found.fingerprint, found.trials) == (alone.fingerprint, alone.trials)
    if rounded:
        # Ties in the wrong order would have been noticed.
        (other,) = evaluate(features, "sysu-all", draw="official", **options | {"distances": _reversed_ties()})
        assert other.trials != together[0].trials


def _reversed_ties() -> DistanceFunction:
    def distances(query: Tensor, gallery: Tensor, query_mode: str) -> Tensor:
        squared = (query.double()[:, None] - gallery.double()[None]).square().sum(dim=2)
        return squared - 1e-6 * torch.arange(len(gallery))

    return DistanceFunction(distances)


def test_both_directions_at_once_equal_each_alone() -> None:
    first = regdb()
    first = replace(first, features=np.round(first.features))
    first.features[[3, 7]], first.features[[14, 20]] = first.features[0], first.features[17]
    names = ("regdb-v2t", "regdb-t2v")
    for distance in ("cosine", "euclidean"):
        options = {"dataset": "regdb-twin", "distance": distance}
        for found, name in zip(evaluate({1: first, 5: regdb(1)}, *names, **options), names, strict=True):
            (alone,) = evaluate({1: first, 5: regdb(1)}, name, **options)
            assert_same_scores(found, alone)
            (chunked,) = evaluate({1: first, 5: regdb(1)}, name, chunk_bytes=1, **options)
            assert_same_scores(found, chunked)


@given(st.integers(0, 100), st.integers(1, 9))
def test_processes_share_the_queries_evenly_and_each_has_one(count: int, size: int) -> None:
    taken = [range(count)[share] for share in shares_of(count, size)]
    assert [row for share in taken for row in share] == list(range(count))
    assert max(map(len, taken)) - min(map(len, taken)) <= 1
