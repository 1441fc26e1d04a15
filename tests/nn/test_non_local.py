import pytest
import torch

from vibench.nn.non_local import NonLocal


def by_the_affinity_matrix(block: NonLocal, features: torch.Tensor) -> torch.Tensor:
    """The definition, with the N x N matrix: A_pq = theta_p . phi_q / N, y = A g."""
    theta, phi, g = (conv(features).flatten(2) for conv in (block.theta, block.phi, block.g))
    affinity = theta.transpose(1, 2) @ phi / theta.shape[2]
    attended = (affinity @ g.transpose(1, 2)).transpose(1, 2)
    return features + block.norm(block.expand(attended.unflatten(2, features.shape[2:])))


@pytest.mark.parametrize("inner", [1, 8])
def test_equals_the_definition(inner):
    block = NonLocal(16, inner).double().eval()
    torch.nn.init.normal_(block.norm.weight)
    torch.nn.init.normal_(block.norm.bias)
    features = torch.randn(3, 16, 6, 4, dtype=torch.float64)
    torch.testing.assert_close(block(features), by_the_affinity_matrix(block, features))


def test_gradients_equal_those_of_the_definition():
    torch.manual_seed(0)
    block = NonLocal(8, 2).double()
    torch.nn.init.normal_(block.norm.weight)
    features = torch.randn(3, 8, 6, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn_like(features)
    wanted = [features, *block.parameters()]
    actual, expected = (
        torch.autograd.grad((weight * out).sum(), wanted)
        for out in (block(features), by_the_affinity_matrix(block, features))
    )
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_starts_as_the_identity():
    features = torch.randn(3, 16, 6, 4)
    torch.testing.assert_close(NonLocal(16).train()(features), features)


def test_never_builds_the_affinity_matrix():
    block, features = NonLocal(4), torch.randn(1, 4, 64, 64, requires_grad=True)
    sizes = []

    def record(saved: torch.Tensor) -> torch.Tensor:
        sizes.append(saved.numel())
        return saved

    with torch.autograd.graph.saved_tensors_hooks(record, lambda saved: saved):
        block(features)
    assert max(sizes) < (64 * 64) ** 2 / 100


def test_large_maps_survive_reduced_precision():
    block = NonLocal(8).eval()
    features = 300 * torch.rand(1, 8, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.isfinite(block(features)).all()


def test_keeps_channels_last():
    module, orders = NonLocal(6), []
    module.norm.register_forward_pre_hook(lambda _, inputs: orders.append(inputs[0].stride()))
    module(torch.rand(2, 6, 5, 4).to(memory_format=torch.channels_last))
    assert orders == [(120, 1, 24, 6)]
