"""The precision that trains fastest on a device, for work whose scores are not compared with a paper's."""

from __future__ import annotations

from pathlib import Path

import torch


def fastest_amp(device: torch.device) -> str:
    """The value of ``--amp``: ``bf16`` or ``off``."""
    return "bf16" if multiplies_bf16_fast(device) else "off"


def multiplies_bf16_fast(device: torch.device) -> bool:
    """Whether the device has matrix instructions for bfloat16."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.backends.mkldnn.is_available() and _cpu_has_bf16_instructions()


def _cpu_has_bf16_instructions() -> bool:
    # PyTorch's own probes are private and not in every release, so the kernel's list of CPU flags is asked as well.
    probes = [getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")]
    if any(probe() for probe in probes if probe is not None):
        return True
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(flags.split())
