"""What is wrong, doubtful or missing in a folder of published numbers, in words."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

from vibench.errors import one_line
from vibench.evaluation.result import METRICS
from vibench.leaderboard.audits import Audit
from vibench.leaderboard.consensus import agreeing, equal_as_printed, flag_conflicts, print_key
from vibench.leaderboard.method_facts import UNDRAWN, UNKNOWN
from vibench.leaderboard.papers_bib import EXPECTED
from vibench.leaderboard.published import SECOND_HAND, Conflict, PrintedRow, Published, load_published

ERROR, DOUBTFUL, MISSING = "error", "doubtful", "missing"

_CHOSEN = "test-set-checkpoint"
_STRONG = 80.0
"""Rank-1 on RegDB, in percent, from which single-query mAP stays below it; weak models' lies above at times."""


@dataclass(frozen=True)
class Remark:
    """One thing to be said about the published files."""

    kind: str
    """`ERROR`, `DOUBTFUL` or `MISSING`."""
    text: str
    """Of several methods the same, where the same is to be said."""
    subject: str = ""
    """The method or source that it is about; empty where the text says it."""


def check_published(folder: Path | None = None) -> tuple[Published, list[Remark]]:
    """The sound part of a folder of published files, and all remarks about it, errors first."""
    errors: list[str] = []
    published = load_published(folder, errors.append)
    remarks = [Remark(ERROR, one_line(text)) for text in errors]
    remarks += _contradictions(published)
    remarks += _implausible(published)
    remarks += _loose_conflicts(published)
    remarks += _vague_findings(published)
    remarks += _unsaid_choices(published)
    remarks += _unknown(published)
    return published, remarks


def by_text(remarks: Iterable[Remark]) -> dict[tuple[str, str], list[str]]:
    """The subjects of remarks that say the same, by kind and text."""
    groups: dict[tuple[str, str], list[str]] = {}
    for remark in remarks:
        subjects = groups.setdefault((remark.kind, remark.text), [])
        if remark.subject and remark.subject not in subjects:
            subjects.append(remark.subject)
    return groups


def _contradictions(published: Published) -> Iterator[Remark]:
    """Prints of a method in one setting that contradict each other, of which ``conflicts.csv`` says nothing."""
    flags = flag_conflicts((*published.results, *published.ablations), published.conflicts)
    groups: dict[tuple[str, ...], list[PrintedRow]] = {}
    for row in (*published.results, *published.ablations):
        groups.setdefault((row.method, row.variant, row.protocol), []).append(row)
    for group in groups.values():
        for first, second in combinations(agreeing(group), 2):
            if not _recorded(first, flags) & _recorded(second, flags):
                yield Remark(ERROR, _against(first[0], second[0]), first[0].method)


def _recorded(cluster: Sequence[PrintedRow], flags: dict[tuple[str, ...], list[tuple[str, Conflict]]]) -> set[Conflict]:
    return {conflict for row in cluster for _, conflict in flags.get(print_key(row), ())}


def _against(first: PrintedRow, second: PrintedRow) -> str:
    differing = [
        f"{metric} {first.values[metric]} against {second.values[metric]}"
        for metric in METRICS
        if metric in first.values
        and metric in second.values
        and not equal_as_printed(first.values[metric], second.values[metric])
    ]
    what = ", ".join(differing) or "numbers that no other print joins"
    return (
        f"{first.protocol}: {first.source} and {second.source} contradict each other ({what}); correct one, or say so "
        "in conflicts.csv"
    )


def _implausible(published: Published) -> Iterator[Remark]:
    """Rows whose numbers hardly go together, about which no finding and no contradiction says anything."""
    flags = flag_conflicts(published.results, published.conflicts)
    excused: dict[str, list[Audit]] = defaultdict(list)
    for audit in published.audits:
        if audit.severity == "major" or audit.kind == "misprint":
            for method in audit.methods:
                excused[method].append(audit)
    for row in published.results:
        known = flags.get(print_key(row)) or any(audit.concerns("results", row) for audit in excused[row.method])
        problem = "" if known else _wrong_numbers(row, published)
        if problem:
            yield Remark(DOUBTFUL, f"{row.source}, {row.protocol}: {problem}", row.method)


def _wrong_numbers(row: PrintedRow, published: Published) -> str:
    number = {metric: float(value) for metric, value in row.values.items()}
    ranks = [metric for metric in ("r1", "r5", "r10", "r20") if metric in number]
    for lower, higher in pairwise(ranks):
        if number[lower] > number[higher]:
            return f"{lower} {row.values[lower]} is over {higher} {row.values[higher]}"
    if "map" in number and number.get("minp", 0.0) >= number["map"]:
        return f"minp {row.values['minp']} is not under map {row.values['map']}"
    looks = published.facts(row.method, row.variant, row.dataset).practice.test_time_information
    if (
        row.dataset == "regdb"
        and looks in ("none", UNKNOWN)
        and number.get("map", 0.0) > number.get("r1", 100.0) > _STRONG
    ):
        return f"map {row.values['map']} is over r1 {row.values['r1']}, as after re-ranking"
    return ""


def _loose_conflicts(published: Published) -> Iterator[Remark]:
    flags = flag_conflicts((*published.results, *published.ablations), published.conflicts)
    reached = {conflict for found in flags.values() for _, conflict in found}
    for conflict in published.conflicts:
        if conflict not in reached:
            yield Remark(
                DOUBTFUL, "conflicts.csv speaks of a row that no table here prints", ", ".join(conflict.methods)
            )


def _vague_findings(published: Published) -> Iterator[Remark]:
    for audit in published.audits:
        if "code" in audit.evidence and not audit.names_code:
            yield Remark(
                DOUBTFUL, f"the evidence of {audit.kind} names code and no file of it", ", ".join(audit.methods)
            )


def _unsaid_choices(published: Published) -> Iterator[Remark]:
    """Checkpoints chosen on the test split, of which no finding says so."""
    told = {method for audit in published.audits if audit.kind == _CHOSEN for method in audit.methods}
    for method in dict.fromkeys(row.method for row in published.results):
        if published.facts(method, "", "").checkpoint_selection.startswith("best on test set") and method not in told:
            yield Remark(
                DOUBTFUL, f"methods.csv says that the test set chose its checkpoint, and no {_CHOSEN} does", method
            )


def _unknown(published: Published) -> Iterator[Remark]:
    for name, source in published.papers.items():
        if not source.address:
            yield Remark(MISSING, "address of the source (sources.csv)", name)
    for key, entry in published.bibliography.items():
        for field in EXPECTED:
            if field not in entry:
                yield Remark(MISSING, f"{field} in papers.bib", key)
    sampled = {row.method for row in published.results if row.dataset not in UNDRAWN}
    own = {row.method for row in published.results if row.own}
    first_hand = {
        row.method for row in published.results if published.papers[row.source.split()[0]].kind != SECOND_HAND
    }
    for method in dict.fromkeys(row.method for row in published.results):
        facts = published.facts(method, "", "")
        gaps = {
            "draw of the galleries (methods.csv)": method in sampled and _undrawn(published, method),
            "test-time information (methods.csv)": facts.practice.test_time_information == UNKNOWN,
            "backbone, input or pretraining (methods.csv)": not (
                facts.setup.backbone and facts.setup.input and facts.setup.pretrained
            ),
            "title and authors of the paper (papers.bib)": not facts.paper,
            "venue and year (methods.csv)": not (facts.venue and facts.year),
            "a print by whoever measured it: quoted from other papers": method not in own and method in first_hand,
            "a print first-hand: known from lists and notes alone": method not in first_hand,
        }
        for text, missing in gaps.items():
            if missing:
                yield Remark(MISSING, text, method)


def _undrawn(published: Published, method: str) -> bool:
    datasets = {row.dataset for row in published.results if row.method == method}
    return any(published.facts(method, "", dataset).practice.draw == UNKNOWN for dataset in datasets)
