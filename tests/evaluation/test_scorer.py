"""Scores by a method's own distance and by re-ranking."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.evaluation.made import assert_same_scores, evaluate, regdb, sysu
from vibench.errors import VibenchError
from vibench.evaluation.distances import DistanceFunction
from vibench.evaluation.rerank import k_reciprocal_distances


def test_method_distances() -> None:
    def euclidean(query: Tensor, gallery: Tensor, query_mode: str) -> Tensor:
        assert query_mode == "single"
        return torch.cdist(query.double(), gallery.double())

    (own,) = evaluate(sysu(), "sysu-all-multi", distances=DistanceFunction(euclidean), query_mode="single")
    (own_per_trial,) = evaluate(
        sysu(), "sysu-all-multi", distances=DistanceFunction(euclidean, pairwise=False), query_mode="single"
    )
    (plain,) = evaluate(sysu(), "sysu-all-multi", distance="euclidean")
    assert_same_scores(own, plain, 1e-12)
    assert_same_scores(own_per_trial, plain, 1e-12)
    assert (own.distance, own.query_mode, plain.distance) == ("method", "single", "euclidean")


def test_a_distance_may_ask_which_pairs_are_skipped() -> None:
    """Camera 3 stands in the room of camera 2; a distance that puts these pairs first changes no ranking."""
    seen = []

    def euclidean(query: Tensor, gallery: Tensor, query_mode: str, skipped: Tensor) -> Tensor:
        seen.append(skipped)
        return torch.cdist(query.double(), gallery.double()).masked_fill(skipped, 0.0)

    asking = DistanceFunction(euclidean, pairwise=False, takes_skipped=True, name="asking")
    (own,) = evaluate(sysu(), "sysu-all-multi", distances=asking)
    (plain,) = evaluate(sysu(), "sysu-all-multi", distance="euclidean")
    assert_same_scores(own, plain, 1e-12)
    assert own.distance == "asking"
    # Queries by identity and camera, 9 x (3, 6) x 10; galleries by identity and camera, 7 or 8 x 4 cameras x 10.
    cameras = np.tile(np.repeat([3, 6], 10), 9)
    assert len(seen) == 10
    for skipped in seen:
        rows = skipped.numpy().sum(axis=1)
        assert (rows[cameras == 6] == 0).all() and (rows[cameras == 3] == 70).all()


def test_every_split_has_a_distance_of_its_own() -> None:
    def scaled(factor: float) -> DistanceFunction:
        def distance(query: Tensor, gallery: Tensor, query_mode: str) -> Tensor:
            return factor * torch.cdist(query.double(), gallery.double())

        return DistanceFunction(distance)

    splits = {1: regdb(0), 4: regdb(1)}
    (own,) = evaluate(splits, "regdb-v2t", dataset="regdb-twin", distances={1: scaled(1.0), 4: scaled(-1.0)})
    (near,) = evaluate(splits, "regdb-v2t", dataset="regdb-twin", distances=scaled(1.0))
    (far,) = evaluate(splits, "regdb-v2t", dataset="regdb-twin", distances=scaled(-1.0))
    assert own.trials == (near.trials[0], far.trials[1]) and near.trials[1] != far.trials[1]


def test_distances_that_are_no_numbers() -> None:
    broken = DistanceFunction(lambda query, gallery, mode: torch.full((len(query), len(gallery)), torch.nan))
    with pytest.raises(VibenchError, match="distances hold NaN"):
        evaluate(sysu(), "sysu-all", distances=broken)


def test_rerank() -> None:
    (plain,), (reranked,) = evaluate(sysu(), "sysu-all"), evaluate(sysu(), "sysu-all", rerank="k-reciprocal")
    by_hand = DistanceFunction(lambda query, gallery, mode: k_reciprocal_distances(query, gallery), pairwise=False)
    (expected,) = evaluate(sysu(), "sysu-all", distances=by_hand)
    assert_same_scores(reranked, expected)
    assert reranked.rerank == "k-reciprocal" and reranked.mean["map"] != plain.mean["map"]
