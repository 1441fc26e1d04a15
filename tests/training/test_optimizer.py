"""Optimisers: groups, rates, and updates against formulas written out."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from tests.training.toy import Toy
from vibench.errors import VibenchError
from vibench.methods.recipe import load_recipe
from vibench.methods.sections import OptimizerRecipe, Recipe
from vibench.training.optimizer import build_optimizer, clip_gradients, set_learning_rate


def toy(**optimizer: object) -> Toy:
    recipe = load_recipe("toy", dataset="sysu-mm01")
    return Toy(dataclasses.replace(recipe, optimizer=OptimizerRecipe(**optimizer)), 3)  # type: ignore[arg-type]


def test_two_rates_of_the_agw_code_line():
    optimizer = build_optimizer(toy())
    set_learning_rate(optimizer, 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.01, 0.1])
    assert all(group["weight_decay"] == 5e-4 and group["momentum"] == 0.9 for group in optimizer.param_groups)
    assert all(group["nesterov"] for group in optimizer.param_groups)


def test_frozen_parameters_are_left_out():
    method = toy()
    held = {id(p) for group in build_optimizer(method).param_groups for p in group["params"]}
    assert held == {id(p) for p in method.parameters() if p.requires_grad}


def test_sgd_follows_nesterov_with_weight_decay_on_everything():
    method = toy()
    optimizer = build_optimizer(method)
    weight = method.classifier.weight
    expected, velocity = weight.detach().clone().double(), None
    for step in range(4):
        gradient = torch.full_like(weight, 0.1 * (step + 1))
        weight.grad = gradient.clone()
        optimizer.step()
        decayed = gradient.double() + 5e-4 * expected
        velocity = decayed if velocity is None else 0.9 * velocity + decayed
        expected = expected - 0.1 * (decayed + 0.9 * velocity)
    torch.testing.assert_close(weight.detach().double(), expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_adam_and_adamw(name: str, kind: type):
    optimizer = build_optimizer(toy(name=name, lr=1e-3))
    assert type(optimizer) is kind
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1e-4, 1e-3])


def test_groups_must_hold_every_parameter_exactly_once():
    method = toy()

    class Forgetful(Toy):
        def parameter_groups(self, recipe: Recipe) -> list:
            return super().parameter_groups(recipe)[:1]

    class Repetitive(Toy):
        def parameter_groups(self, recipe: Recipe) -> list:
            return [*super().parameter_groups(recipe), {"params": [self.neck.weight]}]

    class Foreign(Toy):
        def parameter_groups(self, recipe: Recipe) -> list:
            return [*super().parameter_groups(recipe), {"params": [torch.nn.Parameter(torch.ones(1))]}]

    for cls, message in ((Forgetful, "'neck.weight' 0 times"), (Repetitive, "'neck.weight' 2 times")):
        with pytest.raises(VibenchError, match=message):
            build_optimizer(cls(method.recipe, 3))
    with pytest.raises(VibenchError, match="1 parameters of no module"):
        build_optimizer(Foreign(method.recipe, 3))


def test_clipping_scales_all_gradients_together():
    method = toy()
    optimizer = build_optimizer(method)
    for parameter in method.parameters():
        parameter.grad = torch.ones_like(parameter) if parameter.requires_grad else None
    clip_gradients(optimizer, 2.0)
    squares = [p.grad.square().sum() for p in method.parameters() if p.grad is not None]
    assert torch.stack(squares).sum().sqrt().item() == pytest.approx(2.0, rel=1e-4)
