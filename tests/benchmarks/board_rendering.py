"""What rendering the boards of many records takes: judged anew, and with the verdicts of the last time."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks.target import Options, Target, cpu_hardware
from tests.benchmarks.timing import timed
from tests.records.made import seeded_run
from tests.records.scored import scored_record
from vibench.leaderboard.certainty import KEPT
from vibench.leaderboard.published import load_published
from vibench.leaderboard.update import update_boards
from vibench.records.store import write_record

SEEDS = 3
PEOPLE, QUERIES_EACH, TRIALS = 96, 40, 10
"""The size of SYSU-MM01's test: 3,840 queries in ten trials."""


def targets(options: Options) -> list[Target]:
    """Processor seconds of one board whose rows all stand in one section, so that as many pairs as possible compare."""
    methods = 6 if options.quick else 67
    what = f"boards of {methods * SEEDS} records, {methods} rows in a section"
    hardware = cpu_hardware(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for method in range(methods):
            for seed in range(SEEDS):
                record, outcomes = scored_record(
                    f"m{method:02d}",
                    seed,
                    0.3 + 0.5 * method / methods,
                    people=PEOPLE,
                    queries_each=QUERIES_EACH,
                    trials=TRIALS,
                    run=seeded_run(seed),
                )
                write_record(folder, record, outcomes)
        published = load_published()
        cold = timed(lambda: update_boards(folder, published))
        assert (folder / "records" / KEPT).is_file()
        warm = timed(lambda: update_boards(folder, published), repeats=3)
    return [
        Target(f"{what}, judged anew (processor time)", cold.processor_seconds, "s", hardware),
        Target(f"{what}, judged before (processor time)", warm.processor_seconds, "s", hardware, at_most=5.0),
    ]
