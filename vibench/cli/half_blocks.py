"""Pictures in a terminal: one character is one pixel wide and two high."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image
    from rich.text import Text


def half_blocks(picture: Image.Image) -> Text:
    """An RGB picture of even height as text in 24-bit colours: each ``▀`` has its upper pixel's colour, its background
    the lower one's."""
    import numpy as np
    from rich.text import Text

    pixels = np.asarray(picture)
    text = Text(no_wrap=True)
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        for above, below in zip(upper, lower, strict=True):
            text.append("▀", f"rgb({above[0]},{above[1]},{above[2]}) on rgb({below[0]},{below[1]},{below[2]})")
        text.append("\n")
    return text
