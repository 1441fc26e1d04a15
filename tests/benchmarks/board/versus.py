"""Each method against what its paper starts from, query by query."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from tests.benchmarks.board.rows import BASELINES
from tests.benchmarks.board.scale import SYSU
from vibench.errors import UsageError
from vibench.files import write_text
from vibench.leaderboard.comparison import compare
from vibench.leaderboard.selection import Wanted, select
from vibench.leaderboard.store import find_records

COLUMNS = (
    "method",
    "baseline",
    "seeds",
    "mAP",
    "baseline mAP",
    "difference",
    "interval",
    "seed margin",
    "p",
    "verdict",
)


def versus_baselines(leaderboards: Path, protocol: str = "sysu-all") -> pd.DataFrame:
    """mAP in percent of each method and of its own baseline, for those that have records of both.

    The interval is the 95 % bootstrap interval over identities of the difference, seeds averaged; the seed margin is
    what the spread over seeds alone lets two means differ (`vibench compare`).
    """
    stored, _ = find_records(leaderboards)
    wanted = Wanted(SYSU, protocol, "seeded")
    rows = []
    for method, baseline in BASELINES.items():
        try:
            sides = [select(name, stored, wanted) for name in (method, baseline)]
        except UsageError:
            continue
        result = compare(sides, breakdown=False)
        ours, theirs = result.sides
        found = next(one for one in result.pairs[0].differences if one.metric == "map")
        low, high = found.interval
        margin = found.seed_margin
        rows.append(
            (
                method,
                baseline,
                min(ours.runs, theirs.runs),
                f"{100 * ours.mean('map'):.2f}",
                f"{100 * theirs.mean('map'):.2f}",
                f"{100 * found.difference:+.2f}",
                f"{100 * low:+.2f} to {100 * high:+.2f}",
                "" if margin is None else f"{100 * margin:.2f}",
                f"{found.p:.4f}",
                "within noise" if found.within_noise else "better" if found.difference > 0 else "worse",
            )
        )
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def write_versus(leaderboards: Path, table: pd.DataFrame) -> Path:
    """Write the table as CSV and Markdown into the boards of the data set; the Markdown file's path."""
    folder = leaderboards / SYSU
    write_text(folder / "versus-baseline.csv", table.to_csv(index=False))
    text = (
        f"# Each method against its own baseline on {SYSU} (synthetic data)\n\n"
        "mAP in percent, sysu-all, seeded draw. Interval: 95 %, over identities, seeds averaged. Seed margin: how far "
        "the spread over seeds alone lets the two means differ.\n\n" + table.to_markdown(index=False) + "\n"
    )
    write_text(folder / "versus-baseline.md", text)
    return folder / "versus-baseline.md"
