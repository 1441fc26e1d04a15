"""Columns of a table that take less room in a JSON text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def packed(columns: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The columns; of texts that return, ``texts`` has each once and ``rows`` which of them stands in each row."""
    return {name: _packed(column) for name, column in columns.items()}


def _packed(column: list[Any]) -> Any:
    if not all(isinstance(one, str) for one in column):
        return column
    places = {text: place for place, text in enumerate(dict.fromkeys(column))}
    if 2 * len(places) > len(column):
        return column
    return {"texts": list(places), "rows": [places[text] for text in column]}
