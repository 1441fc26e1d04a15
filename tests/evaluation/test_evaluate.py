"""Evaluation as a whole, on small twins' names: rules between its arguments, notes, completeness, method distances."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from vibench.datasets.permutations import Permutations
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.errors import UsageError, VibenchError
from vibench.evaluation import evaluate as evaluation
from vibench.evaluation.distances import DistanceFunction, both_ways
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.evaluation.rerank import k_reciprocal_distances
from vibench.evaluation.result import METRICS, Evaluation
from vibench.protocols import load_protocol

TWIN = "sysu-mm01-twin"


def features_of(names: list[str], seed: int = 0, **changes: Any) -> Features:
    """Random features with an identity signal."""
    generator = np.random.default_rng(seed)
    pids = np.array([int(name.split("/")[1]) for name in names])
    centres = generator.standard_normal((pids.max() + 1, 16))
    values = (centres[pids] + 1.5 * generator.standard_normal((len(names), 16))).astype(np.float32)
    return Features(values, tuple(names), **changes)


def sysu(seed: int = 0, pids: int = 9, images: int = 10) -> Features:
    """Identity 2 has no visible image, identity 3 none indoors."""
    names = [
        f"cam{camera}/{pid:04d}/{number:04d}.jpg"
        for camera in range(1, 7)
        for pid in range(1, pids + 1)
        if not (pid == 2 and camera not in (3, 6)) and not (pid == 3 and camera in (1, 2))
        for number in range(1, images + 1)
    ]
    return features_of(names, seed)


def regdb(seed: int = 0) -> Features:
    return features_of(
        [f"{kind}/{pid}/{k}.bmp" for kind in ("Visible", "Thermal") for pid in range(1, 7) for k in "ab"]
    )


def evaluate(features: Any, *names: str, dataset: str | None = TWIN, **options: Any) -> list[Evaluation]:
    return evaluate_features(features, [load_protocol(name) for name in names], dataset=dataset, **options)


def assert_same_scores(one: Evaluation, other: Evaluation, tolerance: float = 0.0) -> None:
    for a, b in zip(one.trials, other.trials, strict=True):
        for metric in METRICS:
            assert getattr(a, metric) == pytest.approx(getattr(b, metric), rel=0, abs=tolerance)


def test_one_evaluation_per_protocol_and_its_sums() -> None:
    everything = evaluate(sysu(), "sysu-all", "sysu-indoor-multi", "sysu-all-multi", "sysu-indoor")
    assert [found.protocol for found in everything] == [
        "sysu-all",
        "sysu-indoor-multi",
        "sysu-all-multi",
        "sysu-indoor",
    ]
    for found in everything:
        assert found.dataset == TWIN and found.draw == "seeded" and not found.complete
        assert [score.trial for score in found.trials] == list(range(10))
        for metric in METRICS:
            values = [getattr(score, metric) for score in found.trials]
            assert found.mean[metric] == pytest.approx(np.mean(values)) and 0 <= found.mean[metric] <= 1
            assert found.std[metric] == pytest.approx(np.std(values))
        for score, per_query in zip(found.trials, found.per_query, strict=True):
            assert score.r1 <= score.r5 <= score.r10 <= score.r20
            assert score.map == pytest.approx(np.nanmean(per_query.ap))
            assert score.r5 == pytest.approx(np.mean(per_query.first_hit[per_query.first_hit > 0] <= 5))
            assert len(per_query.pid) == len(per_query.camera) == score.queries == 180
        assert len(found.cmc) == min(50, found.trials[0].gallery)
        assert (found.cmc[0], found.cmc[19 if len(found.cmc) > 19 else -1]) == pytest.approx(
            (found.mean["r1"], found.mean["r20"])
        )


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


def test_both_directions_at_once_equal_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    first = regdb()
    first = replace(first, features=np.round(first.features))
    first.features[[3, 7]], first.features[[14, 20]] = first.features[0], first.features[17]
    products = []
    monkeypatch.setattr(evaluation, "both_ways", lambda *sides: products.append(sides) or both_ways(*sides))
    names = ("regdb-v2t", "regdb-t2v")
    for distance in ("cosine", "euclidean"):
        options = {"dataset": "regdb-twin", "distance": distance}
        together = evaluate({1: first, 5: regdb(1)}, *names, **options)
        assert len(products) == 2
        for found, name in zip(together, names, strict=True):
            (alone,) = evaluate({1: first, 5: regdb(1)}, name, **options)
            assert_same_scores(found, alone, 1e-12)
        in_chunks = evaluate({1: first, 5: regdb(1)}, *names, chunk_bytes=8 * 12 * 12 - 1, **options)
        for found, chunked in zip(together, in_chunks, strict=True):
            assert_same_scores(found, chunked, 1e-12)
        assert len(products) == 2
        products.clear()


def test_invalid_queries_are_counted_and_left_out() -> None:
    both = evaluate(sysu(), "sysu-all", "sysu-indoor")
    assert [found.trials[0].valid_queries for found in both] == [160, 140]
    assert both[0].notes == ("20 of 180 queries have no reachable match",)
    assert both[1].notes == ("40 of 180 queries have no reachable match",)
    per_query = both[0].per_query[0]
    nobody = per_query.pid == 2
    assert (per_query.first_hit[nobody] == 0).all() and np.isnan(per_query.ap[nobody]).all()
    assert not np.isnan(per_query.ap[~nobody]).any()


def test_row_order_is_irrelevant() -> None:
    features = sysu()
    order = np.random.default_rng(1).permutation(len(features.features))
    assert features.paths is not None
    shuffled = Features(features.features[order], tuple(np.array(features.paths)[order].tolist()))
    (one,), (other,) = evaluate(features, "sysu-all-multi"), evaluate(shuffled, "sysu-all-multi")
    assert_same_scores(one, other, 1e-12)
    assert one.trials[3].gallery_sha256 == other.trials[3].gallery_sha256
    np.testing.assert_array_equal(one.per_query[3].first_hit, other.per_query[3].first_hit)


def test_collapsed_features_rank_by_gallery_order() -> None:
    """All images alike: identity 1 comes first, then 3, 4, ... in the order of the seeded gallery."""
    features = sysu()
    (found,) = evaluate(replace(features, features=np.ones((len(features.features), 7), "f4")), "sysu-all")
    for per_query in found.per_query:
        place = np.where(per_query.pid == 1, 1, per_query.pid - 1)
        valid = per_query.pid != 2
        np.testing.assert_array_equal(per_query.first_hit[valid], place[valid])


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


def test_regdb_splits_are_averaged() -> None:
    first, second = regdb(0), replace(regdb(), features=regdb().features[::-1].copy())
    (one,), (two,) = (evaluate({k: f}, "regdb-v2t", dataset="regdb-twin") for k, f in ((1, first), (4, second)))
    (both,) = evaluate({4: second, 1: first}, "regdb-v2t", dataset="regdb-twin")
    assert [score.trial for score in both.trials] == [1, 4] and both.draw == "none"
    assert both.mean["map"] == pytest.approx((one.mean["map"] + two.mean["map"]) / 2)
    labelled = replace(first, meta={"dataset": "regdb-twin", "dataset_version": "tiny-s0-r1", "trial": 3})
    (found,) = evaluate(labelled, "regdb-t2v", dataset=None)
    assert (found.trials[0].trial, found.dataset) == (3, "regdb-twin")
    assert found.fingerprint != load_protocol("regdb-t2v").fingerprint("regdb-twin", "none")


def test_labels_instead_of_names() -> None:
    named = regdb()
    pids = np.array([int(name.split("/")[1]) for name in named.paths or ()])
    modalities = np.repeat(["visible", "infrared"], len(pids) // 2)
    labelled = Features(named.features, None, pids, np.where(modalities == "visible", 1, 2), modalities)
    (one,) = evaluate(named, "regdb-v2t", dataset="regdb-twin")
    (other,) = evaluate(labelled, "regdb-v2t", dataset="regdb-twin")
    assert_same_scores(one, other)
    assert other.trials[0].gallery_sha256 == ""


def real_names() -> list[str]:
    test = sysu_skeleton().query("split == 'test'")
    rows = zip(test["camera"], test["pid"], test["images"], strict=True)
    return [f"cam{c}/{pid:04d}/{k:04d}.jpg" for c, pid, count in rows for k in range(1, count + 1)]


def test_real_data_must_be_complete() -> None:
    names = real_names()
    (whole,) = evaluate(features_of(names), "sysu-indoor", dataset=None)
    assert whole.complete and whole.dataset == "sysu-mm01" and whole.trials[0].valid_queries == 2208
    names.remove("cam3/0006/0003.jpg")
    with pytest.raises(UsageError, match=r"1 of the 10578 test images of sysu-mm01 are missing \(cam3/0006/0003.jpg\)"):
        evaluate(features_of(names), "sysu-indoor", dataset=None)
    (part,) = evaluate(features_of(names), "sysu-indoor", dataset=None, allow_incomplete=True)
    assert not part.complete and "cam3/0006/0003.jpg" in part.notes[0]
    with pytest.raises(UsageError, match=r"1 of the 10578 test images of sysu-mm01 belong to no test image"):
        evaluate(features_of([*real_names(), "cam1/0001/0001.jpg"]), "sysu-indoor", dataset=None)
    with pytest.raises(UsageError, match="trial 1 of protocol regdb-v2t has 12 queries, the complete data set 2060"):
        evaluate(regdb(), "regdb-v2t", dataset=None)


def without(features: Features, name: str) -> Features:
    assert features.paths is not None
    keep = np.array([path != name for path in features.paths])
    return Features(features.features[keep], tuple(path for path in features.paths if path != name))


CASES: list[tuple[Callable[[], Any], str]] = [
    (lambda: evaluate(without(sysu(), "cam1/0004/0002.jpg"), "sysu-all"), r"are missing \(cam1/0004/0002.jpg\)"),
    (lambda: evaluate(sysu(), "regdb-v2t"), "protocol regdb-v2t is for regdb, but the features are of sysu-mm01-twin"),
    (lambda: evaluate({1: sysu(), 2: sysu()}, "sysu-all"), "takes the features of one split, not 2"),
    (lambda: evaluate({11: regdb()}, "regdb-v2t", dataset="regdb-twin"), "no split 11; it has splits 1 to 10"),
    (lambda: evaluate({}, "sysu-all"), "no features"),
    (lambda: evaluate(replace(sysu(), features=sysu().features * np.inf), "sysu-all"), "features: .* NaN or infinite"),
    (lambda: evaluate(sysu()), "no protocol"),
    (lambda: evaluate(sysu(), "sysu-all", dataset="sysu-mm02"), "sysu-mm02"),
    (lambda: evaluate(sysu(), "sysu-all", draw="sampled"), "has no draw 'sampled'"),
    (lambda: evaluate(sysu(), "sysu-all", draw="official"), "needs the permutations"),
    (lambda: evaluate(sysu(), "sysu-all", distance="cosin"), r"unknown distance 'cosin' \(did you mean 'cosine'"),
    (lambda: evaluate(sysu(), "sysu-all", rerank="k-reciprocal", distance="euclidean"), "starts from cosine"),
    (lambda: evaluate(sysu(), "sysu-all", rerank="k-reciprocal", query_mode="single"), "--query-mode single forbids"),
    (
        lambda: evaluate(features_of(["cam1/0001/0001.jpg", "cam3/0002/0001.jpg"]), "sysu-all"),
        "no query has a reachable",
    ),
    (lambda: evaluate(features_of(["cam1/0001/0001.png", "cam3/0001/0001.jpg"]), "sysu-all"), "cam1/0001/0001.png"),
    (lambda: evaluate(features_of(["cam1/0001/0001.jpg"]), "sysu-all"), "no infrared image of camera 3, 6"),
]


@pytest.mark.parametrize(("attempt", "message"), CASES, ids=[message[:40] for _, message in CASES])
def test_refusals(attempt: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        attempt()


def test_exchanged_modalities_of_features_are_refused() -> None:
    """Labels are checked against cameras, and against names where there are any."""
    pids, cameras = np.repeat(np.arange(4), 2), np.tile([1, 2], 4)
    values = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
    right = np.where(cameras == 1, "visible", "infrared")
    wrong = np.where(cameras == 2, "visible", "infrared")
    protocol = load_protocol("regdb-v2t")
    evaluate_features(Features(values, None, pids, cameras, right), [protocol], allow_incomplete=True)
    for modalities, count in ((wrong, 8), (np.where(np.arange(8) == 3, "visible", right), 1)):
        with pytest.raises(UsageError, match=rf"says \w+ for {count} of 8 images that are .* have the two modalities"):
            evaluate_features(Features(values, None, pids, cameras, modalities), [protocol], allow_incomplete=True)
    names = tuple(f"{folder}/{pid}/a.bmp" for pid in range(4) for folder in ("Visible", "Thermal"))
    with pytest.raises(UsageError, match=r"the first is Visible/0/a\.bmp"):
        evaluate_features(Features(values, names, modalities=wrong), [protocol], allow_incomplete=True)
