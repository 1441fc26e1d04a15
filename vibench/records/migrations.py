"""From records of earlier schema versions to today's: one pure function per version step.

A step takes the decoded JSON object of its version and returns that of the next, without changing its argument. It
only moves, renames or fills in; whether the values are sound is checked afterwards, on the newest form alone. What a
step fills in never enters a record's id, so that old records keep theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Content = dict[str, Any]


def from_version_1(content: Mapping[str, Any]) -> Content:
    """Version 2 always says which feature was ranked and where test-time attributes came from.

    The first records of version 1 say neither, later ones one of the two or both; the silent ones ranked the
    embedding and had no attributes.
    """
    return {"feature": "", "test_attributes": "", **content}


STEPS: tuple[Callable[[Mapping[str, Any]], Content], ...] = (from_version_1,)
"""The step at place n leads from version n + 1 to version n + 2."""

SCHEMA_VERSION = len(STEPS) + 1
"""The version that records are written in."""


def migrate(content: Mapping[str, Any], version: int) -> Content:
    """A record of schema ``version``, 1 to `SCHEMA_VERSION`, in today's form."""
    migrated = dict(content)
    for number, step in enumerate(STEPS[version - 1 :], start=version + 1):
        migrated = {**step(migrated), "schema_version": number}
    return migrated
