import copy

import pytest
import torch
import torch.nn.functional as functional

from vibench.nn.pooling import AveragePool, GeneralisedMeanPool
from vibench.nn.stripes import StripeHead, StripePool, stripe_classifiers


@pytest.mark.parametrize("kind", ["avg", "max", "gem"])
def test_stripes_are_bands_from_top_to_bottom(kind):
    maps = torch.rand(2, 3, 6, 4, dtype=torch.float64)
    pooled = StripePool(3, kind, p=4.0)(maps)
    for stripe in range(3):
        band = maps[:, :, 2 * stripe : 2 * stripe + 2].flatten(2)
        expected = {
            "avg": band.mean(dim=2),
            "max": band.max(dim=2).values,
            "gem": ((band**4).mean(dim=2) + 1e-12) ** 0.25,
        }[kind]
        torch.testing.assert_close(pooled[:, :, stripe], expected)


@pytest.mark.parametrize("kind", ["avg", "max", "gem"])
@pytest.mark.parametrize("height", [6, 8, 9])
def test_stripes_are_those_of_adaptive_pooling(kind, height):
    """Also where the height does not divide by their number, and in the gradient."""
    torch.manual_seed(0)
    maps = torch.rand(2, 3, height, 4, dtype=torch.float64).requires_grad_()
    expected = {
        "avg": lambda: functional.adaptive_avg_pool2d(maps, (4, 1)),
        "max": lambda: functional.adaptive_max_pool2d(maps, (4, 1)),
        "gem": lambda: (functional.adaptive_avg_pool2d(maps**3, (4, 1)) + 1e-12) ** (1 / 3),
    }[kind]().squeeze(3)
    actual = StripePool(4, kind, 3.0)(maps)
    torch.testing.assert_close(actual, expected)
    weight = torch.randn(2, 3, 4, dtype=torch.float64)
    gradients = [torch.autograd.grad((weight * out).sum(), maps) for out in (actual, expected)]
    torch.testing.assert_close(*gradients)


def test_one_stripe_is_global_pooling():
    maps = torch.rand(2, 3, 6, 4)
    torch.testing.assert_close(StripePool(1, "gem", 3.0)(maps).squeeze(2), GeneralisedMeanPool(3.0)(maps))
    torch.testing.assert_close(StripePool(1, "avg")(maps).squeeze(2), AveragePool()(maps))


def test_generalised_mean_of_an_empty_stripe_has_a_finite_gradient():
    maps = torch.zeros(1, 2, 6, 4, requires_grad=True)
    StripePool(6, "gem", 10.0)(maps).sum().backward()
    assert torch.isfinite(maps.grad).all()


def test_pooling_leaves_half_precision():
    maps = torch.full((1, 1, 6, 2), 40.0, dtype=torch.float16)  # 40^10 is far out of its range
    torch.testing.assert_close(StripePool(2, "gem", 10.0)(maps), torch.full((1, 1, 2), 40.0))


def test_every_stripe_has_an_embedding_of_its_own():
    torch.manual_seed(0)
    head = StripeHead(5, stripes=2, dim=3, pool="avg").eval()
    maps = torch.rand(4, 5, 6, 2)
    features = head(maps)
    assert features.shape == (4, 2, 3) and (features >= 0).all()
    for i, (convolution, norm, _) in enumerate(head.embed):
        band = maps[:, :, 3 * i : 3 * i + 3].mean(dim=(2, 3))
        projected = band @ convolution.weight[:, :, 0, 0].T + convolution.bias
        scaled = projected / (1 + norm.eps) ** 0.5
        torch.testing.assert_close(features[:, i], scaled.relu())


def test_starting_weights():
    torch.manual_seed(0)
    convolution = StripeHead(512, stripes=1, dim=256).embed[0][0]
    assert abs(convolution.weight.std().item() - (2 / 512) ** 0.5) < 1e-3
    (classifier,) = stripe_classifiers(1, 256, 40)
    assert (classifier.bias == 0).all() and abs(classifier.weight.std().item() - 1e-3) < 1e-4


def test_the_head_trains_as_its_modules_one_by_one():
    torch.manual_seed(0)
    head = StripeHead(5, stripes=3, dim=4, pool="avg").double()
    twin = copy.deepcopy(head)
    maps = torch.rand(6, 5, 6, 2, dtype=torch.float64, requires_grad=True)
    stripes = twin.pool(maps)[:, :, :, None, None].unbind(2)
    expected = torch.stack([embed(each) for embed, each in zip(twin.embed, stripes, strict=True)], dim=1).flatten(2)
    actual = head(maps)
    torch.testing.assert_close(actual, expected)
    weight = torch.randn_like(expected)
    for one, other in zip(
        torch.autograd.grad((weight * actual).sum(), [maps, *head.parameters()]),
        torch.autograd.grad((weight * expected).sum(), [maps, *twin.parameters()]),
        strict=True,
    ):
        torch.testing.assert_close(one, other)
    for (name, one), other in zip(head.named_buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(one, other, msg=name)
