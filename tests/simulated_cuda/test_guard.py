"""What runs on the simulated device, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulated_cuda.hook import SINCE, compiler, fits

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = "tests/simulated_cuda/on_device"
NOT_HERE = (
    # Their children have no device.
    "tests/distributed",
    # A product that takes a GPU milliseconds.
    "tests/profiling/test_latency.py::test_cuda_work_is_timed_to_its_end",
)

pytestmark = [
    pytest.mark.skipif(compiler() is None, reason="needs a C++ compiler, such as g++"),
    pytest.mark.skipif(not fits(), reason=f"needs PyTorch {'.'.join(map(str, SINCE))}"),
]


def on_device(folder: Path, *words: str) -> str:
    """The report of pytest; what failed on the device is shown."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.simulated_cuda.plugin", "-p", "no:cacheprovider"]
    ended = subprocess.run(
        [*command, "--tb=short", "--basetemp", str(folder / "device"), *words],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    return ended.stdout


def test_the_whole_path_and_what_the_device_finds(tmp_path: Path) -> None:
    report = on_device(tmp_path, HERE)
    assert "passed" in report and "skipped" not in report


@pytest.mark.slow
def test_the_path_in_half_precision(tmp_path: Path) -> None:
    report = on_device(tmp_path, "-m", "slow", HERE)
    assert "passed" in report and "skipped" not in report


@pytest.mark.slow
def test_the_tests_that_ask_for_a_gpu(tmp_path: Path) -> None:
    report = on_device(tmp_path, "-m", "gpu", "tests", *(word for one in NOT_HERE for word in ("--deselect", one)))
    assert "passed" in report
