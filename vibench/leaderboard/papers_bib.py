"""The papers of printed methods: ``papers.bib`` of the published files.

The file is BibTeX of a plain form, so that every reader of it agrees: an entry begins with ``@kind{key,`` in a line of
its own, has one field per line as ``name = {value},``, and ends with ``}`` in a line of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from vibench.files.reading import read_text
from vibench.leaderboard.csv_schema import Fail, refuse

Entry: TypeAlias = Mapping[str, str]
"""Fields of an entry by name, values without their outer braces; its kind under ``ENTRYTYPE``."""
Bibliography: TypeAlias = Mapping[str, Entry]
"""Entries by key."""

KIND = "ENTRYTYPE"
EXPECTED = ("author", "title", "year")
"""Fields without which a paper is hardly found."""

_START = re.compile(r"@(?P<kind>[a-z]+)\{(?P<key>[a-z0-9-]+),")
_FIELD = re.compile(r" +(?P<name>[a-z]+) = \{(?P<value>.+)\},")


def read_papers(path: Path, fail: Fail = refuse) -> Bibliography:
    """The entries of a ``papers.bib``; ``fail`` is told the first line that is not of the form above."""
    entries: dict[str, dict[str, str]] = {}
    entry: dict[str, str] | None = None
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}).")
        return {}
    for number, line in enumerate(lines, start=1):
        start, field = _START.fullmatch(line), _FIELD.fullmatch(line)
        if entry is None and start:
            if start["key"] in entries:
                fail(f"{path}, line {number}: '{start['key']}' is listed twice; keep one entry.")
            entry = entries[start["key"]] = {KIND: start["kind"]}
        elif entry is not None and field and _balanced(field["value"]):
            entry[field["name"]] = field["value"]
        elif entry is not None and line == "}":
            entry = None
        elif line.strip() or entry is not None:
            fail(
                f"{path}, line {number}: must begin an entry as '@kind{{key,', hold a field as 'name = {{value}},' or "
                f"end one as '}}', not '{line}'."
            )
            return entries
    if entry is not None:
        fail(f"{path}: its last entry has no end; close it with '}}' in a line of its own.")
    return entries


def _balanced(value: str) -> bool:
    depth = 0
    for letter in value:
        depth += (letter == "{") - (letter == "}")
        if depth < 0:
            return False
    return depth == 0
