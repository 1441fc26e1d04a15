"""Audit findings: selectors find what they name, and a finding about nothing is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.leaderboard.boards import make_audit
from vibench.errors import UsageError
from vibench.leaderboard.audits import SEVERITIES, TABLES, by_severity, parse_selector, read_audits
from vibench.leaderboard.consensus import ablation_rows, published_rows
from vibench.leaderboard.published import PrintedRow, load_published

HEADER = "method,kind,rows,finding,evidence,severity\n"
ROW = PrintedRow(
    method="mpanet",
    variant="",
    label="MPANet",
    venue="CVPR",
    year="2021",
    dataset="regdb",
    protocol="regdb-v2t",
    values={"r1": "82.80"},
    source="paenet-mm2022 Table 2",
    own=False,
    secondary=False,
    note="",
)
ABLATION = replace(ROW, method="ddag", variant="b-p", dataset="sysu-mm01", protocol="sysu-all", source="ddag Table 1")
PRINTS = {
    "results": [ROW],
    "ablations": [ABLATION],
    "transfer": [replace(ROW, trained_on="sysu-mm01+llcm", source="l2rw Table 1")],
}


@pytest.mark.parametrize(
    ("text", "tables"),
    [
        ("*:*", {"results", "ablations"}),
        ("results:*", {"results"}),
        ("results:regdb-*", {"results"}),
        ("results:regdb-t2v", set()),
        ("*:regdb-v2t", {"results"}),
        ("*:*@paenet-mm2022 Table 2", {"results"}),
        ("*:*@paenet-mm2022*", {"results"}),
        ("ablations/b-p:*", {"ablations"}),
        ("ablations/b*:sysu-*", {"ablations"}),
        ("ablations/b:*", set()),
        ("*/b-p:*", {"ablations"}),
        ("transfer:*", {"transfer"}),
        ("transfer:sysu-*", set()),
    ],
)
def test_selectors(text: str, tables: set[str]) -> None:
    selector = parse_selector(text)
    assert {table for table in TABLES if selector.matches(table, PRINTS[table][0])} == tables


@given(
    st.sampled_from(["*", *TABLES]),
    st.sampled_from(["", "b-p", "part-*"]),
    st.sampled_from(["*", "sysu-all", "regdb-*"]),
    st.sampled_from(["", "a-2020 Table 1", "a-readme README.md"]),
)
def test_a_selector_says_what_it_was_parsed_from(table: str, variant: str, protocol: str, source: str) -> None:
    text = f"{table}{f'/{variant}' if variant else ''}:{protocol}{f'@{source}' if source else ''}"
    found = parse_selector(text)
    assert (found.table, found.variant, found.protocol, found.source) == (table, variant, protocol, source)


def _read(tmp_path: Path, *lines: str) -> list[object]:
    path = tmp_path / "audits.csv"
    path.write_text(HEADER + "\n".join(lines) + "\n", encoding="utf-8")
    return list(read_audits(path, PRINTS, ("mpanet", "ddag", "unread")))


def test_a_sound_file(tmp_path: Path) -> None:
    (audit,) = _read(tmp_path, "mpanet / ddag,copied-row,results:regdb-*; ablations/b-p:*,why,paper,major")
    assert audit.methods == ("mpanet", "ddag")  # type: ignore[attr-defined]
    assert audit.concerns("results", ROW) and audit.concerns("ablations", ABLATION)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("mpanet,copied-row,results:*,why,paper,grave", ["line 2", "'severity'", "major, minor, note", "'grave'"]),
        ("mpanet,copied row,results:*,why,paper,major", ["line 2", "'kind'", "'copied row'"]),
        ("mpanet,copied-row,results,why,paper,major", ["line 2", "'rows'", "TABLE[/VARIANT]:PROTOCOL", "'results'"]),
        ("mpanet,copied-row,table:*,why,paper,major", ["line 2", "'rows'", "'table:*'"]),
        ("mpanet,copied-row,results:*,,paper,major", ["line 2", "'finding'"]),
        ("mpanet,copied-row,results:sysu-*,why,paper,major", ["line 2", "no printed row of 'mpanet'", "sysu-*"]),
        ("mpnet,copied-row,results:*,why,paper,major", ["line 2", "no printed row of 'mpnet'"]),
        ("mpanet,copied-row,results:*; results:sysu-all,why,paper,major", ["line 2", "finds no", "'results:sysu-all'"]),
        ("mpanet / ddag,copied-row,results:*,why,paper,major", ["line 2", "no printed row of 'ddag'"]),
        ("stranger,copied-row,results:* (none read),why,paper,major", ["line 2", "'stranger'", "methods.csv"]),
        ("mpanet,copied-row,results:* (none read),why,paper,major", ["line 2", "no row was read", "'mpanet' has one"]),
    ],
)
def test_a_bad_row_is_one_sentence(tmp_path: Path, line: str, words: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        _read(tmp_path, line)
    message = str(error.value)
    assert all(word in message for word in ("audits.csv", *words)), message
    assert "\n" not in message


def test_a_finding_about_code_of_which_no_number_was_read(tmp_path: Path) -> None:
    (audit,) = _read(tmp_path, "unread,one-split,results:regdb-* (none read),why,owner/name@0123abc test.py:3,minor")
    assert audit.none_read and not audit.concerns("results", ROW)  # type: ignore[attr-defined]
    assert audit.names_code  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("evidence", "named"),
    [
        ("official code (owner/name) tests every epoch", False),
        ("owner/name@0123abc train.py:3", True),
        ("owner/name utils/metrics.py:3", True),
        ("CAL ICCV 2023 Table 2", False),
    ],
)
def test_evidence_that_names_a_file(evidence: str, named: bool) -> None:
    assert replace(make_audit(), evidence=evidence).names_code is named


def test_findings_about_code_name_repository_and_file() -> None:
    # Two need none: what is printed or released contradicts itself.
    for audit in load_published().audits:
        if audit.kind in ("test-set-checkpoint", "leaking-split", "unseeded-gallery", "one-split", "mirrored-images"):
            assert audit.names_code, audit


def test_worst_finding_first() -> None:
    audits = [make_audit(severity) for severity in ("note", "minor", "major")]
    assert [audit.severity for audit in by_severity(audits)] == list(SEVERITIES)


@pytest.mark.parametrize(
    ("method", "variant", "protocol", "r1", "kind", "severity"),
    [
        ("paenet", "", "sysu-all", "74.22", "attributes-at-test", "major"),
        ("paenet", "pae", "sysu-all", "60.67", "attributes-at-test", "major"),
        ("paenet", "", "regdb-v2t", "97.57", "leaking-split", "major"),
        ("mmd", "", "regdb-t2v", "93.65", "leaking-split", "major"),
        ("mpanet", "", "regdb-v2t", "82.80", "swapped-directions", "major"),
        ("agw", "", "regdb-t2v", "75.93", "copied-row", "major"),
        ("cal", "drm-hs-6", "sysu-all", "72.57", "copied-row", "major"),
        ("paenet", "", "sysu-indoor", "78.04", "unseeded-gallery", "minor"),
        ("pose-id", "", "sysu-all", "65.82", "unseeded-gallery", "minor"),
        ("agw", "", "sysu-all", "47.50", "test-set-checkpoint", "minor"),
        ("cm-ssft", "", "sysu-all", "61.6", "excluded-images-used", "minor"),
    ],
)
def test_what_the_spec_sheets_found(
    method: str, variant: str, protocol: str, r1: str, kind: str, severity: str
) -> None:
    published = load_published()
    rows = [*published_rows(published), *ablation_rows(published)]
    (row,) = (
        row
        for row in rows
        if (row.method, row.variant, row.protocol, row.values.get("r1")) == (method, variant, protocol, r1)
    )
    assert (kind, severity) in {(audit.kind, audit.severity) for audit in row.audits}


@pytest.mark.parametrize(
    ("method", "variant", "protocol", "kind"),
    [
        ("paenet", "baseline", "sysu-all", "attributes-at-test"),
        ("paenet", "aal", "sysu-all", "attributes-at-test"),
        ("mmd", "", "sysu-all", "leaking-split"),
        ("hct", "", "regdb-v2t", "leaking-split"),
        ("cal", "drm-hs-4", "sysu-all", "copied-row"),
        ("agw", "", "regdb-v2t", "copied-row"),
        ("cm-ssft", "", "regdb-v2t", "excluded-images-used"),
        ("cm-ssft", "shl", "regdb-v2t", "other-queries-used"),
    ],
)
def test_what_they_did_not_find(method: str, variant: str, protocol: str, kind: str) -> None:
    published = load_published()
    found = [
        audit.kind
        for row in (*published_rows(published), *ablation_rows(published))
        if (row.method, row.variant, row.protocol) == (method, variant, protocol)
        for audit in row.audits
    ]
    assert kind not in found
