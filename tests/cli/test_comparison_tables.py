"""Two methods compared in one sentence."""

from __future__ import annotations

import pytest

from vibench.cli.comparison_tables import brief_verdict
from vibench.records.comparison import Comparison, Difference, Pair, Resampling


def compared(map_noise: bool, r1_noise: bool) -> Comparison:
    differences = (
        Difference("map", 0.024, (-0.006, 0.051), 0.2, 0.2, None, map_noise),
        Difference("r1", -0.031, (-0.0601, -0.002), 0.04, 0.04, None, r1_noise),
    )
    pair = Pair("agw", "baseline", differences, ())
    return Comparison("d", "1", "sysu-all", "seeded", "", 10, 5, 1, (), (pair,), Resampling(), ())


@pytest.mark.parametrize(
    ("map_noise", "r1_noise", "start", "end_r1", "end_map"),
    [
        (True, True, "agw is within noise of baseline", ",", ""),
        (True, False, "agw against baseline", ", more than noise;", ", within noise"),
        (False, False, "agw against baseline", ", more than noise;", ", more than noise"),
    ],
)
def test_both_metrics_and_whether_they_are_noise(
    map_noise: bool, r1_noise: bool, start: str, end_r1: str, end_map: str
) -> None:
    said = brief_verdict(compared(map_noise, r1_noise))
    assert said == f"{start}: r1 -3.1 (-6.0 to -0.2){end_r1} mAP +2.4 (-0.6 to +5.1){end_map}"
