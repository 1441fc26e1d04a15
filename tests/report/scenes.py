"""Records on disk for the tests of this folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.records.made import make_per_query, make_record
from vibench.leaderboard.board import protocol_fingerprint
from vibench.records.schema import Cost, Record, RunInfo
from vibench.records.store import write_record

REAL = {
    "dataset": "sysu-mm01",
    "fingerprint": protocol_fingerprint("sysu-all", "sysu-mm01", "seeded"),
    "complete": True,
    "trial_count": 10,
}


def cost(seconds: float = 60.0, device: str = "GPU A", dimensions: int = 2048) -> dict[str, Any]:
    """Changes of `make_record`: what a run has cost."""
    return {
        "run": RunInfo(id=f"run-{seconds:g}", seed=0, recipe_sha256="ef" * 32, train_seconds=seconds, epochs=9),
        "cost": Cost(device=device, embedding_size=dimensions, extraction_images_per_second=1000.0 / seconds),
    }


def seeded(method: str, seed: int, r1: float, **changes: Any) -> Record:
    """One run of several that differ in nothing but the seed."""
    run = RunInfo(id=f"{method}-{seed}", seed=seed, recipe_sha256="ef" * 32, train_seconds=10.0 + seed, epochs=9)
    return make_record(method, r1, run=run, cost=Cost(device="GPU A"), **changes)


def put(folder: Path, *records: Record) -> None:
    """Write records, with an outcome per trial."""
    for record in records:
        write_record(folder, record, [make_per_query(number) for number in range(len(record.trials))])
