"""What may differ between two runs of one command: dates, durations, memory and places. All else must not."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from typing import Any

DATES = ("created", "images_mtime_ns")
MACHINE = ("environment", "memory", "training_memory", "extraction_memory")
SPEED = (
    "seconds",
    "train_seconds",
    "images_per_second",
    "data_wait",
    "extraction_images_per_second",
    "matching_ms_per_query",
)
VOLATILE = frozenset((*DATES, *MACHINE, *SPEED))
"""Names of JSON entries and of CSV columns of the training log."""


def stable_digest(name: str, content: bytes) -> str:
    """SHA-256 of what must not differ in a file of that name: of its bytes, volatile fields aside."""
    if name.endswith(".json"):
        content = json.dumps(_without_volatile(json.loads(content)), sort_keys=True).encode()
    elif name.endswith("log.csv"):
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        content = json.dumps(_without_volatile(rows)).encode()
    return hashlib.sha256(content).hexdigest()


def _without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_volatile(entry) for key, entry in value.items() if key not in VOLATILE}
    if isinstance(value, list):
        return [_without_volatile(entry) for entry in value]
    return value
