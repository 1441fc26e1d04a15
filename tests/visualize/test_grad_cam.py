"""Grad-CAM against gradients written out, and of every method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from tests.methods.built_in import BUILT_IN
from tests.methods.checks import HEIGHT, MAP_WIDTH, WIDTH, small_method
from vibench.errors import UsageError
from vibench.methods.base import Method
from vibench.methods.registry import get_method
from vibench.visualize.attention_rollout import has_rollout
from vibench.visualize.grad_cam import grad_cam, similarity_to

IMAGE = torch.randn(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(3))
OTHER = torch.randn(1, 3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(4))


class Linear(Method):
    """Map -> mean over the positions -> linear -> unit length, which can be written out."""

    name = "linear"
    loss_names: Any = {}  # noqa: RUF012

    def __init__(self) -> None:
        nn.Module.__init__(self)
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 8, stride=8)
        self.head = nn.Linear(4, 5)

    def losses(self, batch: Any) -> dict[str, Tensor]:
        return {}

    def parameter_groups(self, recipe: Any) -> list[dict[str, Any]]:
        return []

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        feature = self.head(self.stem(images).mean(dim=(2, 3)))
        return {"embedding": functional.normalize(feature, dim=1), "feature": feature}


@pytest.mark.parametrize("frozen", [False, True])
def test_grad_cam_of_a_similarity_is_what_its_definition_says(frozen: bool) -> None:
    method = Linear().eval().requires_grad_(not frozen)
    target = functional.normalize(torch.randn(1, 5, generator=torch.Generator().manual_seed(1)), dim=1)
    found = grad_cam(method, IMAGE, "visible", similarity_to(method, target))
    with torch.no_grad():
        maps = method.stem(IMAGE)[0]
        length = method.head(maps.mean(dim=(1, 2))).norm()
        # d similarity / d map, the length of the feature being constant: the same at each of the positions.
        gradient = target[0] @ method.head.weight / length / maps[0].numel()
        expected = (gradient[:, None, None] * maps).sum(dim=0).clamp(min=0)
    assert found.shape == (HEIGHT // 8, WIDTH // 8) and (expected > 0).any()
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-7)


def test_any_score_of_the_features_can_be_explained() -> None:
    method = Linear().eval()
    found = grad_cam(method, IMAGE, "visible", lambda features: features["feature"][0, 3].square())
    maps = method.stem(IMAGE).detach().requires_grad_()
    method.head(maps.mean(dim=(2, 3)))[0, 3].square().backward()
    assert maps.grad is not None
    weights = maps.grad.mean(dim=(2, 3), keepdim=True)
    expected = (weights * maps).sum(dim=1).relu()[0]
    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-7)


def test_a_score_that_does_not_see_the_map_is_refused() -> None:
    method = Linear().eval()
    with pytest.raises(UsageError, match="does not depend"):
        grad_cam(method, IMAGE, "visible", lambda features: method.head.weight.sum())


def test_a_network_without_a_map_is_refused() -> None:
    method = Linear().eval()
    method.stem = nn.Conv2d(3, 4, (HEIGHT, WIDTH))  # type: ignore[assignment]
    with pytest.raises(UsageError, match="no Grad-CAM"):
        grad_cam(method, IMAGE, "visible", lambda features: features["feature"].sum())


RESIDUAL = [name for name in BUILT_IN if not has_rollout(get_method(name))]


@pytest.mark.parametrize("name", RESIDUAL)
def test_every_method_has_a_map_that_its_similarity_depends_on(name: str) -> None:
    method = small_method(name).eval()
    for modality, other in (("visible", "infrared"), ("infrared", "visible")):
        with torch.no_grad():
            target = method.embed(OTHER, other)["embedding"]
        module = method.map_module(modality)
        assert module is not None
        heat = grad_cam(method, IMAGE, modality, similarity_to(method, target))
        assert heat.shape == (HEIGHT // 16, WIDTH // 16) and np.isfinite(heat).all() and (heat >= 0).all()
        opposite = grad_cam(method, IMAGE, modality, lambda features, of=similarity_to(method, target): -of(features))
        # What does not speak for the pair speaks against it.
        assert heat.any() or opposite.any()
        assert not module._forward_hooks


@pytest.mark.parametrize("stages", [0, 5])
def test_the_map_is_found_wherever_the_stages_are_shared(stages: int) -> None:
    method = small_method("baseline", "", [f"model.specific_stages={stages}"]).eval()
    heat = grad_cam(method, IMAGE, "infrared", similarity_to(method, torch.ones(1, MAP_WIDTH)))
    assert heat.shape == (HEIGHT // 16, WIDTH // 16)
