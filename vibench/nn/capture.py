"""What passes through a module inside a network."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def captured_outputs(module: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list that gets every output of ``module`` inside the block, in the order of its calls."""
    outputs: list[Tensor] = []
    handle = module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    try:
        yield outputs
    finally:
        handle.remove()
