"""The random numbers of the simulated devices, which are not those of the host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from tests.simulated_cuda.hook import DEVICES
from tests.simulated_cuda.order import device_index

_STATES = [torch.Generator().manual_seed(number).get_state() for number in range(DEVICES)]


@contextmanager
def of_device(index: int) -> Iterator[None]:
    """Numbers drawn within the block come from those of a device."""
    before = torch.default_generator.get_state()
    torch.default_generator.set_state(_STATES[index])
    try:
        yield
    finally:
        _STATES[index] = torch.default_generator.get_state()
        torch.default_generator.set_state(before)


def manual_seed_all(seed: int) -> None:
    for index in range(DEVICES):
        manual_seed(seed, index)


def manual_seed(seed: int, device: Any = None) -> None:
    # Another than the host's of the same seed.
    _STATES[device_index(device)] = torch.Generator().manual_seed(int(seed) ^ 0x5EED).get_state()


def get_rng_state(device: Any = "cuda") -> torch.Tensor:
    return _STATES[device_index(device)].clone()


def set_rng_state(state: torch.Tensor, device: Any = "cuda") -> None:
    _STATES[device_index(device)] = state.clone()
