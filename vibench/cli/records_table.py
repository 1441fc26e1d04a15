"""How freshly made records are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from vibench.leaderboard.record import Record


def records_table(records: Sequence[Record]) -> Table:
    """One row per record: metrics in percent, mean ± deviation over trials, and how many queries count."""
    from rich.markup import escape
    from rich.table import Table

    from vibench.evaluation.result import METRICS

    first = records[0]
    version = f" {first.dataset_version}" if first.dataset_version else ""
    title = escape(f"{first.label} on {first.dataset}{version} ({first.source}), percent, mean ± deviation over trials")
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("protocol", no_wrap=True)
    table.add_column("draw")
    for heading in ("trials", "valid/queries", "gallery"):
        table.add_column(heading, justify="right", overflow="fold")
    for metric in METRICS:
        table.add_column({"map": "mAP", "minp": "mINP"}.get(metric, metric), justify="right", overflow="fold")
    for record in records:
        trial = record.trials[0]
        scores = [f"{100 * record.mean[metric]:.2f} ± {100 * record.std[metric]:.2f}" for metric in METRICS]
        counts = f"{trial.valid_queries}/{trial.queries}"
        table.add_row(record.protocol, record.draw, str(len(record.trials)), counts, str(trial.gallery), *scores)
    return table
