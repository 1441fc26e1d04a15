"""``vibench profile`` as a user runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from vibench.profiling.profile import read_profile

_SMALL = (
    *("--set", "model.backbone=resnet18-slim", "--set", "input.height=32", "--set", "input.width=32"),
    *("--set", "sampler.identities=2", "--set", "sampler.images=2"),
)


def test_a_method_by_name_is_profiled_without_data(
    vibench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    drawing = find_spec("matplotlib") is not None
    done = vibench(
        *("profile", "baseline", *_SMALL, "--device", "cpu", "--amp", "off", "--max-batch", 2, "--seconds", 0.05),
        *("--json", tmp_path / "p.json", *(("--plot", tmp_path / "p.png") if drawing else ())),
    )
    assert done.returncode == 0, done.stderr
    for said in ("GFLOPs per test image", "training step", "backward", "matching 64 queries", "resident MiB"):
        assert said in done.stdout
    found = read_profile(tmp_path / "p.json")
    assert (found.method, found.input, found.precision) == ("baseline", "32x32", "fp32")
    assert found.embedding and found.embedding.fastest.images_per_second > 0
    assert found.training and found.training.images == 8
    assert (tmp_path / "p.png").exists() == drawing
    assert not drawing or (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("basline",), "baseline"), (("agw", "--part", "trainig"), "did you mean 'training'")],
)
def test_bad_usage_is_one_sentence(
    vibench: Callable[..., subprocess.CompletedProcess[str]], arguments: tuple[str, ...], said: str
) -> None:
    done = vibench("profile", *arguments)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr
