"""``--deterministic``: the same numbers from the same seed on the same machine, a GPU's too."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

CUBLAS_WORKSPACE = ":4096:8"
"""Two buffers per stream, the first of the settings under which cuBLAS repeats itself."""


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Have PyTorch take its deterministic algorithms within the block, if ``wanted``; it must begin before CUDA does.

    The methods of vibench have no operation of which CUDA has no such form; of a method of yours PyTorch warns, and
    takes the other form. Bilinear resizing (Pose, CAL) is taken apart in this mode, so that its gradients differ in
    the last digits from those of the fast form. The CPU repeats itself to the byte with and without.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", CUBLAS_WORKSPACE)
    algorithms = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(algorithms[0], warn_only=algorithms[1])
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn


def what_is_deterministic() -> str:
    """What of PyTorch is set to repeat itself now, such as ``algorithms, cudnn, cublas :4096:8``; empty for nothing."""
    parts = []
    if torch.are_deterministic_algorithms_enabled():
        warns = torch.is_deterministic_algorithms_warn_only_enabled()
        parts.append("algorithms where there are any" if warns else "algorithms")
    if torch.backends.cudnn.deterministic and not torch.backends.cudnn.benchmark:
        parts.append("cudnn")
    workspace = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    if parts and workspace:
        parts.append(f"cublas {workspace}")
    return ", ".join(parts)
