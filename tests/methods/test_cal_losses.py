"""The losses of CAL against loops over images and parts."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from vibench.methods.cal.losses import (
    LearntCentres,
    marginal_centre_aggregation,
    matched_divergence,
    matched_weight,
    part_aligned_centre,
    region_overlap,
)

LABELS = torch.tensor([3, 3, 7, 3, 7, 7, 9, 9, 3])
MODALITY = torch.tensor([0, 0, 0, 1, 1, 1, 0, 1, 1])


def features(seed: int, parts: int = 3, dim: int = 5, scale: float = 1.0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return scale * (1 + torch.rand(len(LABELS), parts, dim, generator=random, dtype=torch.float64))


def loop_part_aligned_centre(own, cross, margin, reduction, normalise):
    y, m = LABELS.tolist(), MODALITY.tolist()
    length = (lambda x: x / x.norm()) if normalise else (lambda x: x)
    total = 0.0
    for p in range(own.shape[1]):
        centre = {}
        for identity, side in itertools.product(set(y), (0, 1)):
            rows = [length(own[i, p]) for i in range(len(y)) if (y[i], m[i]) == (identity, side)]
            centre[identity, side] = length(sum(rows) / len(rows))
        terms = [
            [(length(cross[i, p]) - centre[y[i], side]).norm().item() for i in range(len(y)) if m[i] == side]
            for side in (0, 1)
        ]
        for one, other in ((1, 0), (1, 1), (0, 0)):
            terms.append(
                [
                    max(0.0, margin - (centre[a, one] - centre[b, other]).norm().item())
                    for a, b in itertools.product(set(y), set(y))
                    if a != b
                ]
            )
        total += sum(sum(term) / (len(term) if reduction == "mean" else 1) for term in terms)
    return total / own.shape[1]


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize(("normalise", "margin"), [(True, 0.2), (True, 0.6), (False, 0.6)])
def test_part_aligned_centre(reduction, normalise, margin):
    own, cross = features(0, scale=0.3), features(1, scale=0.3)
    actual = part_aligned_centre(own, cross, LABELS, MODALITY, margin, reduction, normalise)
    assert actual.item() == pytest.approx(loop_part_aligned_centre(own, cross, margin, reduction, normalise), rel=1e-9)


def test_part_aligned_centre_of_one_identity_has_nobody_to_keep_apart():
    own = features(0)
    loss = part_aligned_centre(own, own, torch.zeros(9, dtype=torch.int64), MODALITY)
    assert torch.isfinite(loss)


def test_gradients_are_finite_where_features_coincide():
    own = torch.ones(9, 2, 4, requires_grad=True)
    part_aligned_centre(own, own, LABELS, MODALITY).backward()
    assert torch.isfinite(own.grad).all()
    own.grad = None
    marginal_centre_aggregation(own, LABELS).backward()
    assert torch.isfinite(own.grad).all()


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.6])
def test_marginal_centre_aggregation(margin):
    rows = features(2, scale=0.5)
    y = LABELS.tolist()
    gathered, apart = [], []
    for p in range(3):
        centre = {a: rows[[i for i in range(9) if y[i] == a], p].mean(dim=0) for a in set(y)}
        away = [(rows[i, p] - centre[y[i]]).square().sum().item() for i in range(9)]
        gathered += [away[i] - min(away[j] for j in range(9) if y[j] == y[i]) for i in range(9)]
        others = [min((centre[a] - centre[b]).square().sum().item() for b in set(y) if b != a) for a in y]
        apart.append(max(0.0, margin - sum(others) / 9))
    expected = sum(gathered) / 27 + sum(apart) / 3
    assert marginal_centre_aggregation(rows, LABELS, margin).item() == pytest.approx(expected, rel=1e-9)


def test_one_group_has_no_other_centre():
    loss = marginal_centre_aggregation(features(2), torch.zeros(9, dtype=torch.int64))
    assert torch.isfinite(loss) and loss > 0


def test_learnt_centres():
    centres = LearntCentres(10, 3, 5).double()
    assert not centres.centres.any()
    centres.centres.data.normal_()
    rows = features(3)
    terms = [(rows[i, p] - centres.centres[LABELS[i], p]).square().sum().item() / 2 for i in range(9) for p in range(3)]
    assert centres(rows, LABELS).item() == pytest.approx(sum(terms) / 27, rel=1e-9)


def test_region_overlap():
    scores = torch.rand(4, 3, 6, dtype=torch.float64)
    expected = [sum((one[a] * one[b]).sum().item() for a in range(3) for b in range(3) if a < b) for one in scores]
    assert region_overlap(scores).item() == pytest.approx(sum(expected) / 4, rel=1e-12)


def test_matched_weight():
    weights = torch.rand(2, 3, 3)
    totals = matched_weight(weights, torch.tensor([[2, 0, 1], [0, 1, 2]]))
    assert totals[0].item() == pytest.approx((weights[0, 0, 2] + weights[0, 1, 0] + weights[0, 2, 1]).item())
    assert totals[1].item() == pytest.approx(weights[1].trace().item())


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_matched_divergence(temperature):
    random = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(2, 2, 3, 7, generator=random, dtype=torch.float64)
    matchings = torch.tensor([[2, 0, 1], [1, 0, 2]])
    for row in range(2):
        expected = 0.0
        for u, v in enumerate(matchings[row].tolist()):
            p, q = F.softmax(teacher[row, u] / temperature, 0), F.softmax(student[row, v] / temperature, 0)
            expected += (p * (p / q).log()).sum().item() * temperature**2
        actual = matched_divergence(teacher, student, matchings, temperature)
        assert actual[row].item() == pytest.approx(expected, rel=1e-9)
    assert matched_divergence(teacher, teacher, torch.arange(3).expand(2, -1)).abs().max() < 1e-12
