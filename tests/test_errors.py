"""Messages cite files, and files hold anything."""

from __future__ import annotations

from vibench.errors import UsageError, cited, one_line


def test_a_message_is_one_printable_line() -> None:
    text = str(UsageError("a.csv: holds 'x\n\x1b[31m\u202e\udc80'; remove it."))
    assert text == "a.csv: holds 'x\\n\\x1b[31m\\u202e\\udc80'; remove it."
    text.encode()


def test_a_long_message_keeps_its_file_and_its_remedy() -> None:
    text = str(UsageError(f"a.csv: holds {'x' * 100_000}; remove it."))
    assert text.startswith("a.csv: holds x") and text.endswith("x; remove it.") and len(text) == UsageError.longest
    assert one_line("short and sound") == "short and sound"


def test_few_of_many_are_cited() -> None:
    assert cited([1, 2, 3], 3) == "1, 2, 3"
    assert cited("abcdef", 2) == "a, b and 4 more"
    assert cited({}) == ""
