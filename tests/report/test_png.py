"""Pictures of the charts."""

from __future__ import annotations

from pathlib import Path

import pytest

from vibench.report.charts.chart import Subject
from vibench.report.charts.cmc import Curve, cmc_chart
from vibench.report.drawing import Drawing
from vibench.report.png import write_png

pytest.importorskip("matplotlib", reason="PNGs need matplotlib (pip install vibench[plots])")


def _drawing(name: str) -> Drawing:
    return cmc_chart([Curve(Subject(name, ("r",)), (40.0, 60.0, 80.0))], "a title of many words " * 6).drawing


def test_a_picture_has_the_drawing_s_size_and_the_same_bytes_again(tmp_path: Path) -> None:
    from PIL import Image

    drawing = _drawing("$x_1$ \\frac{ 中 \x00")
    write_png(tmp_path / "a.png", drawing)
    write_png(tmp_path / "b.png", drawing)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width == 2 * drawing.width and picture.height > 2 * drawing.height
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 24)}
    assert (0x0B, 0x5C, 0xAD) in colours, "the curve is there, in its colour"
