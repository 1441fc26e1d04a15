"""Ranking by attribute codes alone: distance, fair and reproducible ties, and the figures of the real labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vibench.data.attribute_sources import read_source
from vibench.datasets.registry import get_dataset
from vibench.datasets.testing import images_of_tests
from vibench.evaluation.evaluate import evaluate_features
from vibench.protocols import load_protocol
from vibench.scoring.attributes_only import attribute_features, hamming_distances, tie_breakers

MASK = (1 << 64) - 1


def splitmix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK
    return value ^ (value >> 31)


def test_distances_are_differing_bits_and_a_tie_breaker():
    random = np.random.default_rng(0)
    paths = [f"cam1/{pid:04d}/0001.jpg" for pid in random.permutation(40)]
    bits = random.integers(0, 2, (40, 8))
    rows = torch.from_numpy(attribute_features(paths, bits).features)
    distances = hamming_distances(seed=3).function(rows[:5], rows, "all").numpy()
    assert distances.dtype == np.float64
    expected = (bits[:5, None] != bits[None]).sum(axis=2)
    np.testing.assert_array_equal(np.floor(distances), expected)
    place = {path: at for at, path in enumerate(sorted(paths))}
    for query in range(5):
        for answer in range(40):
            pair = (place[paths[query]] << 32) | place[paths[answer]]
            number = (splitmix(pair ^ splitmix(3)) >> 11) * 2.0**-53
            assert distances[query, answer] - expected[query, answer] == pytest.approx(number, abs=1e-14)


def test_tie_breakers_look_uniform_and_follow_the_seed():
    places = torch.arange(300)
    numbers = tie_breakers(places, places, seed=0)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert numbers.mean().item() == pytest.approx(0.5, abs=0.005)
    assert numbers.var().item() == pytest.approx(1 / 12, abs=0.002)
    off_diagonal = ~torch.eye(300, dtype=torch.bool)
    neighbours = (
        (numbers[1:], numbers[:-1]),
        (numbers[:, 1:], numbers[:, :-1]),
        (numbers[off_diagonal], numbers.T[off_diagonal]),
    )
    for one, other in neighbours:
        assert abs(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1].item()) < 0.02
    assert (tie_breakers(places, places, seed=1) != numbers).all()
    assert torch.equal(tie_breakers(places[5:7], places[:9], seed=0), numbers[5:7, :9])


def test_the_order_of_the_rows_does_not_matter():
    random = np.random.default_rng(0)
    names = [f"cam{camera}/{pid:04d}/{at:04d}.jpg" for camera in (1, 3) for pid in range(1, 9) for at in (1, 2)]
    bits = random.integers(0, 2, (len(names), 8))
    shuffled = random.permutation(len(names))
    meta = {"dataset": "sysu-mm01-twin"}
    scores = [
        evaluate_features(
            attribute_features([names[row] for row in rows], bits[rows], meta),
            [load_protocol("sysu-all")],
            distances=hamming_distances(),
            allow_incomplete=True,
            chunk_bytes=chunk,
        )[0].mean
        for rows, chunk in ((np.arange(len(names)), 1), (shuffled, 1 << 20))
    ]
    assert scores[0] == scores[1]


def test_the_figures_of_the_real_labels(shared, tmp_path):
    """What the labels of SYSU-MM01 give away; one draw of the ties for all queries alike scatters by 1 in rank-1."""
    dataset = get_dataset("sysu-mm01")
    (index,) = images_of_tests(dataset, tmp_path / "no-copy").values()
    table = read_source(str(shared / "attributes" / "sysu_attribute"), dataset, tmp_path, index)
    bits, known = table.lookup(index["pid"], index["camera"])
    assert known.all()
    features = attribute_features(tuple(index["path"]), bits, {"dataset": "sysu-mm01"})
    names = ("sysu-all", "sysu-indoor", "sysu-all-multi", "sysu-indoor-multi")
    evaluations = evaluate_features(features, [load_protocol(name) for name in names], distances=hamming_distances())
    measured = {found.protocol: found.mean for found in evaluations}
    assert all(found.complete for found in evaluations)
    expected = {"sysu-all": (28.7, 88.5, 95.9, 39.5), "sysu-indoor": (37.7, 92.6, 99.9, 52.8)}
    for name, figures in expected.items():
        for metric, figure, scatter in zip(("r1", "r10", "r20", "map"), figures, (1.6, 0.8, 0.4, 0.6), strict=True):
            assert 100 * measured[name][metric] == pytest.approx(figure, abs=scatter), (name, metric)
    assert 100 * measured["sysu-all-multi"]["map"] == pytest.approx(32.2, abs=0.3)
    assert 100 * measured["sysu-indoor-multi"]["map"] == pytest.approx(41.5, abs=0.3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_breaks_ties_alike():
    places = torch.arange(100)
    assert torch.equal(tie_breakers(places, places, 7), tie_breakers(places.cuda(), places.cuda(), 7).cpu())
