"""Bad input by the thousand: ``python -m tests.benchmarks.fuzzing --cases 100000``.

Every reader of `tests.fuzz.readers` gets mutated files, half of them with bytes changed, half with values changed; all
hand-made nasties follow in confined processes. Prints a table of what was accepted and refused and, below it, every
kind of fault once with the number of its cases. The same ``--seed`` gives the same cases.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from rich.console import Console
from rich.table import Table

from tests.fuzz.byte_mutations import mutate_bytes
from tests.fuzz.forms import FORMS
from tests.fuzz.reader import Fault, Place, Reader, judge


@dataclass
class Tally:
    """What came of the cases of one reader."""

    verdicts: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


def fuzz(reader: Reader, place: Place, cases: int, seed: int, seconds: float, keep: Path | None) -> Tally:
    """Run ``cases`` mutations, fewer where they take longer than ``seconds``."""
    tally = Tally()
    start = time.perf_counter()
    for number in range(cases):
        random = Random(f"{seed} {reader.name} {number}")
        content = mutate_bytes(place.valid, random) if number % 2 else FORMS[reader.form].mutate(place.valid, random)
        try:
            tally.verdicts[judge(reader, place.with_content(content))] += 1
        except Fault as fault:
            kind = str(fault)
            if kind not in tally.faults and keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{reader.name.replace(' ', '-').replace('/', '-')}-{number}").write_bytes(content)
            tally.faults[kind] += 1
        if time.perf_counter() - start > seconds:
            break
    tally.seconds = time.perf_counter() - start
    return tally


def main() -> None:
    """Fuzz and print the table; exit 1 where there is a fault."""
    from tests.fuzz.readers import READERS

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2000, help="mutated files, of all readers together")
    parser.add_argument("--minutes", type=float, default=10.0, help="at most, of all readers together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[""], help="readers whose name contains one of these")
    parser.add_argument("--keep", type=Path, help="folder for the first file of each kind of fault")
    arguments = parser.parse_args()

    readers = [reader for reader in READERS if any(part in reader.name for part in arguments.only)]
    table = Table("reader", *(f"{name}" for name in ("cases", "accepted", "refused", "faults", "cases/s")))
    faults: list[str] = []
    sums = [0, 0, 0, 0]
    with tempfile.TemporaryDirectory() as name:
        for number, reader in enumerate(readers):
            place = Place(Path(name) / str(number), reader)
            reader.read(place.with_content(place.valid))
            each, seconds = arguments.cases // len(readers), 60 * arguments.minutes / len(readers)
            tally = fuzz(reader, place, each, arguments.seed, seconds, arguments.keep)
            accepted, refused = tally.verdicts["accepted"], tally.verdicts["refused"]
            faulty = sum(tally.faults.values())
            figures = (accepted + refused + faulty, accepted, refused, faulty)
            sums = [a + b for a, b in zip(sums, figures, strict=True)]
            table.add_row(reader.name, *map(str, figures), f"{figures[0] / tally.seconds:.0f}")
            faults += [f"{reader.name}: {kind} ({count} cases)" for kind, count in tally.faults.items()]
            print(f"{reader.name}: {figures}", file=sys.stderr, flush=True)
    table.add_section()
    table.add_row("all", *map(str, sums))
    console = Console(width=200)
    console.print(table)
    for fault in faults:
        console.print(fault, soft_wrap=True, markup=False, highlight=False)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
