"""On what an evaluation or a training ran: versions, processor, GPU, commit."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import vibench


@dataclass(frozen=True)
class Environment:
    """Versions and hardware; an empty text where something is absent or unknown."""

    vibench: str = ""
    python: str = ""
    torch: str = ""
    cuda: str = ""
    """CUDA version that torch was built for."""
    cudnn: str = ""
    gpu: str = ""
    """Name of the GPU in use; empty on CPU."""
    cpu: str = ""
    deterministic: str = ""
    """What was set to give the same numbers again (`vibench.runtime.determinism`); empty for nothing."""
    git: str = ""
    """Commit of the repository that vibench runs from, with ``+`` appended where files were changed."""


def describe_environment(device: str = "cpu") -> Environment:
    """The environment of this process; the GPU is named only where ``device`` is a CUDA device."""
    import torch

    from vibench.runtime.determinism import what_is_deterministic

    on_gpu = device.startswith("cuda") and torch.cuda.is_available()
    cudnn = torch.backends.cudnn.version() if on_gpu else None
    return Environment(
        vibench=vibench.__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        cuda=torch.version.cuda or "",
        cudnn=str(cudnn or ""),
        gpu=torch.cuda.get_device_name(device) if on_gpu else "",
        cpu=cpu_model(),
        deterministic=what_is_deterministic(),
        git=_own_commit(),
    )


@cache
def _own_commit() -> str:
    # Asked once: what runs is what was imported, whatever is checked out meanwhile.
    return git_commit(Path(vibench.__file__).resolve().parent)


def cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's model name, or the architecture where the system does not tell."""
    try:
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def git_commit(folder: Path) -> str:
    """The commit checked out around ``folder``, ``+`` appended where tracked files differ; empty without git."""
    commit = _git(folder, "rev-parse", "HEAD")
    # An installed package may lie inside somebody else's repository, which says nothing about vibench.
    if not commit or not _git(folder, "ls-files", "__init__.py"):
        return ""
    return commit + ("+" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
