"""The shared losses against loops written from their definitions, and against the official code's values."""

import importlib.util
import json
import math
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vibench.losses import (
    centre_cluster,
    hard_triplet,
    identity_loss,
    squared_difference_triplet,
    weighted_regularised_triplet,
)
from vibench.losses.distance import euclidean_distances

LOSSES = {
    "hard": hard_triplet,
    "wrt": weighted_regularised_triplet,
    "wrt-clean": lambda x, y: weighted_regularised_triplet(x, y, form="clean"),
    "wrt-normalised": lambda x, y: weighted_regularised_triplet(x, y, normalise=True),
    "squared": squared_difference_triplet,
    "squared-clean": lambda x, y: squared_difference_triplet(x, y, form="clean"),
    "centre-cluster": lambda x, y: centre_cluster(x, y, margin=3.0),
}


def random_batch(seed: int, identities: int = 3, images: int = 4, dim: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(identities).repeat_interleave(images)
    centres = torch.randn(identities, dim, generator=generator, dtype=torch.float64)
    noise = torch.randn(len(labels), dim, generator=generator, dtype=torch.float64)
    return centres[labels] + noise, labels


def loop_distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return math.sqrt(max(sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True)), 1e-12))


def loop_hard_triplet(embeddings, labels, margin=0.3):
    terms = []
    for a in range(len(labels)):
        positives = [loop_distance(embeddings[a], embeddings[j]) for j in range(len(labels)) if labels[j] == labels[a]]
        negatives = [loop_distance(embeddings[a], embeddings[j]) for j in range(len(labels)) if labels[j] != labels[a]]
        terms.append(max(0.0, margin + max(positives) - min(negatives)))
    return sum(terms) / len(terms)


def loop_weighted_triplet(embeddings, labels, normalise=False, clean=False, alpha=1.0, gamma=1.0, square=False):
    rows = [row / row.norm() if normalise else row for row in embeddings]
    epsilon = 0.0 if clean else 1e-6
    terms = []
    for a in range(len(labels)):
        positives = [loop_distance(rows[a], rows[j]) for j in range(len(labels)) if labels[j] == labels[a]]
        negatives = [loop_distance(rows[a], rows[j]) for j in range(len(labels)) if labels[j] != labels[a]]
        up = [math.exp(alpha * (d - max(positives))) for d in positives]
        down = [math.exp(-alpha * d) for d in negatives]
        furthest = sum(w * d for w, d in zip(up, positives, strict=True)) / (sum(up) + epsilon)
        closest = sum(w * d for w, d in zip(down, negatives, strict=True)) / (sum(down) + epsilon)
        exponent = gamma * (furthest - closest)
        if square:
            exponent = min(gamma * (furthest - closest) ** 2, 88.0) * (1 if furthest > closest else -1)
        terms.append(math.log1p(math.exp(exponent)))
    return sum(terms) / len(terms)


def loop_centre_cluster(embeddings, labels, margin=0.7):
    centres = {}
    for pid in labels.tolist():
        rows = [embeddings[b] for b in range(len(labels)) if labels[b] == pid]
        centres[pid] = sum(rows) / len(rows)
    pull = [math.dist(embeddings[b].tolist(), centres[int(labels[b])].tolist()) for b in range(len(labels))]
    push = []
    for pid, centre in centres.items():
        hinges = [
            max(0.0, margin - math.dist(centre.tolist(), centres[other].tolist()))
            for other in labels.tolist()
            if other != pid
        ]
        push.append(sum(hinges) / len(hinges))
    return sum(pull) / len(pull) + sum(push) / len(push)


@pytest.mark.parametrize("seed", range(5))
def test_losses_equal_their_loops(seed):
    x, y = random_batch(seed)
    assert hard_triplet(x, y).item() == pytest.approx(loop_hard_triplet(x, y), rel=1e-9)
    assert hard_triplet(x, y, margin=1.5).item() == pytest.approx(loop_hard_triplet(x, y, 1.5), rel=1e-9)
    assert LOSSES["wrt"](x, y).item() == pytest.approx(loop_weighted_triplet(x, y), rel=1e-9)
    assert LOSSES["wrt-clean"](x, y).item() == pytest.approx(loop_weighted_triplet(x, y, clean=True), rel=1e-9)
    for square, loss in ((False, weighted_regularised_triplet), (True, squared_difference_triplet)):
        expected = loop_weighted_triplet(x, y, alpha=0.5, gamma=2.0, square=square)
        assert loss(x, y, alpha=0.5, gamma=2.0).item() == pytest.approx(expected, rel=1e-9)
    assert squared_difference_triplet(x, y).item() == pytest.approx(loop_weighted_triplet(x, y, square=True), rel=1e-9)
    uneven = torch.tensor([0, 0, 1, 1, 1, 1, 1, 2, 2, 0, 2, 3])
    for labels, margin in ((y, 3.0), (uneven, 3.0), (uneven, 0.7)):
        expected = loop_centre_cluster(x, labels, margin)
        assert centre_cluster(x, labels, margin).item() == pytest.approx(expected, rel=1e-9)
    expected = loop_weighted_triplet(x, y, normalise=True)
    assert LOSSES["wrt-normalised"](x, y).item() == pytest.approx(expected, rel=1e-6)


def test_identity_loss_is_the_mean_log_likelihood():
    logits, labels = torch.randn(6, 4, dtype=torch.float64), torch.tensor([0, 3, 1, 1, 2, 0])
    log_p = logits - logits.exp().sum(dim=1, keepdim=True).log()
    picked = log_p[torch.arange(6), labels]
    torch.testing.assert_close(identity_loss(logits, labels), -picked.mean())
    smoothed = -(0.9 * picked + 0.1 * log_p.mean(dim=1)).mean()
    torch.testing.assert_close(identity_loss(logits, labels, label_smoothing=0.1), smoothed)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_order_of_rows_names_of_identities_and_rotation_do_not_matter(name, seed):
    x, y = random_batch(seed)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(y), generator=generator)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64)).Q
    expected = LOSSES[name](x, y)
    torch.testing.assert_close(LOSSES[name](x[order], y[order]), expected)
    torch.testing.assert_close(LOSSES[name](x, 7 - 2 * y), expected)
    torch.testing.assert_close(LOSSES[name](x @ rotation, y), expected)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.1, 10.0))
def test_the_normalised_form_ignores_the_scale(seed, factor):
    x, y = random_batch(seed)
    torch.testing.assert_close(LOSSES["wrt-normalised"](factor * x, y), LOSSES["wrt-normalised"](x, y))


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_where_rows_coincide_or_nothing_is_negative(name):
    for x, y in (
        (torch.ones(4, 3), torch.tensor([0, 0, 1, 1])),
        (torch.randn(4, 3), torch.zeros(4, dtype=torch.int64)),
        (1000 * torch.randn(8, 3), torch.arange(4).repeat(2)),
    ):
        x = x.clone().requires_grad_()
        loss = LOSSES[name](x, y)
        loss.backward()
        assert torch.isfinite(loss) and x.grad is not None and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("name", ["wrt", "wrt-clean", "squared", "centre-cluster"])
def test_the_weights_carry_gradient(name):
    x, y = random_batch(3)
    assert torch.autograd.gradcheck(lambda embeddings: LOSSES[name](embeddings, y), x.requires_grad_())


def test_epsilon_lets_far_negatives_fade_and_clean_does_not():
    x, y = random_batch(1)
    far = 40 * x
    assert LOSSES["wrt"](far, y) > LOSSES["wrt-clean"](far, y) + 10


def test_the_squared_difference_sharpens_violations_and_fades_where_satisfied():
    x, y = random_batch(1)
    mixed, satisfied = 5 * x, torch.nn.functional.one_hot(y) * 8.0 + 0.01 * x[:, :3]
    assert squared_difference_triplet(mixed, y) > weighted_regularised_triplet(mixed, y)
    assert squared_difference_triplet(satisfied, y) < weighted_regularised_triplet(satisfied, y)
    # Never more than the ceiling, however far apart.
    far = squared_difference_triplet(1000 * x, y)
    assert far <= 88.0 + 1e-6


@pytest.mark.parametrize(("square", "apart"), [(True, 4.6), (False, 20.5)])
def test_a_large_violation_meets_the_whole_soft_margin(square, apart):
    """log(1 + exp(x)) for x just above 20, where it is not x yet; both identities have an image in both places."""
    x = torch.tensor([[0.0], [apart], [0.0], [apart]], dtype=torch.float64)
    y = torch.tensor([0, 0, 1, 1])
    loss = squared_difference_triplet if square else weighted_regularised_triplet
    found, expected = loss(x, y).item(), loop_weighted_triplet(x, y, square=square)
    assert 20 < expected < 21
    assert found == pytest.approx(expected, rel=1e-13, abs=0)


def test_centres_beyond_the_margin_are_left_alone():
    x, y = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]), torch.tensor([0, 1, 2])
    assert centre_cluster(x, y) == 0.0
    assert centre_cluster(x, y, margin=12.0) == pytest.approx((2 * 2.0 * 2 + 0.0) / 6)


def test_centre_cluster_stays_in_float32_under_autocast():
    x, y = torch.randn(6, 16), torch.arange(3).repeat(2)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = centre_cluster(x, y)
    torch.testing.assert_close(reduced, centre_cluster(x, y))


def test_distances_stay_in_float32_under_autocast():
    x = torch.randn(6, 16)
    with torch.autocast("cpu", torch.bfloat16):
        reduced = euclidean_distances(x)
    torch.testing.assert_close(reduced, euclidean_distances(x))
    assert euclidean_distances(x.bfloat16()).dtype == torch.float32


@pytest.fixture(scope="module")
def fill(shared) -> ModuleType:
    spec = importlib.util.spec_from_file_location("golden_fill", shared / "golden" / "fill.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GOLDEN = {
    "hard_triplet": hard_triplet,
    "weighted_regularised_triplet": weighted_regularised_triplet,
    "weighted_regularised_triplet_normalised": LOSSES["wrt-normalised"],
}


@pytest.mark.parametrize("name", GOLDEN)
def test_losses_and_gradients_of_the_official_code(name, shared, fill):
    recorded = json.loads((shared / "golden" / "losses.json").read_text())["losses"][name]["values"]
    embeddings = torch.from_numpy(np.concatenate(fill.loss_groups(2)))
    labels = torch.from_numpy(np.concatenate([fill.loss_labels()] * 2))
    for scale, expected in recorded.items():
        x = (float(scale.removeprefix("scale_")) * embeddings).requires_grad_()
        loss = GOLDEN[name](x, labels)
        loss.backward()
        assert loss.item() == pytest.approx(expected["loss"], rel=1e-4, abs=1e-5)
        assert x.grad is not None and x.grad.norm().item() == pytest.approx(expected["grad_norm"], rel=1e-3)
