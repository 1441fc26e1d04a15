"""JSON files, most of which hold one dataclass: written atomically, read as strictly as TOML."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from vibench.errors import UsageError
from vibench.files.reading import LARGEST_TEXT, parse_json, read_text
from vibench.files.toml import parse_table
from vibench.files.writing import write_json

T = TypeVar("T")


def read_json(path: Path, largest: int = LARGEST_TEXT) -> Any:
    """The value of a JSON file of at most ``largest`` bytes; `UsageError` where it is absent, unreadable or none."""
    try:
        return parse_json(read_text(path, largest=largest))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise UsageError(f"{path}: is not valid JSON ({error}); make it again.") from None


def read_json_table(kind: type[T], path: Path) -> T:
    """Read a file of `write_json_table`; `UsageError` where it is absent, unreadable or holds something else."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise UsageError(f"{path}: must hold a JSON object.")
    return parse_table(kind, content, str(path))


def write_json_table(path: Path, value: Any) -> None:
    """Write a dataclass; entries that are None are left out."""
    write_json(path, without_none(dataclasses.asdict(value)))


def without_none(value: Any) -> Any:
    """Entries of tables that are None are absent, as the strict reader of tables wants what has a default."""
    if isinstance(value, dict):
        return {key: without_none(entry) for key, entry in value.items() if entry is not None}
    return [without_none(entry) for entry in value] if isinstance(value, list | tuple) else value
