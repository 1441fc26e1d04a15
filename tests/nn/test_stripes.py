import pytest
import torch

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
