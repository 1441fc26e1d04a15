"""Files read within bounds: regular ones alone, and never more bytes than they may have."""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from vibench.errors import UsageError

LARGEST_TEXT = 64 << 20
"""Bytes of a text file: lists, tables, recipes and descriptions are far smaller."""
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def status_of_regular(path: Path) -> os.stat_result:
    """What the system says of a regular file.

    Raises `OSError`, its ``strerror`` saying why, for every other: a pipe would be waited for, a device never ends.
    """
    try:
        status = Path(path).stat()
    except ValueError:  # no file's name holds a zero byte
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "It is no regular file", str(path))
    return status


def read_bytes(path: Path, largest: int) -> bytes:
    """The bytes of a regular file of at most ``largest`` bytes; `OSError` as `status_of_regular` for every other."""
    status = status_of_regular(path)
    if status.st_size > largest:
        raise OSError(errno.EFBIG, f"It has {status.st_size} bytes, more than the {largest} allowed", str(path))
    with Path(path).open("rb") as handle:
        return handle.read(largest)


def require_file(path: Path) -> None:
    """`UsageError` where ``path`` is absent, or is a folder, a pipe or a device."""
    if not path.is_file():
        raise UsageError(f"{path}: {'is no regular file; name one' if path.exists() else 'there is no such file'}.")


def read_text(path: Path, encoding: str = "utf-8", largest: int = LARGEST_TEXT) -> str:
    """The text of a regular file of at most ``largest`` bytes, every line ending in ``\\n``.

    A text in UTF-16 that says so, as Windows' PowerShell writes one, is read whatever ``encoding``: its first two bytes
    begin no other. Raises `OSError` as `read_bytes` does and `UnicodeDecodeError`.
    """
    content = read_bytes(path, largest)
    return io.StringIO(content.decode("utf-16" if is_utf16(content) else encoding), newline=None).read()


def is_utf16(content: bytes) -> bool:
    """Whether a text says of itself that it is UTF-16."""
    return content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))


def parse_json(text: str) -> Any:
    """The value of a JSON text; `ValueError` for whatever is none, for nesting too deep and for half letters."""
    try:
        value = json.loads(text)
        # Escaped lone surrogates are legal JSON but no text that could be written anywhere.
        if _ESCAPED_SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return value
