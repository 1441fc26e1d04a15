"""A contact sheet: one identity a row, two images of each camera."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vibench.datasets.twin.harder import Harder
from vibench.datasets.twin.plan import check_layout
from vibench.datasets.twin.render import Renderer
from vibench.errors import UsageError
from vibench.files.writing import atomic_path

SIZE = (288, 144)
_MARGIN = 6
_HEADING = 22
_IMAGES_EACH = 2


def preview_sheet(
    layout: str,
    seed: int,
    identities: int = 12,
    size: tuple[int, int] | None = None,
    harder: Harder | None = None,
) -> Image.Image:
    """Draw identities 1..``identities`` in every camera, two images each, every image scaled to ``size`` (H, W).

    Raises:
        UsageError: an unknown layout.
    """
    check_layout(layout)
    size = SIZE if size is None else size
    renderer = Renderer(layout, seed, size, harder)
    height, width = size
    places = range(1, len(renderer.cameras) + 1)
    columns = [(place, number) for place in places for number in range(1, _IMAGES_EACH + 1)]
    sheet = Image.new(
        "RGB",
        (_MARGIN + len(columns) * (width + _MARGIN), _HEADING + identities * (height + _MARGIN) + _MARGIN),
        (250, 250, 250),
    )
    drawing = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=15)
    for place, camera in enumerate(renderer.cameras):
        left = _MARGIN + _IMAGES_EACH * place * (width + _MARGIN)
        drawing.text((left, 3), camera.title, fill=(20, 20, 20), font=font)
    for row in range(identities):
        for column, (place, number) in enumerate(columns):
            image = renderer.render(row + 1, place, number).image
            position = (_MARGIN + column * (width + _MARGIN), _HEADING + row * (height + _MARGIN))
            sheet.paste(_scaled(image, size), position)
    return sheet


def preview_row(layout: str, seed: int, pid: int, size: tuple[int, int]) -> Image.Image:
    """Draw identity ``pid`` once in every camera, side by side without margins, every image scaled to ``size`` (H, W).

    Raises:
        UsageError: an unknown layout.
    """
    check_layout(layout)
    renderer = Renderer(layout, seed, SIZE)
    height, width = size
    row = Image.new("RGB", (width * len(renderer.cameras), height))
    for place in range(len(renderer.cameras)):
        row.paste(_scaled(renderer.render(pid, place + 1, 1).image, size), (place * width, 0))
    return row


def write_preview(
    target: Path,
    layout: str,
    seed: int,
    size: tuple[int, int] | None = None,
    identities: int = 12,
    harder: Harder | None = None,
) -> None:
    """Draw the contact sheet into an image file of the kind that its ending names.

    Raises:
        UsageError: an unknown layout, or an ending that names no image format.
    """
    if target.suffix.lower() not in Image.registered_extensions():
        raise UsageError(f"--preview {target} names no image format by its ending; write e.g. sheet.png")
    kind = Image.registered_extensions()[target.suffix.lower()]
    sheet = preview_sheet(layout, seed, identities, size, harder)
    with atomic_path(target) as temporary:
        sheet.save(temporary, format=kind)


def _scaled(image: np.ndarray, size: tuple[int, int]) -> Image.Image:
    picture = Image.fromarray(image if image.shape[2] == 3 else np.repeat(image, 3, axis=2))
    return picture.resize((size[1], size[0]), Image.Resampling.BICUBIC)
