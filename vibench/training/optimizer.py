"""From a method's parameter groups and a recipe to one optimiser."""

from __future__ import annotations

from typing import Any

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer

from vibench.errors import VibenchError
from vibench.methods.base import Method
from vibench.methods.sections import OptimizerRecipe


def build_optimizer(method: Method) -> Optimizer:
    """The optimiser of the method's recipe over its parameter groups, with the fused kernels of PyTorch.

    A group's ``lr_factor`` multiplies every learning rate that `set_learning_rate` sets; its other keys are passed
    on. Raises `VibenchError` where the groups do not hold every trainable parameter exactly once.
    """
    recipe: OptimizerRecipe = method.recipe.optimizer
    groups = [_optimizer_group(group, recipe) for group in method.parameter_groups(method.recipe)]
    _check_groups(method, groups)
    if recipe.name == "sgd":
        return SGD(
            groups,
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    kind = Adam if recipe.name == "adam" else AdamW
    return kind(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=True)


def set_learning_rate(optimizer: Optimizer, lr: float, common: float = 0.0) -> None:
    """Give every parameter group the rate ``lr`` times its ``lr_factor``; the part ``common`` of it is as it is."""
    for group in optimizer.param_groups:
        group["lr"] = (lr - common) * group["lr_factor"] + common


def _optimizer_group(group: dict[str, Any], recipe: OptimizerRecipe) -> dict[str, Any]:
    trainable = [parameter for parameter in group["params"] if parameter.requires_grad]
    factor = float(group.get("lr_factor", 1.0))
    return {**group, "params": trainable, "lr_factor": factor, "lr": recipe.lr * factor}


def _check_groups(method: Method, groups: list[dict[str, Any]]) -> None:
    counts: dict[int, int] = {}
    for group in groups:
        for parameter in group["params"]:
            counts[id(parameter)] = counts.get(id(parameter), 0) + 1
    for name, parameter in method.named_parameters():
        found = counts.pop(id(parameter), 0)
        if parameter.requires_grad and found != 1:
            raise VibenchError(
                f"method {method.name}: parameter_groups() holds the trainable parameter '{name}' {found} times; "
                "every trainable parameter must be in exactly one group."
            )
    if counts:
        raise VibenchError(f"method {method.name}: parameter_groups() holds {len(counts)} parameters of no module.")


def clip_gradients(optimizer: Optimizer, limit: float) -> None:
    """Scale all gradients together so that their norm is at most ``limit``."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    torch.nn.utils.clip_grad_norm_(parameters, limit)
