"""The twin is neither trivial nor hopeless (minutes; the figures stand in vibench/datasets/README.md)."""

from pathlib import Path

import pytest

from tests.benchmarks.twin_difficulty import measure
from vibench.datasets.twin.make import make_twin


@pytest.mark.slow
def test_no_shortcut_and_room_for_better_methods(tmp_path: Path) -> None:
    root = make_twin("sysu-mm01", "small", 0, tmp_path / "twin")
    rank1 = {name: first for name, (first, _) in measure(root, tmp_path).items()}
    assert rank1["chance"] < 0.10
    assert rank1["colour histogram"] < 0.10
    assert rank1["brightness profile"] < 0.10
    assert rank1["grey HOG"] < 0.25
    assert 0.20 < rank1["attribute codes"] < 0.40
    assert 0.30 < rank1["network"] < 0.80
    assert rank1["network, visible only"] > rank1["network"] + 0.10
