"""How many matches among how many images, from the outcomes alone, against the galleries that were drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.evaluation.made import evaluate, regdb, sysu
from vibench.evaluation.draws import Trial, draw_trials
from vibench.evaluation.features import Features
from vibench.evaluation.images import Images
from vibench.protocols import Protocol, load_protocol
from vibench.records.chance import expected_scores, reach

LLCM = [
    f"test_{kind}/cam{camera}/{pid:04d}/{number:04d}.jpg"
    for kind, cameras in (("vis", (1, 2, 3, 5)), ("nir", (1, 2, 4, 5)))
    for camera in cameras
    for pid in range(1, 7)
    if (pid + camera) % 4
    for number in range(1, 4)
]


def noise(names: list[str], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((len(names), 16)).astype(np.float32)


CASES = {
    "sysu-all": sysu,
    "sysu-all-multi": sysu,
    "sysu-indoor": sysu,
    "sysu-indoor-multi": sysu,
    "regdb-v2t": regdb,
    "llcm-v2i": lambda: Features(noise(LLCM), tuple(LLCM)),
    "llcm-i2v": lambda: Features(noise(LLCM), tuple(LLCM)),
}


def images_of(features: Features, dataset: str) -> Images:
    from vibench.datasets.registry import get_dataset

    names = list(features.paths or ())
    index = get_dataset(dataset).index_from_names(names)
    return Images(
        index["pid"].to_numpy(np.int64),
        index["camera"].to_numpy(np.int64),
        np.array(index["modality"].tolist(), dtype=np.str_),
        np.array(names, dtype=np.str_),
    )


def counted(protocol: Protocol, trial: Trial, images: Images) -> tuple[list[int], list[int]]:
    """Matches and images of every query, image by image."""
    matches, total = [], []
    for query in trial.query.tolist():
        seen = []
        for other in trial.gallery.tolist():
            same = images.pids[other] == images.pids[query]
            pair = (int(images.cameras[query]), int(images.cameras[other]))
            if not (pair in protocol.skip.cameras and (protocol.skip.identities == "any" or same)):
                seen.append(bool(same))
        matches.append(sum(seen))
        total.append(len(seen))
    return matches, total


@pytest.mark.parametrize("name", CASES)
def test_reach_equals_what_was_drawn(name: str) -> None:
    protocol, features = load_protocol(name), CASES[name]()
    images = images_of(features, protocol.dataset)
    dataset = "llcm" if protocol.dataset == "llcm" else f"{protocol.dataset}-twin"
    (evaluation,) = evaluate(features, name, dataset=dataset)
    trials = draw_trials(protocol, images, evaluation.draw)
    assert len(trials) >= len(evaluation.trials)
    for trial, score, outcome in zip(trials, evaluation.trials, evaluation.per_query, strict=False):
        matches, total = (np.array(found) for found in counted(protocol, trial, images))
        found_matches, found_total = reach(protocol, score, outcome)
        np.testing.assert_array_equal(found_matches, matches)
        np.testing.assert_array_equal(found_total[matches > 0], total[matches > 0])
        assert name.startswith("regdb") or 0 < matches.max() < total.max()


def test_features_without_a_signal_score_by_chance() -> None:
    """Twelve sets of noise under the protocol whose queries skip a camera."""
    protocol, names = load_protocol("sysu-all"), list(sysu().paths or ())
    differences: dict[str, list[float]] = {"map": [], "r1": []}
    for seed in range(12):
        (evaluation,) = evaluate(Features(noise(names, seed), tuple(names)), "sysu-all")
        for score, outcome in zip(evaluation.trials, evaluation.per_query, strict=True):
            expected = expected_scores(protocol, score, outcome)
            differences["map"].append(float(np.nanmean(outcome.ap - expected["map"])))
            differences["r1"].append(score.r1 - float(np.nanmean(expected["r1"])))
    for found in differences.values():
        # Trials of one set share their queries: no better than one draw a set.
        of_sets = np.reshape(found, (12, -1)).mean(axis=1)
        assert abs(of_sets.mean()) < 3.5 * of_sets.std(ddof=1) / np.sqrt(12)
        assert abs(of_sets.mean()) < 0.02


def test_older_records_count_equal_shares() -> None:
    (evaluation,) = evaluate(sysu(), "sysu-all")
    score = evaluation.trials[0]
    old = replace(evaluation.per_query[0], gallery_camera=None, camera_ap=None, camera_first_hit=None)
    for protocol in (load_protocol("sysu-all"), None):
        matches, images = reach(protocol, score, old)
        valid = old.first_hit > 0
        assert (images == score.gallery).all() and (matches[~valid] == 0).all()
        assert set(matches[valid]) == {score.gallery / len(np.unique(old.pid[valid]))}
