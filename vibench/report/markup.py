"""HTML and SVG as nested function calls that escape every text that is not markup already.

Method names, notes and file names come from files that anybody may have written; no caller has to remember that.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

_VOID = frozenset({"meta", "rect", "circle", "line", "path", "polyline", "polygon"})
# Control characters, and those that turn the direction of the text around them.
_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]"
)


class Markup(str):
    """Text that is HTML or SVG already."""


def displayable(text: str) -> str:
    """The text with U+FFFD for every character that cannot be shown or would disorder its neighbours."""
    return _UNSHOWABLE.sub("\ufffd", text)


def escape(text: str) -> Markup:
    """The displayable text as HTML writes it, in content and in quoted attributes; markup stays as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(displayable(text)))


def element(tag: str, *children: str, **attributes: str | int | float | bool | None) -> Markup:
    """``<tag attributes>children</tag>``; plain strings are escaped.

    A trailing ``_`` of an attribute's name falls away and other ``_`` become ``-`` (``class_``, ``data_record``).
    None and False leave the attribute out, True writes its name alone.
    """
    written = "".join(
        f" {_name(name)}" if value is True else f' {_name(name)}="{escape(str(value))}"'
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID and not children:
        return Markup(f"<{tag}{written}>" if tag == "meta" else f"<{tag}{written}/>")
    return Markup(f"<{tag}{written}>{join(children)}</{tag}>")


def join(parts: Iterable[str], separator: str = "") -> Markup:
    """The parts one behind the other, plain strings escaped."""
    return Markup(escape(separator).join(escape(part) for part in parts))


def _name(name: str) -> str:
    # SVG has attributes with capitals, viewBox, which pass as they are.
    return name.rstrip("_").replace("_", "-")
