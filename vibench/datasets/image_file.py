"""Image files, decoded or refused with the reason."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image

from vibench.errors import VibenchError

Fault = Literal["missing", "truncated", "unreadable"]
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
        return f"{self.path} is {self.kind} ({self.detail}); vibench data check lists all such images"


def read_rgb(path: Path) -> Image.Image:
    """Decode an image file to RGB; a single channel becomes three equal ones, EXIF orientation is ignored.

    Raises `ImageFileError` for a file that is absent, unreadable or ends too early.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise ImageFileError(str(path), "missing", "no such file") from None
    except OSError as error:
        raise ImageFileError(str(path), "unreadable", error.strerror or str(error)) from error
    if not content:
        raise ImageFileError(str(path), "truncated", "0 bytes")
    try:
        with Image.open(BytesIO(content)) as image:
            decoded = image.convert("RGB")
            encoding = image.format
    except Exception as error:  # PIL's decoders raise almost anything on damaged bytes
        kind: Fault = "truncated" if "truncated" in str(error).lower() else "unreadable"
        # PIL cites the address of the in-memory file, which tells the user nothing.
        detail = "no known image format" if "cannot identify" in str(error) else str(error)
        raise ImageFileError(str(path), kind, detail) from error
    # libjpeg replaces a missing end by grey; inside a scan the bytes of a marker cannot occur by chance.
    if encoding == "JPEG" and content.rfind(_JPEG_END) < content.rfind(_JPEG_SCAN):
        raise ImageFileError(str(path), "truncated", "the JPEG's end marker is missing")
    return decoded
