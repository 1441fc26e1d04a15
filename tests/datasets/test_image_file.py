from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.mini import write_image
from vibench.datasets.image_file import ImageFileError, read_rgb


def test_one_channel_becomes_three_equal_ones(tmp_path: Path) -> None:
    write_image(tmp_path / "a.bmp", 0, grey=True)
    pixels = np.asarray(read_rgb(tmp_path / "a.bmp"))
    assert pixels.shape == (48, 24, 3)
    assert (pixels == pixels[..., :1]).all()


def test_orientation_tags_are_ignored(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg", 0)
    with Image.open(tmp_path / "a.jpg") as image:
        tags = image.getexif()
        tags[0x0112] = 6
        image.save(tmp_path / "b.jpg", exif=tags)
    assert read_rgb(tmp_path / "b.jpg").size == (24, 48)


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
@pytest.mark.parametrize("lost", [1, 2, 50, 700])
def test_a_file_that_ends_too_early_is_truncated(tmp_path: Path, suffix: str, lost: int) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, 0)
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(ImageFileError) as refusal:
        read_rgb(path)
    assert refusal.value.kind == "truncated"


def test_kinds_and_messages(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no image at all")
    (tmp_path / "folder.jpg").mkdir()
    kinds = {}
    for name in ("empty.jpg", "text.jpg", "folder.jpg", "absent.jpg"):
        with pytest.raises(ImageFileError, match=rf"{name} is .*vibench data check") as refusal:
            read_rgb(tmp_path / name)
        kinds[name] = refusal.value.kind
        assert str(pickle.loads(pickle.dumps(refusal.value))) == str(refusal.value)
    assert kinds == {
        "empty.jpg": "truncated",
        "text.jpg": "unreadable",
        "folder.jpg": "unreadable",
        "absent.jpg": "missing",
    }
