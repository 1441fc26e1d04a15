"""The figure of a paper on twins that grow harder."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import vl_convert

from tests.benchmarks.harder_twins import PAPERS, added, differences, figure
from tests.conftest import REPOSITORY
from vibench.datasets.twin.harder import KINDS


def test_a_level_that_nobody_trained_is_left_out_and_the_rest_drawn(tmp_path: Path) -> None:
    table = differences(tmp_path, REPOSITORY / "leaderboards")
    assert set(zip(table["property"], table["level"], table["method"], strict=True)) == {
        (kind, 0, paper) for kind in KINDS for paper in PAPERS
    }
    assert (table["low"] <= table["difference"]).all() and (table["difference"] <= table["high"]).all()
    assert ((table["mAP"] - table["against mAP"] - table["difference"]).abs() < 0.011).all()
    svg = vl_convert.vegalite_to_svg(figure(table, "ddag"))
    assert all(f">{word}<" in svg for word in (*KINDS, "ddag", "baseline", "difference"))


def test_levels_of_several_machines_stand_in_one_table() -> None:
    def table(*rows: tuple[str, int, str, float]) -> pd.DataFrame:
        return pd.DataFrame(rows, columns=["property", "level", "method", "mAP"])

    before = table(("pose", 0, "ddag", 1.0), ("pose", 3, "ddag", 2.0), ("pose", 3, "cal", 3.0))
    now = table(("occlusion", 1, "cal", 4.0), ("pose", 1, "ddag", 5.0), ("pose", 0, "ddag", 6.0))
    assert added(before, now).values.tolist() == [
        ["occlusion", 1, "cal", 4.0],
        ["pose", 0, "ddag", 6.0],
        ["pose", 1, "ddag", 5.0],
        ["pose", 3, "ddag", 2.0],
        ["pose", 3, "cal", 3.0],
    ]
