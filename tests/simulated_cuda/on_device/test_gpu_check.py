"""The parts of ``python -m tests.benchmarks.gpu_check`` on a device, at the sizes of a CPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.gpu_parts import METHODS, ON_CPU, PARTS, Context
from tests.methods.built_in import BUILT_IN
from tests.simulated_cuda.device import NAME


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "figures"),
    [
        ("equality", 2 + len(BUILT_IN)),
        ("evaluation", 3),
        ("training", 6 * len(METHODS)),
        ("extraction", 6 * len(METHODS)),
        ("profiles", len(BUILT_IN)),
    ],
)
def test_a_part(part: str, figures: int, tmp_path: Path) -> None:
    found = list(PARTS[part](Context("cuda", ON_CPU, str(tmp_path), ())))
    assert len({one.what for one in found}) == len(found) == figures
    for one in found:
        assert one.hardware == NAME and one.measured is not None
        assert one.met if part == "equality" else one.measured > 0
    if part in ("training", "extraction"):
        assert any("tf32, compiled" in one.what for one in found) and all("MiB" in one.note for one in found)
