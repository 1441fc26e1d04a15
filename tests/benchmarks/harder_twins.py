"""Which property of images a paper's step needs: its accuracy and its baseline's on twins that grow harder in one.

    python -m tests.benchmarks.harder_twins --out FOLDER [--keep leaderboards] [--kind pose] [--level 3] [--minutes 60]

For every property of ``vibench data twin --harder`` and each of its levels, the methods and what their papers start
from train on such a twin by the settings of the board (`tests.benchmarks.gpu_board --scale cpu`), one seed, and are
evaluated under sysu-all. What FOLDER holds is not done again. The plain twin, level 0, is the committed board's.
``--keep`` writes ``harder/differences.csv`` and, for each paper, ``harder/METHOD.png`` into a leaderboards folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from tests.benchmarks.board.artefacts import kept_backbones
from tests.benchmarks.board.backbone import common_starts
from tests.benchmarks.board.contests import Ranking
from tests.benchmarks.board.rows import BASELINES, Row, head, job
from tests.benchmarks.board.scale import SCALES, SYSU
from vibench.datasets.twin.harder import KINDS, LEVELS, Harder
from vibench.datasets.twin.make import make_twin
from vibench.files.writing import atomic_path, write_text
from vibench.records.comparison import compare
from vibench.records.schema import Record
from vibench.records.selection import Runs
from vibench.records.store import find_records
from vibench.report.theme import LIGHT, config
from vibench.sweep.expansion import expand
from vibench.sweep.local import LocalExecutor, local_slots
from vibench.sweep.plan import LocalTable, read_plan
from vibench.sweep.run import run_sweep

PAPERS = ("ddag", "cal", "pose")
"""Whose steps gain nothing on the plain twin."""
PROTOCOL = "sysu-all"
SCALE = SCALES["cpu"]
SEED = 0


def train_and_evaluate(
    out: Path, harder: Harder, starts: Mapping[str, str], workers: int, stop: Callable[[], bool]
) -> None:
    """All methods on one harder twin, until ``stop()``."""
    place = out.absolute() / str(harder).replace(":", "")
    root = make_twin("sysu-mm01", SCALE.twin, 0, place / SYSU, harder=harder)
    lines = head(str(place), str(place / "leaderboards"), {SYSU: str(root)}, workers, profile=False)
    for name in dict.fromkeys(one for paper in PAPERS for one in (paper, BASELINES[paper])):
        lines += job(SCALE, Row(name), SYSU, [SEED], starts, [PROTOCOL])
    write_text(place / "plan.toml", "\n".join(lines) + "\n")
    plan = read_plan(place / "plan.toml")
    assert isinstance(plan.executor, LocalTable)
    executor = LocalExecutor(plan, local_slots(plan.executor, "cpu"))
    run_sweep(plan, expand(plan), executor, stop=stop, say=lambda line: print(f"{harder}: {line}", flush=True))


def differences(out: Path, kept: Path) -> pd.DataFrame:
    """A row per property, level and paper of which both sides are there: mAP in percent, and their difference.

    The interval is the 95 % bootstrap interval over identities (`vibench compare`).
    """
    folders = {(kind, level): out / f"{kind}{level}" / "leaderboards" for kind in KINDS for level in LEVELS}
    folders |= {(kind, 0): kept for kind in KINDS}
    rows = []
    for (kind, level), folder in sorted(folders.items()):
        stored = {
            path: record
            for path, record in find_records(folder)[0].items()
            if (record.dataset, record.protocol, record.draw, record.run.seed) == (SYSU, PROTOCOL, "seeded", SEED)
        }
        for paper in PAPERS:
            found = _compared(stored, paper)
            about = {"property": kind, "level": level, "method": paper, "against": BASELINES[paper]}
            rows += [{**about, **found}] if found else []
    return pd.DataFrame(rows)


def _compared(stored: Mapping[Path, Record], paper: str) -> dict[str, float]:
    sides = []
    for name in (paper, BASELINES[paper]):
        records = Ranking(name).of(stored)
        if not records:
            return {}
        sides.append(Runs(name, records))
    result = compare(sides, breakdown=False)
    gap = next(one for one in result.pairs[0].differences if one.metric == "map")
    ours, theirs = (100 * side.mean("map") for side in result.sides)
    low, high = (100 * end for end in gap.interval)
    found = {"mAP": ours, "against mAP": theirs, "difference": 100 * gap.difference, "low": low, "high": high}
    return {name: round(value, 2) for name, value in found.items()}


def figure(table: pd.DataFrame, paper: str) -> dict[str, Any]:
    """mAP of a paper and of its baseline against the level, and below it the difference with its interval."""
    frame = table[table["method"] == paper]
    sides = frame.melt(["property", "level"], ["mAP", "against mAP"], var_name="side", value_name="percent").replace(
        {"side": {"mAP": paper, "against mAP": BASELINES[paper]}}
    )
    level = alt.X("level:O", title="level", axis=alt.Axis(labelAngle=0))
    order, panel = alt.Column("property:N", sort=list(KINDS), title=None), {"width": 130, "height": 150}
    colour = alt.Color("side:N", title=None, sort=[paper, BASELINES[paper]])
    above = alt.Chart(sides).mark_line(point=True).encode(level, alt.Y("percent:Q", title="mAP (%)"), colour)
    ends = alt.Chart().mark_rule().encode(level, alt.Y("low:Q", title="difference"), alt.Y2("high:Q"))
    middle = alt.Chart().mark_point(filled=True, size=50).encode(level, alt.Y("difference:Q"))
    zero = alt.Chart().mark_rule(strokeDash=[4, 3]).encode(y=alt.datum(0))
    below = alt.layer(zero, ends, middle, data=frame).properties(**panel).facet(column=order)
    title = f"{paper} and what its paper starts from, on synthetic twins that are harder in one property"
    whole = alt.vconcat(above.properties(**panel).encode(order), below, title=title).to_dict()
    return {**whole, "config": {**config(LIGHT), "background": LIGHT["surface"]}, "padding": 8}


def keep(out: Path, kept: Path) -> None:
    """Write the table, and a picture for each paper, into a leaderboards folder."""
    table = differences(out, kept)
    write_text(kept / "harder" / "differences.csv", table.to_csv(index=False, lineterminator="\n"))
    for paper in sorted(set(table["method"])):
        with atomic_path(kept / "harder" / f"{paper}.png") as temporary:
            temporary.write_bytes(vl_convert.vegalite_to_png(figure(table, paper), scale=1.5))
    print(table.to_string(index=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kind", action="append", choices=KINDS, help="default: all")
    parser.add_argument("--level", action="append", type=int, choices=LEVELS, help="default: all, the hardest first")
    parser.add_argument("--workers", type=int, default=2, help="trainings side by side")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="end after so long")
    parser.add_argument(
        "--keep", type=Path, help="leaderboards folder: its backbone and level 0 are taken, figures put"
    )
    options = parser.parse_args()
    deadline = time.monotonic() + 60 * options.minutes
    if options.keep is not None:
        kept_backbones(options.keep, options.out / "backbone")
    starts = common_starts(options.out / "backbone", SCALE)
    for level in options.level or LEVELS[::-1]:
        for kind in options.kind or KINDS:
            if time.monotonic() < deadline:
                train_and_evaluate(
                    options.out, Harder(kind, level), starts, options.workers, lambda: time.monotonic() >= deadline
                )
    if options.keep is not None:
        keep(options.out, options.keep)


if __name__ == "__main__":
    main()
