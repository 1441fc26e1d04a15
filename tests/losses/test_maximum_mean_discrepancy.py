"""MMD against loops written from its definition."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.losses.test_hetero_centre import random_batch
from vibench.losses import margin_mmd_id, maximum_mean_discrepancy

SIZES = ((3, 3), (3, 3), (3, 3))
LOSSES = {
    "mmd-id": margin_mmd_id,
    "margin": lambda x, y, m: margin_mmd_id(x, y, m, 2.0),
    "hinge": lambda x, y, m: margin_mmd_id(x, y, m, 2.0, "hinge"),
    "mmd": lambda x, y, m: maximum_mean_discrepancy(x, m),
}


def loop_mmd(visible, infrared, kernels=5, multiplier=2.0):
    rows = [*visible.tolist(), *infrared.tolist()]
    squared = [[math.dist(a, b) ** 2 for b in rows] for a in rows]
    bandwidth = sum(map(sum, squared)) / (len(rows) ** 2 - len(rows))
    scales = [multiplier**k * bandwidth / multiplier ** (kernels // 2) + 1e-9 for k in range(kernels)]

    def mean(first, second):
        values = [sum(math.exp(-squared[a][b] / scale) for scale in scales) for a in first for b in second]
        return sum(values) / len(values)

    v, t = range(len(visible)), range(len(visible), len(rows))
    return mean(v, v) + mean(t, t) - mean(v, t) - mean(t, v)


def loop_mmd_id(x, y, m, **kernels):
    return [loop_mmd(x[(y == i) & (m == 0)], x[(y == i) & (m == 1)], **kernels) for i in y.unique()]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sizes", [SIZES, ((3, 2), (1, 4), (2, 2))])
def test_losses_equal_their_loops(seed, sizes):
    x, y, m = random_batch(seed, sizes)
    terms = loop_mmd_id(x, y, m)
    margin = sorted(terms)[1]  # the middle one, so that it does not exceed it
    assert margin_mmd_id(x, y, m).item() == pytest.approx(sum(terms) / 3, rel=1e-6)
    above = [term for term in terms if term > margin + 1e-9]
    assert margin_mmd_id(x, y, m, margin + 1e-9).item() == pytest.approx(sum(above) / 3, rel=1e-6)
    excess = sum(term - margin for term in above) / 3
    assert margin_mmd_id(x, y, m, margin + 1e-9, "hinge").item() == pytest.approx(excess, abs=1e-7)
    whole = loop_mmd(x[m == 0], x[m == 1])
    assert maximum_mean_discrepancy(x, m).item() == pytest.approx(whole, rel=1e-6)


def test_number_and_spacing_of_the_kernels():
    x, y, m = random_batch(0, SIZES)
    terms = loop_mmd_id(x, y, m, kernels=3, multiplier=3.0)
    actual = margin_mmd_id(x, y, m, kernels=3, multiplier=3.0)
    assert actual.item() == pytest.approx(sum(terms) / 3, rel=1e-6)


def test_the_bandwidth_is_a_constant_of_the_step():
    """With a bandwidth that followed, the loss would not depend on the scale: its gradient along x would vanish."""
    x, y, m = random_batch(0, SIZES)
    torch.testing.assert_close(margin_mmd_id(3 * x, y, m), margin_mmd_id(x, y, m))
    (gradient,) = torch.autograd.grad(margin_mmd_id(x.requires_grad_(), y, m), x)
    assert (gradient * x).sum().abs() > 1e-3


def test_gate_and_hinge_have_the_same_gradient():
    x, y, m = random_batch(1, SIZES)
    x.requires_grad_()
    margin = float(sorted(loop_mmd_id(x.detach(), y, m))[1]) + 1e-6
    gate, hinge = (torch.autograd.grad(margin_mmd_id(x, y, m, margin, form), x)[0] for form in ("gate", "hinge"))
    torch.testing.assert_close(gate, hinge)
    assert gate.abs().sum() > 0


def test_the_scale_that_the_margin_lives_on():
    generator = torch.Generator().manual_seed(0)
    labels, modality = torch.arange(50).repeat_interleave(8), torch.tensor([0] * 4 + [1] * 4).repeat(50)
    alike = torch.randn(400, 2048, generator=generator)
    assert margin_mmd_id(alike, labels, modality).item() == pytest.approx(1.55, abs=0.05)
    apart = torch.zeros(400, 2048)
    apart[modality == 1, 0] = 100.0
    assert margin_mmd_id(apart, labels, modality).item() == pytest.approx(7.47, abs=0.01)


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_order_names_and_rotation_do_not_matter(name, seed):
    x, y, m = random_batch(seed, SIZES)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(y), generator=generator)
    rotation = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64)).Q
    expected = LOSSES[name](x, y, m)
    torch.testing.assert_close(LOSSES[name](x[order], y[order], m[order]), expected)
    torch.testing.assert_close(LOSSES[name](x, 7 - 2 * y, 1 - m), expected)
    torch.testing.assert_close(LOSSES[name](x @ rotation, y, m), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_in_degenerate_batches(name):
    both = torch.tensor([0, 0, 1, 1])
    for x, y, m in (
        (torch.ones(4, 3), torch.tensor([0, 1, 0, 1]), both),
        (torch.randn(4, 3), torch.zeros(4, dtype=torch.int64), both),
        (torch.randn(4, 3), torch.tensor([0, 0, 1, 1]), both),  # every identity in one modality only
        (torch.randn(4, 3), torch.arange(4), both),  # identities of a single image
        (1000 * torch.randn(8, 3), torch.arange(4).repeat(2), torch.arange(2).repeat_interleave(4)),
    ):
        x = x.clone().requires_grad_()
        loss = LOSSES[name](x, y, m)
        loss.backward()
        assert torch.isfinite(loss) and torch.isfinite(x.grad).all()


@pytest.mark.parametrize("name", LOSSES)
def test_stays_in_float32_under_autocast(name):
    x, y, m = random_batch(3, SIZES)
    x = x.float()
    with torch.autocast("cpu", torch.bfloat16):
        reduced = LOSSES[name](x, y, m)
    torch.testing.assert_close(reduced, LOSSES[name](x, y, m))
    assert LOSSES[name](x.bfloat16(), y, m).dtype == torch.float32
