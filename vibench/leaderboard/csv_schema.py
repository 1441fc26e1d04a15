"""CSV files with a schema: what every column may hold, checked cell by cell while reading."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vibench.errors import UsageError
from vibench.files.reading import read_text


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
YEAR = matching(r"(19|20)\d\d", "a year")


def read_rows(path: Path, schema: Mapping[str, Column]) -> Iterator[tuple[str, dict[str, str]]]:
    """The checked rows of a file, each with its place in words.

    `UsageError` names file, line, column and value of the first cell that breaks the schema.
    """
    try:
        reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
        header = next(reader, [])
        if header != list(schema):
            raise UsageError(f"{path}, line 1: the columns must be {', '.join(schema)}, not {', '.join(header)}.")
        for cells in reader:
            where = f"{path}, line {reader.line_num}"
            if len(cells) != len(schema):
                raise UsageError(f"{where}: has {len(cells)} cells and the header {len(schema)}; quote commas.")
            row = dict(zip(schema, cells, strict=True))
            for name, column in schema.items():
                if not (column.accepts(row[name]) and row[name].isprintable()):
                    raise UsageError(f"{where}: column '{name}' must be {column.expectation}, not '{row[name]}'.")
            yield where, row
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: is not a CSV file in UTF-8 ({error}).") from None
