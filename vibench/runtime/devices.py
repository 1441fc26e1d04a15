"""Where tensors live and how a network runs: ``--device``, ``--amp`` and ``--compile`` of every command."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import torch

from vibench.errors import UsageError, suggestion

P = ParamSpec("P")
R = TypeVar("R")

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "off", "bf16", "fp16")


@dataclass(frozen=True)
class Precision:
    """The precision of forward and backward passes on one kind of device."""

    name: str
    """``fp32``, ``tf32``, ``bf16`` or ``fp16``, as records name it."""
    device_type: str
    """``cpu`` or ``cuda``."""

    def autocast(self) -> AbstractContextManager[object]:
        """A context in which matrix products and convolutions run in this precision."""
        dtype = torch.float16 if self.name == "fp16" else torch.bfloat16
        return torch.autocast(self.device_type, dtype=dtype, enabled=self.name in ("bf16", "fp16"))

    def scaler(self) -> torch.amp.GradScaler:
        """The loss scaler: active for ``fp16``, whose small gradients would vanish, and a pass-through otherwise."""
        return torch.amp.GradScaler(self.device_type, enabled=self.name == "fp16")

    @contextmanager
    def float32_products(self) -> Iterator[None]:
        """A context in which what runs in float32 has its whole precision, unless this is ``tf32``.

        PyTorch's own default lets cuDNN's convolutions round to the 10 bits of TF32 on GPUs from Ampere on.
        """
        switches: tuple[Any, Any] = (torch.backends.cudnn, torch.backends.cuda.matmul)
        before = [switch.allow_tf32 for switch in switches]
        try:
            for switch in switches:
                switch.allow_tf32 = self.name == "tf32"
            yield
        finally:
            for switch, allowed in zip(switches, before, strict=True):
                switch.allow_tf32 = allowed


def resolve_device(name: str = "auto") -> torch.device:
    """The device for ``--device``: ``auto`` is CUDA where there is one, else the CPU.

    Raises `UsageError` for an unknown name, and for ``cuda`` where PyTorch sees no CUDA device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if kind not in DEVICES or (number and not (kind == "cuda" and number.isdecimal())):
        raise UsageError(
            f"--device {name}: unknown device{suggestion(kind, DEVICES)}; choose auto, cpu, cuda or cuda:N."
        )
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise UsageError(
                f"--device {name}: PyTorch {torch.__version__} sees no CUDA device; use --device cpu, "
                "or install a CUDA build of PyTorch on a machine with an NVIDIA GPU."
            )
        if number and int(number) >= count:
            raise UsageError(f"--device {name}: there are only {count} CUDA devices, numbered from 0.")
    return torch.device(name)


def resolve_precision(name: str, device: torch.device, recipe: str = "fp32", tf32: bool = False) -> Precision:
    """The precision for ``--amp`` and ``--tf32`` on a device, of a recipe whose own is ``recipe``.

    ``auto`` is the recipe's; its ``fp16`` becomes ``fp32`` on the CPU, which has no fast half precision. ``off`` is
    plain float32. Raises `UsageError` for an unknown name, for ``fp16`` on the CPU, and for ``tf32`` where nothing
    runs in it.
    """
    if name not in PRECISIONS:
        raise UsageError(
            f"--amp {name}: unknown precision{suggestion(name, PRECISIONS)}; choose {', '.join(PRECISIONS)}."
        )
    if name == "fp16" and device.type == "cpu":
        raise UsageError("--amp fp16: half precision needs a CUDA device; on the CPU use --amp bf16 or --amp off.")
    found = {"auto": recipe, "off": "fp32"}.get(name, name)
    if found == "fp16" and device.type == "cpu":
        found = "fp32"
    if tf32 and (found != "fp32" or device.type != "cuda"):
        raise UsageError(f"--tf32: is a way to run float32 on a CUDA device, not {found} on {device}; leave it out.")
    return Precision("tf32" if tf32 else found, device.type)


def recorded_precision(name: str, device: torch.device, where: str) -> Precision:
    """The precision that a run was begun in, to go on in it; `UsageError` where ``device`` has no such."""
    if name in ("fp16", "tf32") and device.type == "cpu":
        raise UsageError(f"{where}: was begun in {name}, which needs a CUDA device; go on where there is one.")
    return Precision(name, device.type)


def compile_function(function: Callable[P, R], device_type: str, graphs: bool = False) -> Callable[P, R]:
    """``function`` by `torch.compile`, for inputs of one shape each.

    ``graphs``: on CUDA its kernels become a CUDA graph, which overwrites the results of one call at the next.
    Compiling happens at the first call. Raises `UsageError` where it needs a C++ compiler and there is none.
    """
    if device_type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        raise UsageError("--compile: needs a C++ compiler on the CPU, such as g++; install one or leave --compile out.")
    # Dropout and whatever else a method draws comes from PyTorch's generators, as it does without compiling.
    options: dict[str, str | int | bool | Callable[..., Any]] = {"fallback_random": True}
    if graphs and device_type == "cuda":
        options["triton.cudagraphs"] = True
    return torch.compile(function, dynamic=False, options=options)
