"""The gradients of all processes, summed after the backward pass."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from vibench.distributed.world import World
from vibench.errors import VibenchError


def sum_gradients(parameters: Iterable[nn.Parameter], world: World) -> None:
    """Replace every gradient by its sum over the processes. A parameter has one on all of them or on none.

    One message per kind of number instead of one per weight, and after the backward pass instead of during it, so
    that weights without gradient, adversaries and loss scaling need no special case.
    """
    if world.size == 1:
        return
    by_type: dict[torch.dtype, list[torch.Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            by_type.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in by_type.values():
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        world.sum(flat)
        pieces = flat.split([gradient.numel() for gradient in gradients])
        torch._foreach_copy_(gradients, [piece.view_as(one) for piece, one in zip(pieces, gradients, strict=True)])


def check_in_step(named: Iterable[tuple[str, nn.Parameter]], world: World) -> None:
    """Raise `VibenchError` where the processes no longer have the same weights."""
    if world.size == 1:
        return
    names, parameters = zip(*named, strict=True)
    with torch.no_grad():
        sums = torch.stack([parameter.double().sum() for parameter in parameters]).cpu()
    for rank, others in enumerate(world.gather(sums)):
        apart = torch.nonzero(~((sums == others) | (sums.isnan() & others.isnan()))).flatten()
        if len(apart):
            raise VibenchError(
                f"the weight '{names[int(apart[0])]}' of process {rank} is no longer that of process {world.rank}; "
                "the method computes with something that differs between processes, so train it on one."
            )
