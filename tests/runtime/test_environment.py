"""Where a run took place."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest
import torch

import vibench
from vibench.runtime.environment import cpu_model, describe_environment, git_commit


def test_environment_names_versions_and_no_gpu_on_cpu() -> None:
    found = describe_environment("cpu")
    assert (found.vibench, found.python, found.torch) == (
        vibench.__version__,
        platform.python_version(),
        torch.__version__,
    )
    assert found.gpu == "" and found.cudnn == ""
    assert found.cpu


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_environment_names_the_gpu() -> None:
    assert describe_environment("cuda").gpu == torch.cuda.get_device_name()


def test_cpu_model_is_read_or_falls_back(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: Fast CPU @ 3 GHz\nmodel name\t: Other\n")
    assert cpu_model(file) == "Fast CPU @ 3 GHz"
    assert cpu_model(tmp_path / "absent") in (platform.processor(), platform.machine())


def test_commit_is_that_of_the_package_and_tells_changes(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
        return subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert git_commit(tmp_path) == ""
    git("init", "-q")
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (tmp_path / "other").write_text("")
    git("add", "other")
    git("commit", "-qm", "first")
    # Installed inside somebody else's repository.
    assert git_commit(package) == ""
    git("add", ".")
    git("commit", "-qm", "second")
    assert git_commit(package) == git("rev-parse", "HEAD")
    (package / "__init__.py").write_text("changed = True\n")
    assert git_commit(package) == git("rev-parse", "HEAD") + "+"
