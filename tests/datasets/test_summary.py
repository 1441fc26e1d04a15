from __future__ import annotations

from pathlib import Path

from vibench.datasets import sysu_mm01
from vibench.datasets.summary import summarise


def test_summary_of_a_small_copy(sysu_root: Path) -> None:
    rows = [tuple(row) for row in summarise(sysu_mm01.index(sysu_root)).itertuples(index=False, name=None)]
    assert rows[:7] == [
        ("train", "visible", "1", 2, 4),
        ("train", "visible", "2", 2, 4),
        ("train", "visible", "4", 2, 4),
        ("train", "visible", "5", 2, 4),
        ("train", "infrared", "3", 2, 4),
        ("train", "infrared", "6", 2, 4),
        ("train", "", "", 2, 24),
    ]
    assert [row[4] for row in rows if not row[1]] == [24, 12, 24, 12]
    assert [row[0] for row in rows if not row[1]] == ["train", "val", "test", "unused"]
