"""Mutations of a file's bytes that know nothing of its format."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_ODD = (b"\x00", b"\xff", b"\n", b"\r", b'"', b"'", b"\\", b"/", b"../", b"[", b"{", b"9" * 30, b"-1", b"\x80", b"nan")


def mutate_bytes(content: bytes, random: Random) -> bytes:
    """``content`` with one to four mutations."""
    for _ in range(random.randint(1, 4)):
        content = random.choice(_MUTATIONS)(content, random)
    return content


def _place(content: bytes, random: Random) -> int:
    return random.randint(0, len(content))


def _flip(content: bytes, random: Random) -> bytes:
    if not content:
        return content
    at = random.randrange(len(content))
    return content[:at] + bytes([content[at] ^ (1 << random.randrange(8))]) + content[at + 1 :]


def _overwrite(content: bytes, random: Random) -> bytes:
    at = _place(content, random)
    odd = random.choice(_ODD)
    return content[:at] + odd + content[at + len(odd) :]


def _insert(content: bytes, random: Random) -> bytes:
    at = _place(content, random)
    return content[:at] + random.choice(_ODD) + content[at:]


def _truncate(content: bytes, random: Random) -> bytes:
    return content[: _place(content, random)]


def _cut(content: bytes, random: Random) -> bytes:
    first, last = sorted((_place(content, random), _place(content, random)))
    return content[:first] + content[min(last, first + 64) :]


def _duplicate(content: bytes, random: Random) -> bytes:
    first, last = sorted((_place(content, random), _place(content, random)))
    return content[:last] + content[first:last] + content[last:]


def _splice(content: bytes, random: Random) -> bytes:
    first, last = sorted((_place(content, random), _place(content, random)))
    at = _place(content, random)
    return content[:at] + content[first:last] + content[at:]


def _number(content: bytes, random: Random) -> bytes:
    """A binary number of another size at some place: lengths, dimensions and offsets are such."""
    width = random.choice((1, 2, 4, 8))
    value = random.choice((0, 1, 255, 2**31 - 1, 2**32 - 1, 2**63 - 1, 2**64 - 1, random.getrandbits(64)))
    at = _place(content, random)
    return content[:at] + (value % 256**width).to_bytes(width, random.choice(("little", "big"))) + content[at + width :]


_MUTATIONS: tuple[Callable[[bytes, Random], bytes], ...] = (
    _flip,
    _overwrite,
    _insert,
    _truncate,
    _cut,
    _duplicate,
    _splice,
    _number,
)
