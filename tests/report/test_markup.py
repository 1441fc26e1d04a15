"""Escaping: whatever a text holds, it stays a text."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from vibench.report.markup import Markup, displayable, element, escape, join


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_any_text_comes_back_as_text_and_attribute(text: str) -> None:
    seen = _Seen()
    seen.feed(element("p", text, title=text))
    seen.close()
    expected = displayable(text).replace("\r\n", "\n").replace("\r", "\n")
    assert seen.tags == [("p", {"title": displayable(text)})]
    assert seen.text.replace("\r\n", "\n").replace("\r", "\n") == expected
    expected.encode("utf-8")


def test_markup_is_not_escaped_again_and_attributes_always_are() -> None:
    inner = element("b", "a<b")
    assert element("p", inner, "<i>") == "<p><b>a&lt;b</b>&lt;i&gt;</p>"
    assert element("p", title=Markup('"')) == '<p title="&quot;"></p>'
    assert join(["<", Markup("<br>")], "&") == "&lt;&amp;<br>"
    assert escape(escape("&")) == "&amp;"


def test_attributes_without_value_and_void_elements() -> None:
    assert (
        element("tr", hidden=True, id=None, class_="x", aria_label="y") == '<tr hidden class="x" aria-label="y"></tr>'
    )
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'
    assert element("svg", viewBox="0 0 1 1") == '<svg viewBox="0 0 1 1"></svg>'


def test_characters_that_turn_the_direction_of_text_are_not_shown() -> None:
    assert displayable("a\u202eb\x00c\ud800") == "a\ufffdb\ufffdc\ufffd"
