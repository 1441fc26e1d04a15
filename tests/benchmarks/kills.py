"""Every command killed many times, in one table: ``python -m tests.benchmarks.kills --kills 200``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.kills.campaign import Campaign
from tests.kills.jobs import JOBS, kills_of, make_inputs
from tests.kills.server import Server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of all commands together, at least")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", help="a command, such as train; repeatable")
    options = parser.parse_args()
    jobs = [job for job in JOBS if options.only is None or job.name in options.only]
    table = Table(title="killed with SIGKILL and started again: nothing lost")
    for column in ("command", "steps on files", "kills at steps", "kills by the clock", "compared", "seconds"):
        table.add_column(column, justify="left" if column == "command" else "right")
    total = 0
    with tempfile.TemporaryDirectory() as scratch:
        inputs = make_inputs(Path(scratch) / "inputs")
        server = Server()
        for job in jobs:
            start = time.perf_counter()
            kills = kills_of(job, options.kills)
            tally = Campaign(server, job, inputs, Path(scratch) / "scratch", options.seed).run(kills)
            print(f"{job.name}: {tally.kills} kills survived", file=sys.stderr, flush=True)
            seconds = f"{time.perf_counter() - start:.1f}"
            numbers = (tally.steps, tally.at_steps, tally.at_times, tally.completions)
            table.add_row(job.name, *map(str, numbers), seconds)
            total += tally.kills
        server.close()
    console = Console(width=120)
    console.print(table)
    console.print(f"{total} kills survived")


if __name__ == "__main__":
    main()
