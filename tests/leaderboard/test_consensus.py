"""Prints that agree become one row; contradictions stay visible and reach the cells that they concern."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibench.leaderboard.consensus import (
    PublishedRow,
    ablation_rows,
    agreeing,
    best_values,
    equal_as_printed,
    flag_conflicts,
    published_rows,
)
from vibench.leaderboard.published import Conflict, PrintedRow, load_published

PRINTED = PrintedRow(
    method="agw",
    variant="",
    label="AGW",
    venue="TPAMI",
    year="2021",
    dataset="sysu-mm01",
    protocol="sysu-all",
    values={"r1": "47.50", "map": "47.65"},
    source="a-2020 Table 1",
    own=False,
    secondary=False,
    note="",
)


@pytest.fixture(scope="module")
def rows() -> list[PublishedRow]:
    return published_rows(load_published())


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ("61.6", "61.60", True),
        ("49.68", "49.7", True),
        ("15.95", "15.9", True),  # cut
        ("12.04", "12.1", True),  # rounded up
        ("12.04", "12.2", False),
        ("90.39", "90.36", False),
        ("61.06", "61.6", False),
        ("62.69", "62.79", False),
        ("7", "7.99", True),
        ("7", "8", False),
    ],
)
def test_equal_as_printed(a: str, b: str, equal: bool) -> None:
    assert equal_as_printed(a, b) is equal
    assert equal_as_printed(b, a) is equal


@given(st.integers(0, 10_000))
def test_a_number_equals_its_rounding(hundredths: int) -> None:
    value = f"{hundredths / 100:.2f}"
    assert equal_as_printed(value, f"{float(value):.1f}")


def test_agreeing_prints_join_and_others_stay_apart() -> None:
    reprint = replace(PRINTED, values={"r1": "47.5", "r10": "84.39", "map": "47.65"}, source="b-2021 Table 2")
    misprint = replace(PRINTED, values={"r1": "47.50", "map": "46.75"}, source="c-2022 Table 1")
    assert agreeing([PRINTED, misprint, reprint]) == [[PRINTED, reprint], [misprint]]


def test_a_short_print_does_not_bring_contradicting_rows_together() -> None:
    first = replace(PRINTED, values={"r1": "54.75", "r10": "90.39"})
    second = replace(PRINTED, values={"r1": "54.75", "r10": "90.36"})
    short = replace(PRINTED, values={"r1": "54.75"})
    assert sorted(map(len, agreeing([short, first, second]))) == [1, 2]


def test_own_paper_and_more_digits_win() -> None:
    own = replace(PRINTED, values={"r1": "47.5"}, own=True)
    precise = replace(PRINTED, values={"r1": "47.53", "map": "47.65"})
    padded = replace(PRINTED, values={"map": "47.60"})
    assert best_values([padded, precise, own]) == {"r1": "47.5", "map": "47.65"}


def test_no_print_is_lost(rows: list[PublishedRow]) -> None:
    published = load_published()
    for printed in published.results:
        holders = [
            row
            for row in rows
            if (row.method, row.dataset, row.protocol) == (printed.method, printed.dataset, printed.protocol)
            and printed.source in row.sources
            and all(equal_as_printed(row.values[metric], value) for metric, value in printed.values.items())
        ]
        assert holders, printed


def test_each_setting_has_one_headline(rows: list[PublishedRow]) -> None:
    settings = {(row.method, row.dataset, row.protocol, row.trained_on) for row in rows}
    headlines = [(row.method, row.dataset, row.protocol, row.trained_on) for row in rows if row.headline]
    assert len(headlines) == len(set(headlines)) == len(settings)


def _find(rows: list[PublishedRow], method: str, protocol: str) -> list[PublishedRow]:
    return [row for row in rows if (row.method, row.protocol, row.trained_on) == (method, protocol, "")]


def test_numbers_of_a_transfer_stand_apart(rows: list[PublishedRow]) -> None:
    (found,) = (row for row in rows if row.method == "deen" and row.trained_on == "sysu-mm01+llcm")
    assert (found.dataset, found.protocol, dict(found.values)) == (
        "regdb",
        "regdb-t2v",
        {"r1": "19.42", "map": "19.44"},
    )
    # Nothing that is known of the method's own numbers is said of these.
    assert [audit.kind for audit in found.audits] == ["test-set-checkpoint", "one-split"]
    assert all("L2RW" in audit.evidence for audit in found.audits)


def test_own_paper_is_the_headline_of_cm_ssft(rows: list[PublishedRow]) -> None:
    by_headline = {row.headline: row for row in _find(rows, "cm-ssft", "sysu-all")}
    assert by_headline[True].values["r1"] == "61.6"
    assert by_headline[False].values["r1"] == "61.06"
    for row in by_headline.values():
        assert ("r1", "value-mismatch") in {(metric, conflict.kind) for metric, conflict in row.conflicts}


def test_a_print_that_an_audit_calls_wrong_is_no_headline_beside_another(rows: list[PublishedRow]) -> None:
    for protocol, r1 in (("regdb-v2t", "83.70"), ("regdb-t2v", "82.80"), ("sysu-indoor", "76.74")):
        assert [row.values["r1"] for row in _find(rows, "mpanet", protocol) if row.headline] == [r1]


def test_secondary_rows_are_marked_unless_a_paper_prints_the_same(rows: list[PublishedRow]) -> None:
    assert [row.secondary for row in _find(rows, "mfen", "sysu-all")] == [True]
    # Of LCNL a list alone has numbers on SYSU-MM01; on RegDB a paper prints the same.
    assert [row.secondary for row in _find(rows, "lcnl", "sysu-all")] == [True]
    assert [row.secondary for row in _find(rows, "lcnl", "regdb-t2v")] == [False]
    printed = {row.values["r1"]: row.quoted for row in _find(rows, "mpanet", "regdb-v2t")}
    assert printed == {"83.70": True, "82.80": True}
    assert [row.quoted for row in _find(rows, "deen", "sysu-all")] == [False]


def test_every_contradiction_reaches_a_row() -> None:
    published = load_published()
    flags = flag_conflicts((*published.results, *published.ablations), published.conflicts)
    reached = {conflict for found in flags.values() for _, conflict in found}
    # Two were noted about tables from which nothing was taken.
    loose = [conflict.methods for conflict in published.conflicts if conflict not in reached]
    assert loose == [("cm-nas",), ("pmwgcn",)]


def test_a_contradiction_concerns_the_cells_with_its_values() -> None:
    conflict = Conflict(
        methods=("agw", "mclnet"),
        dataset="sysu-mm01",
        protocols=("sysu-all",),
        metrics=("r1", "map"),
        value_a="47.5",
        source_a="a",
        value_b="48.00",
        source_b="b",
        kind="value-mismatch",
        comment="x",
    )
    other = replace(PRINTED, values={"r1": "48.00", "map": "47.50"}, source="b-2021 Table 2")
    elsewhere = replace(PRINTED, protocol="sysu-indoor")
    stranger = replace(PRINTED, method="ddag")
    flags = flag_conflicts([PRINTED, other, elsewhere, stranger], [conflict])
    assert sorted([metric for metric, _ in found] for found in flags.values()) == [["r1"], ["r1", "map"]]
    label = replace(conflict, metrics=(), value_a="AGW", value_b="Agw", kind="label")
    assert list(flag_conflicts([PRINTED, stranger], [label]).values()) == [[("", label)]]


def test_ablations_keep_their_variants_and_the_order_of_their_tables() -> None:
    found = ablation_rows(load_published())
    assert [row.variant for row in found if row.method == "ddag" and row.protocol == "sysu-all"][:5] == [
        "b",
        "b-p",
        "b-g",
        "b-p-g",
        "part-avg-res",
    ]
    # Printed in two tables, one row; the fuller print stands.
    (baseline,) = (row for row in found if (row.method, row.variant, row.protocol) == ("ddag", "b", "sysu-all"))
    assert baseline.sources == ("ddag-eccv2020 Table 1", "ddag-eccv2020 Table 2")
    assert baseline.values["r5"] == "75.81" and baseline.label == "B"


def test_a_row_has_the_findings_of_all_its_prints_and_no_others(rows: list[PublishedRow]) -> None:
    found = {row.values["r1"]: [audit.kind for audit in row.audits] for row in _find(rows, "mpanet", "regdb-t2v")}
    assert found["83.70"].count("swapped-directions") == 2 and found["82.80"].count("swapped-directions") == 1
    (glmc,) = _find(rows, "glmc", "regdb-t2v")
    assert glmc.audits == ()


def test_rows_know_what_they_were_trained_with(rows: list[PublishedRow]) -> None:
    (deen,) = _find(rows, "deen", "llcm-v2i")
    assert (deen.setup.input, deen.setup.backbone, deen.setup.extra_labels) == ("384x144", "resnet50", "none")
