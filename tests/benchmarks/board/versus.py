"""Each method against what its paper starts from, and the steps in between, query by query."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from tests.benchmarks.board.contests import CONTESTS, Contest
from tests.benchmarks.board.scale import SYSU
from vibench.files.writing import write_text
from vibench.records.comparison import compare
from vibench.records.differences import Difference
from vibench.records.paired_outcomes import Side
from vibench.records.selection import Runs, Wanted, select
from vibench.records.store import find_records

COLUMNS = (
    "evaluated",
    "against",
    "seeds",
    "mAP",
    "against mAP",
    "difference",
    "interval",
    "seed margin",
    "p",
    "verdict",
    "headline",
)


def versus_baselines(leaderboards: Path, protocol: str = "sysu-all") -> pd.DataFrame:
    """mAP in percent of both sides of every contest of which there are records.

    The interval is the 95 % bootstrap interval over identities of the difference, seeds averaged; the seed margin is
    what the spread over seeds alone lets two means differ (`vibench compare`).
    """
    found, _ = find_records(leaderboards)
    stored = {path: record for path, record in found.items() if (record.dataset, record.protocol) == (SYSU, protocol)}
    rows = []
    for contest in CONTESTS:
        sides = []
        for ranking in (contest.first, contest.second):
            records = ranking.of(stored)
            if records:
                label = next(iter(records.values())).label
                sides.append(select(label, records, Wanted(SYSU, protocol, "seeded", ranking.query_mode)))
        if len(sides) == 2:
            rows.append(_row(contest, sides))
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def compared_map(sides: Sequence[Runs]) -> tuple[tuple[Side, ...], Difference]:
    """Two sides as they were read, and the difference of their mAP."""
    result = compare(sides, breakdown=False)
    return result.sides, next(one for one in result.pairs[0].differences if one.metric == "map")


def _row(contest: Contest, sides: list[Runs]) -> tuple[object, ...]:
    (ours, theirs), gap = compared_map(sides)
    low, high = gap.interval
    return (
        contest.first.label,
        contest.second.label,
        min(ours.runs, theirs.runs),
        f"{100 * ours.mean('map'):.2f}",
        f"{100 * theirs.mean('map'):.2f}",
        f"{100 * gap.difference:+.2f}",
        f"{100 * low:+.2f} to {100 * high:+.2f}",
        "" if gap.seed_margin is None else f"{100 * gap.seed_margin:.2f}",
        f"{gap.p:.4f}",
        "within noise" if gap.within_noise else "better" if gap.difference > 0 else "worse",
        contest.headline,
    )


def write_versus(leaderboards: Path, table: pd.DataFrame) -> Path:
    """Write the table as CSV and Markdown into the boards of the data set; the Markdown file's path."""
    folder = leaderboards / SYSU
    write_text(folder / "versus-baseline.csv", table.to_csv(index=False))
    text = (
        f"# Each method against its own baseline on {SYSU} (synthetic data)\n\n"
        "mAP in percent, sysu-all, seeded draw. Interval: 95 %, over identities, seeds averaged. Seed margin: how far "
        "the spread over seeds alone lets the two means differ.\n\n"
        f"{_markdown(table[table.headline])}\n\n## Steps between, and other evaluations of the same runs\n\n"
        f"{_markdown(table[~table.headline])}\n"
    )
    write_text(folder / "versus-baseline.md", text)
    return folder / "versus-baseline.md"


def _markdown(table: pd.DataFrame) -> str:
    return table.drop(columns="headline").to_markdown(index=False, disable_numparse=True)
