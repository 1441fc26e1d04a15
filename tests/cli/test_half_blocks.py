"""Pictures in a terminal."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from rich.console import Console

from vibench.cli.half_blocks import half_blocks


def test_two_rows_of_pixels_are_one_of_characters() -> None:
    pixels = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(4, 3, 3)
    written = io.StringIO()
    Console(file=written, force_terminal=True, color_system="truecolor", width=20).print(
        half_blocks(Image.fromarray(pixels)), end=""
    )
    first, second = written.getvalue().splitlines()[:2]
    assert first.count("▀") == second.count("▀") == 3
    # Foreground the upper pixel, background the lower one.
    assert first.startswith("\x1b[38;2;0;1;2;48;2;9;10;11m▀")
    assert "38;2;24;25;26;48;2;33;34;35m▀" in second
