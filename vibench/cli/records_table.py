"""How freshly made records are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from vibench.records.schema import Record


def records_tables(records: Sequence[Record]) -> list[Table]:
    """One table per method, variant, query mode, attributes in testing and corrupted images, in order of appearance."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        groups.setdefault((record.label, record.query_mode, record.test_attributes, _corrupted(record)), []).append(
            record
        )
    return [records_table(group) for group in groups.values()]


def records_table(records: Sequence[Record]) -> Table:
    """One row per record of one method; fits a terminal of 80 columns.

    Metrics are percentages, the mean over trials above the deviation. The valid queries are those with a reachable
    true match, beside all queries; the gallery is that of the first trial.
    """
    from rich.markup import escape
    from rich.table import Table

    from vibench.evaluation.result import METRICS

    first = records[0]
    about = [first.label, f"on {first.dataset}", first.dataset_version, f"({first.source}"]
    about[-1] += f", on {first.run.trained_on}" if first.run.trained_on else ""
    about[-1] += "" if first.source == "scores" else f", {first.distance} distance"
    about[-1] += "" if first.query_mode == "all" else f", query mode {first.query_mode}"
    if first.test_attributes:
        about[-1] += f", attributes {first.test_attributes}"
    about[-1] += f", {_corrupted(first)}" if first.corruption else ""
    about[-1] += ")" if first.rerank == "none" else f", re-ranked: {first.rerank})"
    title = escape(" ".join(part for part in about if part))
    table = Table(title=title, title_justify="left", header_style="bold", box=None, padding=(0, 1, 0, 0))
    table.add_column("protocol\n[dim]draw, trials[/]", no_wrap=True)
    table.add_column("valid/all\n[dim]gallery[/]", justify="right", no_wrap=True)
    for metric in METRICS:
        heading = {"map": "mAP", "minp": "mINP"}.get(metric, metric)
        table.add_column(f"{heading}\n[dim]±[/]", justify="right", no_wrap=True)
    for record in records:
        trial, count = record.trials[0], len(record.trials)
        draw = f"{record.draw} draw" if record.draw != "none" else "split" if count == 1 else "splits"
        how = "" if record.corruption is None else f"\n[dim]{record.corruption.request}[/]"
        table.add_row(
            f"{record.protocol}\n[dim]{draw}, {count}[/]{how}",
            f"{trial.valid_queries}/{trial.queries}\n[dim]{trial.gallery}[/]",
            # One trial has no spread.
            *(
                f"{100 * record.mean[metric]:.2f}" + (f"\n[dim]{100 * record.std[metric]:.2f}[/]" if count > 1 else "")
                for metric in METRICS
            ),
        )
    return table


def _corrupted(record: Record) -> str:
    """Whose images were corrupted; empty for none."""
    return "" if record.corruption is None else f"{' and '.join(record.corruption.modalities)} images corrupted"
