import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vibench.nn.pooling import AveragePool, GeneralisedMeanPool, MaxPool, row_power_means
from vibench.nn.stripes import StripePool


def test_average_pool():
    features = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(AveragePool()(features), features.mean(dim=(2, 3)))


def test_max_pool():
    features = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(MaxPool()(features), features.flatten(2).max(dim=2).values)


def test_generalised_mean_by_hand():
    features = torch.tensor([1.0, 2.0, 3.0, 6.0]).view(1, 1, 2, 2)
    expected = ((1 + 8 + 27 + 216) / 4 + 1e-12) ** (1 / 3)
    assert GeneralisedMeanPool()(features).item() == pytest.approx(expected, rel=1e-6)


@given(st.floats(1.0, 9.0), st.integers(0, 1000))
def test_generalised_mean_lies_between_average_and_maximum(p, seed):
    features = torch.rand(2, 3, 4, 2, generator=torch.Generator().manual_seed(seed)).double()
    pooled = GeneralisedMeanPool(p)(features)
    assert (pooled >= features.mean(dim=(2, 3)) - 1e-6).all()
    assert (pooled <= features.amax(dim=(2, 3)) + 1e-6).all()


def test_a_fixed_exponent_is_no_parameter_and_a_learnable_one_is():
    assert not GeneralisedMeanPool().state_dict()
    pool = GeneralisedMeanPool(3.0, learnable=True)
    features = torch.rand(2, 3, 4, 2)
    features[:, 0] = 0  # a dead channel must not turn the gradient into NaN
    features.requires_grad_()
    pool(features).sum().backward()
    assert pool.p.grad is not None and torch.isfinite(pool.p.grad).all() and pool.p.grad.abs() > 0
    assert features.grad is not None and torch.isfinite(features.grad).all()


def test_half_precision_neither_overflows_nor_loses_epsilon():
    features = torch.full((1, 1, 2, 2), 100.0, dtype=torch.float16)  # 100 cubed is beyond float16
    assert GeneralisedMeanPool()(features).item() == pytest.approx(100.0, rel=1e-3)


@pytest.mark.parametrize("p", [1.0, 2.5, 3.0, 10.0])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_row_power_means_and_their_gradient(p, layout):
    torch.manual_seed(0)
    maps = torch.rand(2, 3, 4, 5, dtype=torch.float64).to(memory_format=layout).requires_grad_()
    weight = torch.randn(2, 3, 4, dtype=torch.float64)
    actual, expected = row_power_means(maps, p), maps.pow(p).mean(dim=3)
    torch.testing.assert_close(actual, expected)
    gradients = [torch.autograd.grad((weight * out).sum(), maps) for out in (actual, expected)]
    torch.testing.assert_close(*gradients)


def test_row_power_means_keep_nothing_but_the_map():
    maps, kept = torch.rand(2, 3, 4, 5, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda saved: kept.append(saved) or saved, lambda saved: saved):
        GeneralisedMeanPool()(maps)
    assert [saved.data_ptr() for saved in kept if saved.numel() >= maps.numel()] == [maps.data_ptr()]


POOLS = [AveragePool(), MaxPool(), GeneralisedMeanPool(), *(StripePool(3, kind) for kind in ("avg", "max", "gem"))]


@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: f"{type(pool).__name__}-{getattr(pool, 'kind', '')}")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_keep_the_order_of_the_map(pool, layout, dtype):
    """A layer below would otherwise copy, or stride through, a whole map in the other order."""
    gradients = []
    maps = torch.rand(2, 5, 6, 4, dtype=dtype).to(memory_format=layout).requires_grad_()
    for pools in ([pool], [pool, AveragePool()]):
        features = maps.view_as(maps)
        features.register_hook(gradients.append)
        sum(each(features).sum() for each in pools).backward()
    alone, together = gradients
    assert alone.dtype == dtype
    assert alone.is_contiguous(memory_format=layout) or alone.stride()[2:] == (0, 0)
    assert together.is_contiguous(memory_format=layout) or isinstance(pool, AveragePool)


def test_average_pool_of_half_precision_is_that_of_float32():
    maps = torch.rand(2, 3, 7, 5, dtype=torch.float16, requires_grad=True)
    wide = maps.detach().float().requires_grad_()
    pooled, expected = AveragePool()(maps), wide.mean(dim=(2, 3))
    torch.testing.assert_close(pooled, expected)
    weight = torch.randn(2, 3)
    (weight * pooled).sum().backward()
    (weight * expected).sum().backward()
    assert torch.equal(maps.grad, wide.grad.half())
