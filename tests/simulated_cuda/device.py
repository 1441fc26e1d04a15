"""``torch.cuda`` of the simulated devices: as much of it as vibench and PyTorch's own code ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils._pytree as pytree

from tests.simulated_cuda import order, random, tensor
from tests.simulated_cuda.hook import DEVICES
from tests.simulated_cuda.order import CURRENT, HOST, MEMORY, device_index
from tests.simulated_cuda.tensor import DeviceTensor, overwritten

NAME = "Simulated CUDA device"
CAPABILITY = (8, 0)


@contextmanager
def stream(wanted: order.Stream | None) -> Iterator[None]:
    """As `torch.cuda.stream`."""
    if wanted is None:
        yield
        return
    index = wanted.device.index
    before = CURRENT.streams.get(index), CURRENT.device
    CURRENT.streams[index], CURRENT.device = wanted, index
    try:
        yield
    finally:
        CURRENT.device = before[1]
        if before[0] is None:
            del CURRENT.streams[index]
        else:
            CURRENT.streams[index] = before[0]


@contextmanager
def device(wanted: Any) -> Iterator[None]:
    """As `torch.cuda.device`."""
    before = CURRENT.device
    CURRENT.device = device_index(wanted)
    try:
        yield
    finally:
        CURRENT.device = before


def set_device(wanted: Any) -> None:
    CURRENT.device = device_index(wanted)


def mem_get_info(of: Any = None) -> tuple[int, int]:
    memory = MEMORY[device_index(of)]
    return memory.capacity - memory.reserved, memory.capacity


def reset_peak_memory_stats(of: Any = None) -> None:
    memory = MEMORY[device_index(of)]
    memory.peak, memory.peak_reserved = memory.allocated, memory.reserved


def empty_cache() -> None:
    for memory in MEMORY:
        memory.reserved = memory.allocated


def set_sync_debug_mode(mode: str) -> None:
    HOST.debug = mode


def compiled(function: Callable[..., Any], *, options: dict[str, Any] | None = None, **_: Any) -> Callable[..., Any]:
    """As `torch.compile`, without compiling; results of a CUDA graph last until its next replay."""
    if not (options or {}).get("triton.cudagraphs"):
        return function
    last: list[DeviceTensor] = []

    def replay(*args: Any, **kwargs: Any) -> Any:
        overwritten(iter(last))
        found = function(*args, **kwargs)
        copies = pytree.tree_map_only(DeviceTensor, torch.clone, found)
        last[:] = [one for one in pytree.tree_leaves(copies) if isinstance(one, DeviceTensor)]
        return copies

    return replay


def install() -> None:
    """Let this process see the devices, until it ends."""
    values: dict[str, Any] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "init": lambda: None,
        "_lazy_init": lambda: None,
        "_is_in_bad_fork": lambda: False,
        "device_count": lambda: DEVICES,
        "current_device": lambda: CURRENT.device,
        "set_device": set_device,
        "device": device,
        "get_device_name": lambda of=None: NAME,
        "get_device_capability": lambda of=None: CAPABILITY,
        "is_bf16_supported": lambda including_emulation=True: True,
        "Stream": order.Stream,
        "Event": order.Event,
        "stream": stream,
        "current_stream": order.current_stream,
        "default_stream": lambda of=None: order.DEFAULT_STREAMS[device_index(of)],
        "synchronize": order.synchronize,
        "set_sync_debug_mode": set_sync_debug_mode,
        "get_sync_debug_mode": lambda: HOST.debug,
        "mem_get_info": mem_get_info,
        "memory_allocated": lambda of=None: MEMORY[device_index(of)].allocated,
        "max_memory_allocated": lambda of=None: MEMORY[device_index(of)].peak,
        "memory_reserved": lambda of=None: MEMORY[device_index(of)].reserved,
        "max_memory_reserved": lambda of=None: MEMORY[device_index(of)].peak_reserved,
        "reset_peak_memory_stats": reset_peak_memory_stats,
        "empty_cache": empty_cache,
        "manual_seed": random.manual_seed,
        "manual_seed_all": random.manual_seed_all,
        "get_rng_state": random.get_rng_state,
        "set_rng_state": random.set_rng_state,
    }
    for name, value in values.items():
        setattr(torch.cuda, name, value)
    torch.compile = compiled  # type: ignore[assignment]
    torch.compiler.cudagraph_mark_step_begin = lambda: None  # type: ignore[assignment]
    # torch.tensor(..., device=...) is made on the host and copied.
    torch._C._set_only_lift_cpu_tensors(True)
    tensor.DEVICES.__enter__()
