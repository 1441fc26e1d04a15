"""No step of any method needs an operation of which CUDA has no form that repeats itself (`--deterministic`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.methods.built_in import BUILT_IN
from tests.methods.checks import two_step_trainer
from vibench.nn.stripes import StripePool

UNREPEATABLE = (
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "fractional_max_pool",
    "max_unpool",
    "reflection_pad",
    "replication_pad",
    "nll_loss2d",
    "grid_sampler",
    "scatter_reduce",
    "embedding_bag",
    "histc",
    "bincount",
    "kthvalue",
    "median",
    "put_",
)
"""Beginnings of names in PyTorch's list of what `torch.use_deterministic_algorithms` warns of on CUDA.

Bilinear resizing is not among them: in that mode PyTorch takes its gradient apart into operations that are repeatable.
"""
BACKWARD_ONLY = ("adaptive_avg_pool", "adaptive_max_pool")
"""Repeatable in the forward direction."""


class _Watch(TorchDispatchMode):
    """Collects what runs that does not repeat itself on CUDA."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        name = func.__name__.removeprefix("_").partition(".")[0]
        for beginning in UNREPEATABLE:
            if name.startswith(beginning) and (beginning not in BACKWARD_ONLY or name.endswith("backward")):
                self.found.add(name)
        if name == "cumsum" and args[0].is_floating_point():
            self.found.add("cumsum of floats")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("method", "variant"), [*((name, "") for name in BUILT_IN), ("paenet", "hct-pae-aal"), ("hct", "global")]
)
def test_a_step_repeats_itself(method: str, variant: str) -> None:
    trainer = two_step_trainer(method, variant)
    batch = next(trainer._loader.epoch(0))
    trainer.method.train()
    with _Watch() as watch:
        trainer._train_step(batch)
    assert not watch.found


def test_the_watch_sees_what_it_should() -> None:
    maps = torch.rand(1, 2, 6, 4, requires_grad=True)
    with _Watch() as watch:
        torch.nn.functional.adaptive_avg_pool2d(maps, (3, 2)).sum().backward()
        maps.detach().cumsum(0)
        StripePool(3, "max")(maps).sum().backward()
    assert watch.found == {"adaptive_avg_pool2d_backward", "cumsum of floats"}
