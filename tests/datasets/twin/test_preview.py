"""The contact sheet."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vibench.datasets.twin.preview import preview_row, preview_sheet, write_preview
from vibench.errors import UsageError


def test_a_row_per_identity_and_all_cameras() -> None:
    small, tall = (preview_sheet("sysu-mm01", 0, identities=rows, size=(32, 16)) for rows in (1, 3))
    assert small.width == tall.width
    assert tall.height - small.height == 2 * (32 + 6)
    assert small.width > 12 * 16
    # The infrared columns are grey, the others are not.
    pixels = np.asarray(small).astype(int)[22:]
    chroma = np.ptp(pixels, axis=2).max(axis=0)
    columns = [chroma[6 + column * 22 : 22 + column * 22].max() for column in range(12)]
    assert [column > 10 for column in columns] == [
        camera in (1, 2, 4, 5) for camera in (1, 2, 3, 4, 5, 6) for _ in "ab"
    ]


def test_one_person_in_a_row_once_a_camera() -> None:
    row = np.asarray(preview_row("sysu-mm01", 0, 2, (32, 13))).astype(int)
    assert row.shape == (32, 6 * 13, 3)
    chroma = np.ptp(row, axis=2).reshape(32, 6, 13).max(axis=(0, 2))
    assert [value > 10 for value in chroma] == [True, True, False, True, True, False]
    with pytest.raises(UsageError, match="no twin has the layout"):
        preview_row("llcm", 0, 1, (32, 13))


def test_the_sheet_is_written_whole(tmp_path: Path) -> None:
    write_preview(tmp_path / "sheet.png", "regdb", 0, size=(32, 16))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG" and sheet.height > 12 * 32


def test_an_ending_without_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no image format"):
        write_preview(tmp_path / "sheet.txt", "regdb", 0)
    with pytest.raises(UsageError, match="no twin has the layout"):
        write_preview(tmp_path / "sheet.png", "llcm", 0)
