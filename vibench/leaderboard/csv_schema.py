"""CSV files with a schema: what every column may hold, checked cell by cell while reading."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from vibench.errors import UsageError
from vibench.files.reading import read_text

Fail: TypeAlias = Callable[[str], None]
"""What becomes of a problem, a sentence: an error, or an entry of a list."""


def refuse(problem: str) -> None:
    """Make a problem an error: `UsageError`."""
    raise UsageError(problem)


@dataclass(frozen=True)
class Column:
    """What the cells of one column may hold."""

    expectation: str
    """In words that follow "must be"."""
    accepts: Callable[[str], bool]


def matching(pattern: str, expectation: str) -> Column:
    """Cells that match a regular expression as a whole."""
    return Column(expectation, lambda value: re.fullmatch(pattern, value) is not None)


def one_of(*choices: str) -> Column:
    """Cells that hold one of a few texts."""
    return Column(f"one of {', '.join(choice or '(empty)' for choice in choices)}", lambda value: value in choices)


TEXT = matching(r".+", "a text")
ANY = matching(r"[^\x00-\x08]*", "a text or empty")
SLUG = matching(r"[a-z0-9][a-z0-9-]*", "a slug of small letters, digits and '-'")
SLUGS = matching(r"[a-z0-9-]+( / [a-z0-9-]+)*", "slugs joined by ' / '")
YEAR = matching(r"((19|20)\d\d)?", "a year or empty")


def read_rows(path: Path, schema: Mapping[str, Column], fail: Fail = refuse) -> Iterator[tuple[str, dict[str, str]]]:
    """The checked rows of a file, each with its place in words.

    ``fail`` is told file, line, column and value of a row's first cell that breaks the schema; where it returns, the
    row is left out.
    """
    try:
        reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        header = next(reader, [])
        if header != list(schema):
            return fail(f"{path}, line 1: the columns must be {', '.join(schema)}, not {', '.join(header)}.")
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if len(cells) != len(schema):
                fail(f"{where}: has {len(cells)} cells and the header {len(schema)}; quote commas.")
                continue
            row = dict(zip(schema, cells, strict=True))
            wrong = next((name for name in schema if not _accepted(schema[name], row[name])), "")
            if wrong:
                fail(f"{where}: column '{wrong}' must be {schema[wrong].expectation}, not '{row[wrong]}'.")
                continue
            yield where, row
    except OSError as error:
        fail(f"{path}: cannot be read ({error.strerror}).")
    except (UnicodeDecodeError, csv.Error) as error:
        fail(f"{path}: is not a CSV file in UTF-8 ({error}).")


def _accepted(column: Column, value: str) -> bool:
    return column.accepts(value) and value.isprintable()
