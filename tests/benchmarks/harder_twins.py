"""Which property of images a paper's step needs: its accuracy and its baseline's on twins that grow harder in one.

    python -m tests.benchmarks.harder_twins --out FOLDER [--keep leaderboards] [--kind pose] [--level 3] [--minutes 60]

For every property of ``vibench data twin --harder`` and each of its levels, the methods and what their papers start
from train on such a twin by the settings of the board (`tests.benchmarks.gpu_board --scale cpu`), one seed, and are
evaluated under sysu-all. What FOLDER holds is not done again. The plain twin, level 0, is the committed board's.
``--keep`` adds to ``harder/differences.csv`` and draws, for each paper, ``harder/METHOD.png`` in a leaderboards folder.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd
import vl_convert
from rich.console import Console

from tests.benchmarks.board.backbone import common_starts
from tests.benchmarks.board.contests import Ranking
from tests.benchmarks.board.rows import BASELINES, Row, head, job
from tests.benchmarks.board.scale import SCALES, SYSU
from tests.benchmarks.board.versus import compared_map
from tests.benchmarks.gpu_board import train_and_evaluate as run_plan
from vibench.datasets.twin.harder import KINDS, LEVELS, Harder
from vibench.datasets.twin.make import make_twin
from vibench.files.writing import atomic_path, write_text
from vibench.records.selection import Runs
from vibench.records.store import find_records
from vibench.report.theme import LIGHT, config
from vibench.sweep.plan import read_plan

PAPERS = ("ddag", "cal", "pose")
"""Whose steps gain nothing on the plain twin."""
PROTOCOL = "sysu-all"
SEED = 0
_BOARD = SCALES["cpu"]
SCALE = replace(_BOARD, budgets={SYSU: replace(_BOARD.budgets[SYSU], draws=("seeded",))})


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
    print(harder, flush=True)
    run_plan(read_plan(place / "plan.toml"), Console(width=140), stop)


def differences(out: Path, kept: Path) -> pd.DataFrame:
    """A row per property, level and paper of which both sides are there: mAP in percent, and their difference.

    The interval is the 95 % bootstrap interval over identities (`vibench compare`). Level 0 is the same for all.
    """
    plain = _papers(kept)
    rows = []
    for kind in sorted(KINDS):
        of_level = {0: plain} | {level: _papers(out / f"{kind}{level}" / "leaderboards") for level in LEVELS}
        rows += [{"property": kind, "level": level, **row} for level, found in of_level.items() for row in found]
    return pd.DataFrame(rows)


def added(before: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """What was measured before, elsewhere perhaps, with what is measured now in its place or beside it."""
    whole = pd.concat([before, now], ignore_index=True).drop_duplicates(["property", "level", "method"], keep="last")
    order = whole.assign(method=whole["method"].map(PAPERS.index)).sort_values(["property", "level", "method"]).index
    return whole.loc[order]


def _papers(folder: Path) -> list[dict[str, Any]]:
    """A row per paper of which a leaderboards folder holds both sides."""
    stored = {
        path: record
        for path, record in find_records(folder)[0].items()
        if (record.dataset, record.protocol, record.draw, record.run.seed) == (SYSU, PROTOCOL, "seeded", SEED)
    }
    rows = []
    for paper in PAPERS:
        sides = [Runs(name, Ranking(name).of(stored)) for name in (paper, BASELINES[paper])]
        if all(side.records for side in sides):
            (ours, theirs), gap = compared_map(sides)
            figures = (ours.mean("map"), theirs.mean("map"), gap.difference, *gap.interval)
            percent = [round(100 * figure, 2) for figure in figures]
            named = dict(zip(("mAP", "against mAP", "difference", "low", "high"), percent, strict=True))
            rows.append({"method": paper, "against": BASELINES[paper], **named})
    return rows


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
    table, file = differences(out, kept), kept / "harder" / "differences.csv"
    if file.exists():
        table = added(pd.read_csv(file), table)
    write_text(file, table.to_csv(index=False, lineterminator="\n"))
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
