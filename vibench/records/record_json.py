"""Records as JSON: the text of a record file, and back from any text to a sound record or one clear sentence."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from vibench.errors import UsageError
from vibench.files.json_table import without_none
from vibench.files.reading import parse_json
from vibench.files.toml import parse_table
from vibench.records.migrations import SCHEMA_VERSION, migrate
from vibench.records.schema import Record

_LONGEST_MESSAGE = 400


class RecordError(UsageError):
    """A file is no evaluation record, is damaged, or comes from a newer vibench."""


def record_dict(record: Record) -> dict[str, Any]:
    """The record as what its JSON file holds."""
    content = dataclasses.asdict(record)
    # Older records say nothing of these, and keep their bytes.
    if content["profile"]["repaired_queries"] is None:
        del content["profile"]["repaired_queries"]
    if not content["run"]["trained_on"]:
        del content["run"]["trained_on"]
    if content["corruption"] is None:
        del content["corruption"]
    else:
        content["corruption"]["modalities"] = list(content["corruption"]["modalities"])
    content["trials"] = list(content["trials"])
    content["cmc"] = list(content["cmc"])
    content["notes"] = list(content["notes"])
    return content


def to_json(record: Record) -> str:
    """The text of a record file; equal records give equal texts."""
    return json.dumps(record_dict(record), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str, where: str = "record") -> Record:
    """Read a record; ``where`` begins every message. Raises `RecordError` for anything but a sound record."""
    try:
        content = parse_json(text)
    except ValueError as error:
        raise RecordError(f"{where}: is not valid JSON ({error}).") from None
    return record_from_dict(content, where)


def record_from_dict(content: Any, where: str = "record") -> Record:
    """Build a record from a decoded JSON value of any schema version; see `from_json`."""
    version = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise RecordError(f"{where}: is no evaluation record (a JSON object with a 'schema_version' from 1).")
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{where}: has schema version {_short(str(version))}, and this vibench reads up to {SCHEMA_VERSION}; "
            "upgrade vibench."
        )
    try:
        return parse_table(Record, without_none(migrate(content, version)), where)
    except UsageError as error:
        raise RecordError(f"{where}{_short(str(error.args[0]).removeprefix(where))}") from None
    except OverflowError:
        raise RecordError(f"{where}: holds a number beyond the range of a float.") from None
    except RecursionError:
        raise RecordError(f"{where}: is nested deeper than any evaluation record.") from None


def _short(text: str) -> str:
    """A message that quotes what it found, on one line and of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]} ..."
