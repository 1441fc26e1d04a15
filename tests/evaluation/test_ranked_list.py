"""Ranked lists are those that the evaluation counts: skip rule, ties, own distances."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.evaluation.made import TWIN, regdb, sysu
from vibench.datasets.registry import get_dataset
from vibench.evaluation.distances import DistanceFunction
from vibench.evaluation.draws import draw_trials
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.evaluation.images import identify
from vibench.evaluation.ranked_list import RankedList, evaluated_queries, ranked_lists
from vibench.evaluation.scorer import Settings
from vibench.protocols import load_protocol


def lists_of(
    features: Features, name: str, number: int = 0, dataset: str = TWIN, **options: Any
) -> tuple[list[RankedList], np.ndarray, np.ndarray]:
    """Lists of all queries of one trial, and the AP and first hits that the evaluation finds for them."""
    protocol, settings = load_protocol(name), Settings(**options)
    images = identify(features, get_dataset(dataset))
    trial = draw_trials(protocol, images, protocol.draws[0])[number]
    found = ranked_lists(protocol, trial, evaluated_queries(trial, images, settings), features, images, settings)
    (evaluation,) = evaluate_features(
        features,
        [protocol],
        dataset=dataset,
        distance=settings.distance,
        distances=settings.own,
        query_mode=settings.query_mode,
        rerank=settings.rerank,
    )
    return found, evaluation.per_query[number].ap, evaluation.per_query[number].first_hit


def tied() -> Features:
    """Features of few values, so that most images tie."""
    features = sysu()
    return Features(np.sign(features.features[:, :2]) + 0.0, features.paths)


@pytest.mark.parametrize("make", [sysu, tied])
@pytest.mark.parametrize("name", ["sysu-all", "sysu-indoor-multi"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_every_query_has_the_average_precision_of_the_evaluation(make: Any, name: str, distance: str) -> None:
    found, ap, first_hit = lists_of(make(), name, number=3, distance=distance)
    np.testing.assert_allclose([one.average_precision for one in found], ap, atol=1e-12)
    for one, hit in zip(found, first_hit, strict=True):
        assert (np.diff(one.distances) >= 0).all()
        assert one.matches.any() == (hit > 0)


def test_the_skip_rule_takes_images_out_and_leaves_their_places() -> None:
    features = sysu()
    images = identify(features, get_dataset(TWIN))
    found, _, _ = lists_of(features, "sysu-all")
    for one in found:
        camera = images.cameras[one.query]
        expected = (images.cameras[one.gallery] == 2) & (camera == 3)
        np.testing.assert_array_equal(one.skipped, expected)
        assert (one.ranks[one.skipped] == 0).all()
        np.testing.assert_array_equal(one.ranks[~one.skipped], np.arange(1, (~expected).sum() + 1))
        assert not (one.matches & one.skipped).any()
    assert any(one.skipped.any() and (one.skipped & one.same_identity).any() for one in found)


def test_distances_are_those_of_the_features() -> None:
    features = regdb()
    for distance in ("cosine", "euclidean"):
        found, ap, _ = lists_of(features, "regdb-v2t", dataset="regdb-twin", distance=distance)
        np.testing.assert_allclose([one.average_precision for one in found], ap, atol=1e-12)
        query, gallery = features.features[found[0].query], features.features[found[0].gallery].astype(np.float64)
        if distance == "cosine":
            expected = 1 - gallery @ query / np.linalg.norm(gallery, axis=1) / np.linalg.norm(query.astype(np.float64))
        else:
            expected = np.linalg.norm(gallery - query, axis=1)
        np.testing.assert_allclose(found[0].distances, expected, atol=1e-6)


@pytest.mark.parametrize("pairwise", [True, False])
def test_a_method_ranks_by_its_own_distance(pairwise: bool) -> None:
    def far(query: torch.Tensor, gallery: torch.Tensor, query_mode: str) -> torch.Tensor:
        # Depends on the other queries unless pairwise.
        centre = torch.zeros_like(query[:1]) if pairwise else query.mean(dim=0, keepdim=True)
        return -torch.cdist((query - centre).double(), gallery.double())

    features = sysu()
    found, ap, _ = lists_of(features, "sysu-all", own=DistanceFunction(far, pairwise=pairwise))
    np.testing.assert_allclose([one.average_precision for one in found], ap, atol=1e-12)
    values = torch.from_numpy(features.features)
    expected = far(values[[one.query for one in found]], values[found[0].gallery], "all")
    np.testing.assert_allclose(found[0].distances, expected[0], atol=1e-5)


def test_a_re_ranked_list_has_the_distances_of_re_ranking() -> None:
    found, ap, _ = lists_of(sysu(), "sysu-all", rerank="k-reciprocal")
    np.testing.assert_allclose([one.average_precision for one in found], ap, atol=1e-12)
    assert all(one.distances.min() >= 0 and one.distances.max() <= 1 + 1e-9 for one in found)
