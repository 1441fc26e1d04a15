"""Image files, decoded or refused with the reason."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from vibench.errors import VibenchError, one_line
from vibench.files.reading import read_bytes

Fault = Literal["missing", "truncated", "unreadable"]

LARGEST_FILE = 64 << 20
"""Bytes of an image file."""
LARGEST_IMAGE = 32 << 20
"""Pixels of an image, by what the file declares before anything is decoded; a person's image has some thousand."""
FORMATS = ("JPEG", "PNG", "BMP")
"""What is decoded, whatever a file's name ends in. Some of Pillow's other formats start programs."""

_SIXTEEN_BITS = "I;16"
_JPEG_SCAN = b"\xff\xda"
_JPEG_END = b"\xff\xd9"


class ImageFileError(VibenchError):
    """An image file that cannot be decoded completely."""

    def __init__(self, path: str, kind: Fault, detail: str) -> None:
        super().__init__(path, kind, detail)
        self.path = path
        self.kind = kind
        self.detail = detail

    def __str__(self) -> str:
        return one_line(f"{self.path} is {self.kind} ({self.detail}); vibench data check lists all such images")


def read_rgb(path: Path) -> Image.Image:
    """Decode an image file to RGB; a single channel becomes three equal ones, EXIF orientation is ignored.

    Of 16 bits per channel the upper eight count. Raises `ImageFileError` for a file that is absent, unreadable, of more
    than `LARGEST_IMAGE` pixels, or ends too early.
    """
    content = _content(path)
    try:
        with _opened(path, content) as image:
            if image.mode.startswith(_SIXTEEN_BITS):
                # Pillow's own conversion would cut everything brighter than 255 of 65535 to white.
                decoded = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            else:
                decoded = image.convert("RGB")
            encoding = image.format
    except ImageFileError:
        raise
    except Exception as error:  # PIL's decoders raise almost anything on damaged bytes
        raise _decoding_error(path, error) from None
    # libjpeg replaces a missing end by grey; inside a scan the bytes of a marker cannot occur by chance.
    if encoding == "JPEG" and content.rfind(_JPEG_END) < content.rfind(_JPEG_SCAN):
        raise ImageFileError(str(path), "truncated", "the JPEG's end marker is missing")
    return decoded


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) that an image file declares; nothing is decoded. Raises `ImageFileError` as `read_rgb` does."""
    try:
        with _opened(path, _content(path)) as image:
            return image.size
    except ImageFileError:
        raise
    except Exception as error:
        raise _decoding_error(path, error) from None


def _content(path: Path) -> bytes:
    try:
        content = read_bytes(path, LARGEST_FILE)
    except FileNotFoundError:
        raise ImageFileError(str(path), "missing", "no such file") from None
    except OSError as error:
        raise ImageFileError(str(path), "unreadable", error.strerror or str(error)) from None
    if not content:
        raise ImageFileError(str(path), "truncated", "0 bytes")
    return content


def _opened(path: Path, content: bytes) -> Image.Image:
    too_large = ImageFileError(str(path), "unreadable", f"it declares more than {LARGEST_IMAGE} pixels")
    with warnings.catch_warnings():
        # The size is checked here, and what else Pillow finds odd does not change a pixel.
        warnings.simplefilter("ignore")
        try:
            image = Image.open(BytesIO(content), formats=FORMATS)
        except Image.DecompressionBombError:
            raise too_large from None
    if image.width * image.height > LARGEST_IMAGE:
        raise too_large
    return image


def _decoding_error(path: Path, error: Exception) -> ImageFileError:
    kind: Fault = "truncated" if "truncated" in str(error).lower() else "unreadable"
    # PIL cites the address of the in-memory file, which tells the user nothing.
    detail = f"it is none of {', '.join(FORMATS)}" if "cannot identify" in str(error) else str(error)
    return ImageFileError(str(path), kind, detail)
