"""The frame of ``python -m tests.benchmarks.gpu_check``, and all of it at the sizes of a CPU."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from tests.benchmarks import gpu_check
from tests.benchmarks.gpu_parts import ON_CPU, PARTS, Context, slowest_method
from tests.benchmarks.target import Target

CPU = torch.device("cpu")


def test_time_is_dealt_out_whole() -> None:
    assert list(gpu_check.SHARES) == list(PARTS)
    left, names = 600.0, list(PARTS)
    for place, name in enumerate(names):
        share = gpu_check.limit(name, names[place + 1 :], left)
        assert 0 < share <= left
        left -= share
    assert left == pytest.approx(0)


def test_what_is_found_is_in_both_files_at_once(tmp_path: Path) -> None:
    part = gpu_check.Part("equality", 1.5, "out of time")
    part.figures["one | two"] = Target("one | two", 2e-3, "", "a card", at_most=1e-4)
    gpu_check.write([part, gpu_check.Part("trace")], 3.0, tmp_path, CPU)
    written = json.loads((tmp_path / "gpu-check.json").read_text("utf-8"))
    assert [(one["name"], one["ended"]) for one in written["parts"]] == [
        ("equality", "out of time"),
        ("trace", "whole"),
    ]
    (figure,) = written["parts"][0]["figures"]
    assert figure["measured"] == 2e-3 and figure["met"] is None
    table = (tmp_path / "gpu-check.md").read_text("utf-8").splitlines()
    assert len({line.count("|") for line in table if line.startswith("|")}) == 1
    assert "equality 2 s (out of time)" in table[-1] and "no figure of a GPU" in table[-1]


def test_the_slowest_method_is_that_of_eager_training() -> None:
    found = [
        Target(f"{work} {name}, net, {way}", rate, "images/s", "card")
        for work, name, way, rate in (
            ("training", "agw", "fp32", 20.0),
            ("training", "ddag", "bf16", 10.0),
            ("training", "baseline", "fp32, compiled", 1.0),
            ("extraction", "cm-ssft", "fp32", 2.0),
        )
    ]
    assert slowest_method(found) == "ddag" and slowest_method(()) == "cm-ssft"


def test_a_part_that_takes_too_long_is_ended() -> None:
    started = time.monotonic()
    assert list(gpu_check.figures("profiles", Context("cpu", ON_CPU, "", ()), 0.0)) == ["out of time"]
    assert time.monotonic() - started < 60


def test_a_part_that_fails_says_why(tmp_path: Path) -> None:
    """The trace has nowhere to lie."""
    (tmp_path / "file").touch()
    *_, ended = gpu_check.figures("profiles", Context("cpu", ON_CPU, str(tmp_path / "file"), ()), 300.0)
    assert isinstance(ended, str) and ended.startswith("NotADirectoryError")


@pytest.mark.slow
def test_every_part_runs_on_the_cpu(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        gpu_check.main(["--minutes", "3", "--device", "cpu", "--out", str(tmp_path / "found")])
    assert ended.value.code == 0
    parts = json.loads((tmp_path / "found" / "gpu-check.json").read_text("utf-8"))["parts"]
    assert [part["name"] for part in parts] == list(PARTS)
    assert all(part["ended"] in ("whole", "out of time") for part in parts)
    assert next(part for part in parts if part["name"] == "equality")["figures"]
