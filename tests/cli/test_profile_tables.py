"""A profile as tables."""

from __future__ import annotations

import dataclasses

from rich.console import Console

from tests.profiling.profiles import make_profile
from vibench.cli.profile_tables import profile_tables
from vibench.profiling.profile import Profile


def _lines(profile: Profile) -> list[list[str]]:
    """The cells of every line."""
    console = Console(width=160)
    with console.capture() as captured:
        for shown in profile_tables(profile):
            console.print(shown)
    return [[cell.strip() for cell in line.strip("│┃ ").split("│")] for line in captured.get().splitlines()]


def test_every_figure_stands_in_its_column() -> None:
    lines = _lines(make_profile())
    assert ["training step", "64 images, 110.00 GFLOPs, 129.0 ms, 496.1 images/s"] in lines
    assert ["GFLOPs per test image", "10.00 (2 per multiply-accumulate)"] in lines
    assert ["throughput", "400.0 images/s in batches of 4"] in lines
    assert ["backward", "80.00 (72.00 to 96.00)", "50.00", "50", "100"] in lines
    assert ["extraction of 4 images", "10.00 (9.00 to 12.00)", "40.00", "4", "8"] in lines
    assert ["matching 64 queries with 10,000 rows", "64.00 (57.60 to 76.80)", "–", "9", "18"] in lines
    assert ["8", "24.00 (21.60 to 28.80)", "333.3", "8", "16"] in lines
    assert ["single", "10,000", "30", "9", "18"] in lines
    sentences = [line[0] for line in lines if len(line) == 1]
    assert "Larger batches are left out: twice as many brought less than 5 %." in sentences
    assert any("query mode single): a gallery of 300,000 rows does not fit" in sentence for sentence in sentences)


def test_parts_without_figures_have_no_table() -> None:
    lines = _lines(dataclasses.replace(make_profile(), embedding=None, training=None, matching=()))
    assert ["parameters in testing", "20.00 M"] in lines
    assert not any("phase" in cell or "images/s" in cell for line in lines for cell in line)
