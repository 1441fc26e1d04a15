"""JSON files that hold one dataclass: written atomically, read as strictly as TOML."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

from vibench.errors import UsageError
from vibench.files.reading import parse_json, read_text
from vibench.files.toml import parse_table
from vibench.files.writing import write_json

T = TypeVar("T")


def read_json_table(kind: type[T], path: Path) -> T:
    """Read a file of `write_json_table`; `UsageError` where it is absent, unreadable or holds something else."""
    try:
        content = parse_json(read_text(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise UsageError(f"{path}: is not valid JSON ({error}).") from None
    if not isinstance(content, dict):
        raise UsageError(f"{path}: must hold a JSON object.")
    return parse_table(kind, content, str(path))


def write_json_table(path: Path, value: Any) -> None:
    """Write a dataclass; entries that are None are left out."""
    write_json(path, _without_none(dataclasses.asdict(value)))


def _without_none(value: Any) -> Any:
    """Absent instead of null, so that the strict reader of tables reads it back."""
    if isinstance(value, dict):
        return {key: _without_none(entry) for key, entry in value.items() if entry is not None}
    return value
