"""``vibench profile`` as a user runs it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path


def test_a_method_by_name_is_profiled_without_data(
    vibench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    small = ["--set", "model.backbone=resnet18", "--set", "input.height=32", "--set", "input.width=32"]
    done = vibench(
        "profile", "baseline", *small, "--device", "cpu", "--amp", "off", "--batch", 2, "--json", tmp_path / "p.json"
    )
    assert done.returncode == 0, done.stderr
    assert "GFLOPs per image" in done.stdout and "throughput, batch 2" in done.stdout
    found = json.loads((tmp_path / "p.json").read_text())
    assert (found["method"], found["input"], found["precision"]) == ("baseline", "32x32", "fp32")
    assert found["images_per_second"] > 0


def test_unknown_target_is_bad_usage(vibench: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = vibench("profile", "basline")
    assert done.returncode == 2
    assert "baseline" in done.stderr and "Traceback" not in done.stderr
