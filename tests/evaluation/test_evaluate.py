"""Evaluation as a whole, on small twins' names: sums, splits, notes, completeness, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.evaluation.made import TWIN, assert_same_scores, evaluate, features_of, regdb, sysu
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.errors import UsageError
from vibench.evaluation.evaluate import evaluate_features
from vibench.evaluation.features import Features
from vibench.evaluation.result import METRICS
from vibench.protocols import load_protocol


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
