"""What all tables of the page share: heads of columns that sort, and the box that a wide table scrolls in."""

from __future__ import annotations

from vibench.report.markup import Markup, element


def head(title: str, meaning: str, kind: str, first: str) -> Markup:
    """A column's head; with a ``kind``, ``text`` or ``number``, it sorts, first in the direction ``first``."""
    if not kind:
        return element("th", title, scope="col", title=meaning)
    button = element("button", title, type="button", class_="sort", title=meaning)
    return element("th", button, scope="col", data_kind=kind, data_first=first)


def scrolling(content: Markup, label: str) -> Markup:
    """A box that scrolls sideways, by keyboard too, so that the page never does."""
    return element("div", content, class_="scroll", tabindex=0, role="group", aria_label=label)
