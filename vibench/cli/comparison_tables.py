"""How a comparison is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from vibench.records.comparison import Comparison, Difference, Pair
    from vibench.records.paired_outcomes import Side

METRIC_TITLES = {"map": "mAP", "r1": "r1"}


def differences_table(comparison: Comparison) -> Table:
    """One row per pair and metric; percentages and percentage points."""
    from rich.markup import escape

    draw = "" if comparison.draw == "none" else f", {comparison.draw} draw"
    table = _table(
        escape(
            f"{comparison.dataset} {comparison.dataset_version}".strip()
            + f": {comparison.protocol}{draw}, {comparison.trials} trials, {comparison.queries} queries of "
            f"{comparison.identities} identities"
        )
    )
    table.add_column("A against B", overflow="fold", min_width=12)
    _add_figure_columns(table, comparison)
    table.add_column("p", justify="right", no_wrap=True)
    several = len(comparison.pairs) > 1
    if several:
        table.add_column("p Holm", justify="right", no_wrap=True)
    sides = {side.label: side for side in comparison.sides}
    for pair in comparison.pairs:
        for at, found in enumerate(pair.differences):
            table.add_row(
                "" if at else f"{_named(sides[pair.first])} – {_named(sides[pair.second])}",
                METRIC_TITLES[found.metric],
                f"{100 * sides[pair.first].mean(found.metric):.2f}",
                f"{100 * sides[pair.second].mean(found.metric):.2f}",
                _points(found.difference, not found.within_noise),
                _interval(found.interval),
                _probability(found.p),
                *([_probability(found.p_holm)] if several else []),
            )
        table.add_section()
    return table


def parts_tables(comparison: Comparison) -> Iterator[Table]:
    """For every pair that was broken down, one table per kind of part."""
    from rich.markup import escape

    for pair in comparison.pairs:
        for by in dict.fromkeys(part.by for part in pair.parts):
            title = f"by {by}" if len(comparison.pairs) == 1 else f"{pair.first} – {pair.second} by {by}"
            table = _table(escape(title) + " [dim](exploratory, not corrected)[/]")
            table.add_column(by, justify="right", no_wrap=True)
            _add_figure_columns(table, comparison)
            table.add_column("valid", justify="right", no_wrap=True)
            parts = [part for part in pair.parts if part.by == by]
            for name in dict.fromkeys(part.name for part in parts):
                for at, part in enumerate(found for found in parts if found.name == name):
                    clear = not part.interval[0] <= 0.0 <= part.interval[1]
                    table.add_row(
                        "" if at else str(name),
                        METRIC_TITLES[part.metric],
                        f"{100 * part.first:.2f}",
                        f"{100 * part.second:.2f}",
                        _points(part.difference, clear),
                        _interval(part.interval),
                        str(part.queries),
                    )
            yield table


def verdicts(comparison: Comparison) -> Iterator[str]:
    """One sentence per pair and metric that says what the figures amount to."""
    for pair in comparison.pairs:
        for found in pair.differences:
            yield _verdict(pair, found, comparison)


def brief_verdict(comparison: Comparison) -> str:
    """Of two methods, both metrics in one sentence: points of difference, the interval, and whether that is noise."""
    (pair,) = comparison.pairs
    said = []
    for of in reversed(pair.differences):
        low, high = (f"{100 * bound:+.1f}" for bound in of.interval)
        said.append(f"{METRIC_TITLES[of.metric]} {100 * of.difference:+.1f} ({low} to {high})")
    noise = [of.within_noise for of in reversed(pair.differences)]
    if all(noise):
        return f"{pair.first} is within noise of {pair.second}: {', '.join(said)}"
    judged = [f"{text}, {'within' if small else 'more than'} noise" for text, small in zip(said, noise, strict=True)]
    return f"{pair.first} against {pair.second}: {'; '.join(judged)}"


def _verdict(pair: Pair, found: Difference, comparison: Comparison) -> str:
    metric = METRIC_TITLES[found.metric]
    points = f"{100 * abs(found.difference):.2f} points"
    if not found.within_noise:
        better, worse = (pair.first, pair.second) if found.difference > 0 else (pair.second, pair.first)
        return f"{metric}: {better} is {points} better than {worse}, more than noise (p {_probability(found.p_holm)})."
    reasons = []
    if found.interval[0] <= 0.0 <= found.interval[1]:
        reasons.append(f"the {100 * comparison.resampling.level:g} % interval holds 0")
    if found.p_holm > 1.0 - comparison.resampling.level:
        reasons.append(f"p {_probability(found.p_holm)}")
    if found.seed_margin is not None and abs(found.difference) <= found.seed_margin:
        reasons.append(f"runs of one method alone let means differ by {100 * found.seed_margin:.2f}")
    said = " and ".join(reasons)
    return f"{metric}: {pair.first} and {pair.second} differ by {points}, which is within noise ({said})."


def _add_figure_columns(table: Table, comparison: Comparison) -> None:
    table.add_column("metric", no_wrap=True)
    for title in ("A", "B", "A – B", f"{100 * comparison.resampling.level:g} % interval"):
        table.add_column(title, justify="right", no_wrap=True)


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _named(side: Side) -> str:
    from rich.markup import escape

    return escape(side.label) + (f" ({side.runs} runs)" if side.runs > 1 else "")


def _points(difference: float, clear: bool) -> str:
    text = f"{100 * difference:+.2f}"
    return f"[bold]{text}[/]" if clear else text


def _interval(interval: tuple[float, float]) -> str:
    return f"{100 * interval[0]:+.2f} to {100 * interval[1]:+.2f}"


def _probability(p: float) -> str:
    return f"{p:.4f}" if p >= 0.0001 else "< 0.0001"
