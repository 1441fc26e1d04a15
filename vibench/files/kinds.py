"""What a file is by its first bytes, where it is not what was asked for: a web page saved as data, an archive, a text.

A reader that finds its own format has no need to ask; one that does not can say what the file is instead, and what
helps.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

HEAD_BYTES = 1024
"""First bytes of a file, enough to tell its kind."""
_CITED = 40
"""Letters of a text that are cited: a server that sends no file says there why."""


@dataclass(frozen=True)
class FileKind:
    """What a file is, in words for a sentence: ``F is {name}, no checkpoint; {remedy}``."""

    name: str
    remedy: str


EMPTY = FileKind("an empty file", "copy it again")
WEB_PAGE = FileKind("a web page", "download the file itself, not the page that shows it")
LFS_POINTER = FileKind("a pointer of Git LFS", "run 'git lfs pull' in the repository it came with")
MATLAB_7_3 = FileKind("a MATLAB 7.3 file (HDF5)", "save it again in MATLAB with the option '-v7'")
HDF5 = FileKind("an HDF5 file", "write what it holds in the format that is asked for")
ZIP = FileKind("a ZIP archive", "unpack it")
GZIP = FileKind("packed by gzip", "unpack it")

_BEGINNINGS = tuple(
    (re.compile(beginning, re.DOTALL | re.IGNORECASE), kind)
    for beginning, kind in (
        (rb"\Z", EMPTY),
        (rb"(\xef\xbb\xbf)?\s*<(!doctype html|html|head|body|title|meta|script|!--)", WEB_PAGE),
        (rb"version https://git-lfs", LFS_POINTER),
        # MATLAB puts 512 bytes of its own before the HDF5.
        (rb"MATLAB 7\.3 |.{512}\x89HDF\r\n\x1a\n", MATLAB_7_3),
        (rb"\x89HDF\r\n\x1a\n", HDF5),
        (rb"PK\x03\x04", ZIP),
        (rb"\x1f\x8b", GZIP),
    )
)


def file_kind(content: bytes) -> FileKind | None:
    """The kind of a file by its first `HEAD_BYTES` or more; None where it is none of those told apart here."""
    for beginning, kind in _BEGINNINGS:
        if beginning.match(content):
            return kind
    text = _text(content[:HEAD_BYTES])
    return None if text is None else FileKind(f"a text that begins with {text[:_CITED]!r}", "copy the file itself")


def _text(head: bytes) -> str | None:
    """The first bytes as a text without white space around; None where they are none."""
    try:
        # The head may end within a letter.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head).strip()
    except UnicodeDecodeError:
        return None
    return text if all(letter.isprintable() or letter.isspace() for letter in text) else None
