"""One row per published number: prints that agree become one row, prints that do not stay apart and are flagged.

Most numbers are reprinted by paper after paper. Two prints agree when every metric that both print is equal, or
equal but for rounding where one prints fewer digits. Of several rows of a method in one setting, one is its headline
and may be ranked: the one printed by whoever measured it, else one that no audit calls wrong, else the one most papers
print.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vibench.evaluation.result import METRICS
from vibench.leaderboard.audits import SEVERITIES, Audit, by_severity
from vibench.leaderboard.method_facts import SUPERVISED, Setup
from vibench.leaderboard.published import Conflict, PrintedRow, Published


@dataclass(frozen=True)
class PublishedRow:
    """What one or several papers print for a method in one setting."""

    method: str
    dataset: str
    protocol: str
    draw: str
    """The authors'; ``unknown`` where nobody says or it cannot be repeated, ``other`` where it is no protocol's."""
    test_time_information: str
    year: str
    values: Mapping[str, str]
    """Percent as printed, per metric."""
    sources: tuple[str, ...]
    secondary: bool
    headline: bool
    notes: tuple[str, ...]
    conflicts: tuple[tuple[str, Conflict], ...]
    """Per contradiction the metric it concerns; an empty metric concerns the row."""
    audits: tuple[Audit, ...] = ()
    """What is wrong or unfair with any of the prints, worst first."""
    setup: Setup = field(default_factory=Setup)
    variant: str = ""
    """Of an ablation table's row; empty for the method itself."""
    label: str = ""
    """The row's name as first printed."""
    supervision: str = SUPERVISED
    quoted: bool = False
    """Printed by others alone, none of whom measured it."""
    not_reproducible: str = ""
    """Why nobody can repeat it, where that is so."""
    trained_on: str = ""
    """The data sets of the training, where they are others than that of the test."""


def published_rows(published: Published) -> list[PublishedRow]:
    """The rows of ``results.csv`` and ``transfer.csv``, by data set, protocol and method."""
    rows = _consensus(published, {"results": published.results, "transfer": published.transfer})
    return sorted(rows, key=lambda row: (row.dataset, row.protocol, row.method))


def ablation_rows(published: Published) -> list[PublishedRow]:
    """The rows of ``ablations.csv``, with their variants, in the order of the papers' tables."""
    return _consensus(published, {"ablations": published.ablations})


def _consensus(published: Published, tables: Mapping[str, Sequence[PrintedRow]]) -> list[PublishedRow]:
    prints: dict[tuple[str, str, str, str, str], list[PrintedRow]] = {}
    findings: dict[int, list[Audit]] = {}
    for table, found in tables.items():
        for printed in found:
            key = (printed.dataset, printed.protocol, printed.method, printed.variant, printed.trained_on)
            prints.setdefault(key, []).append(printed)
            findings[id(printed)] = [audit for audit in published.audits if audit.concerns(table, printed)]
    flags = flag_conflicts((*published.results, *published.ablations), published.conflicts)
    rows: list[PublishedRow] = []
    for (dataset, protocol, method, variant, trained_on), group in prints.items():
        clusters = agreeing(group)
        wrong = [any(_says_wrong(audit) for one in found for audit in findings[id(one)]) for found in clusters]
        headline = min(range(len(clusters)), key=lambda at: _standing(clusters[at], wrong[at], at))
        facts = published.facts(method, variant, dataset)
        for at, cluster in enumerate(clusters):
            conflicts = {found: None for printed in cluster for found in flags.get(print_key(printed), ())}
            audits = {audit: None for printed in cluster for audit in findings[id(printed)]}
            rows.append(
                PublishedRow(
                    method=method,
                    variant=variant,
                    dataset=dataset,
                    protocol=protocol,
                    draw=facts.practice.draw,
                    test_time_information=facts.practice.test_time_information,
                    year=min((printed.year for printed in cluster if printed.year), default=""),
                    values=best_values(cluster),
                    sources=tuple(dict.fromkeys(printed.source for printed in cluster)),
                    secondary=all(printed.secondary for printed in cluster),
                    headline=at == headline,
                    notes=tuple(dict.fromkeys(printed.note for printed in cluster if printed.note)),
                    conflicts=tuple(conflicts),
                    audits=tuple(by_severity(audits)),
                    setup=facts.setup,
                    label=cluster[0].label,
                    supervision=facts.supervision,
                    not_reproducible=facts.not_reproducible,
                    quoted=not any(printed.own for printed in cluster),
                    trained_on=trained_on,
                )
            )
    return rows


def agreeing(prints: Sequence[PrintedRow]) -> list[list[PrintedRow]]:
    """The prints of one setting in groups that agree, in order of first appearance."""
    clusters: list[list[PrintedRow]] = []
    # The fullest print first: a row of two numbers must not bring together rows that differ elsewhere.
    for printed in sorted(prints, key=lambda printed: -len(printed.values)):
        for cluster in clusters:
            shared = [
                (printed.values[metric], other.values[metric])
                for other in cluster
                for metric in METRICS
                if metric in printed.values and metric in other.values
            ]
            if shared and all(equal_as_printed(a, b) for a, b in shared):
                cluster.append(printed)
                break
        else:
            clusters.append([printed])
    position = {id(printed): at for at, printed in enumerate(prints)}
    for cluster in clusters:
        cluster.sort(key=lambda printed: position[id(printed)])
    return sorted(clusters, key=lambda cluster: position[id(cluster[0])])


def equal_as_printed(a: str, b: str) -> bool:
    """Equal, or less than a unit of the coarser print's last digit apart where one prints fewer digits.

    Papers round and cut: 15.95 is printed 15.9, and 12.04 is printed 12.1.
    """
    digits = sorted(len(value.partition(".")[2]) for value in (a, b))
    scale = 10 ** digits[1]
    apart = abs(round(float(a) * scale) - round(float(b) * scale))
    return apart == 0 or (digits[0] < digits[1] and apart < 10 ** (digits[1] - digits[0]))


def best_values(cluster: Iterable[PrintedRow]) -> dict[str, str]:
    """Per metric the print to show: that of the method's own paper, else the one with most significant digits."""
    values: dict[str, str] = {}
    for metric in METRICS:
        candidates = [printed for printed in cluster if metric in printed.values]
        if candidates:
            best = max(candidates, key=lambda printed: (printed.own, len(printed.values[metric].rstrip("0"))))
            values[metric] = best.values[metric]
    return values


def flag_conflicts(
    prints: Iterable[PrintedRow], conflicts: Iterable[Conflict]
) -> dict[tuple[str, ...], list[tuple[str, Conflict]]]:
    """Which prints each contradiction concerns, by `print_key`: the cells that show one of its two values.

    A contradiction about no printed cell of its methods concerns all their rows in its setting, with an empty
    metric.
    """
    prints = list(prints)
    flags: dict[tuple[str, ...], list[tuple[str, Conflict]]] = {}
    for conflict in conflicts:
        concerned = [printed for printed in prints if _in_scope(printed, conflict)]
        cells = [
            (printed, metric)
            for printed in concerned
            for metric in conflict.metrics
            if metric in printed.values
            and any(_same_number(printed.values[metric], value) for value in (conflict.value_a, conflict.value_b))
        ]
        for printed, metric in cells or [(printed, "") for printed in concerned]:
            known = flags.setdefault(print_key(printed), [])
            if (metric, conflict) not in known:
                known.append((metric, conflict))
    return flags


def _standing(cluster: Sequence[PrintedRow], wrong: bool, at: int) -> tuple[bool, bool, bool, int, int]:
    """Sort key of a method's rows in one setting; the least is the headline."""
    papers = {printed.source.split()[0] for printed in cluster}
    secondary = all(printed.secondary for printed in cluster)
    return secondary, not any(printed.own for printed in cluster), wrong, -len(papers), at


def _says_wrong(audit: Audit) -> bool:
    return audit.severity == SEVERITIES[0] or audit.kind == "misprint"


def print_key(printed: PrintedRow) -> tuple[str, ...]:
    """What tells a print from every other."""
    return printed.method, printed.variant, printed.protocol, printed.source, *printed.values.values()


def _in_scope(printed: PrintedRow, conflict: Conflict) -> bool:
    return (
        printed.method in conflict.methods
        and conflict.dataset in ("", printed.dataset)
        and (not conflict.protocols or printed.protocol in conflict.protocols)
    )


def _same_number(printed: str, value: str) -> bool:
    try:
        return float(printed) == float(value)
    except ValueError:
        return False
