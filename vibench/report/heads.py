"""Heads of columns that sort the table they stand in."""

from __future__ import annotations

from vibench.report.markup import Markup, element


def head(title: str, meaning: str, kind: str, first: str) -> Markup:
    """A column's head; with a ``kind``, ``text`` or ``number``, it sorts, first in the direction ``first``."""
    if not kind:
        return element("th", title, scope="col", title=meaning)
    button = element("button", title, type="button", class_="sort", title=meaning)
    return element("th", button, scope="col", data_kind=kind, data_first=first)
