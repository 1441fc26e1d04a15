"""The board of audits: kinds against methods, each finding with what it rests on."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

from rich.console import Console

from tests.leaderboard.boards import make_audit
from vibench.leaderboard.audit_board import audit_list, audits_csv, audits_markdown, kinds_of, rows_text
from vibench.leaderboard.audits import parse_selector
from vibench.leaderboard.published import load_published

AUDITS = [
    make_audit("note", "late"),
    make_audit("minor", "favour", ("agw", "d_x|y")),
    make_audit("major", "grave", ("caj",)),
    make_audit("minor", "favour", ("caj",)),
    make_audit("note", "favour", ("agw",)),
]


def test_kinds_come_gravest_first() -> None:
    assert list(kinds_of(AUDITS)) == ["grave", "favour", "late"]
    assert [audit.severity for audit in kinds_of(AUDITS)["favour"]] == ["minor", "minor", "note"]


def test_table_of_methods_against_kinds() -> None:
    rows = list(csv.DictReader(io.StringIO(audits_csv(AUDITS))))
    assert rows == [
        {"method": "agw", "grave": "", "favour": "minor", "late": "note"},
        {"method": "caj", "grave": "major", "favour": "minor", "late": ""},
        {"method": "d_x|y", "grave": "", "favour": "minor", "late": ""},
    ]


def test_markdown_names_every_finding_once_and_links_it() -> None:
    text = audits_markdown(AUDITS)
    squeezed = re.sub(r" +", " ", text)
    assert "| grave | caj [A1](#a1) | | |" in squeezed
    assert "| favour | | agw [A2](#a2), d\\_x\\|y [A2](#a2), caj [A3](#a3) | agw [A4](#a4) |" in squeezed
    assert [text.count(f'<a id="a{number}"></a>') for number in range(7)] == [0, 1, 1, 1, 1, 1, 0]
    assert "finding of grave. Evidence: official code." in text


def test_the_terminal_shows_kinds_with_their_methods() -> None:
    console = Console(width=200, file=io.StringIO(), record=True)
    for paragraph in audit_list(AUDITS):
        console.print(paragraph)
    lines = [line.strip() for line in console.export_text().splitlines() if line.strip()]
    assert lines[0] == "grave  caj" and lines[1].startswith("caj (major; all rows): finding of grave. Evidence")
    assert lines[2] == "favour  agw, d_x|y, caj"


def test_rows_of_a_finding_in_words() -> None:
    selectors = tuple(
        parse_selector(text) for text in ("results:regdb-*@a-2020 Table 1", "ablations/b-p:sysu-all", "*:*")
    )
    audit = replace(make_audit(), selectors=selectors)
    assert rows_text(audit) == "regdb-* in a-2020 Table 1, ablations b-p sysu-all, all rows"
    assert rows_text(replace(audit, none_read=True)) == "no row of it here"


def test_the_published_findings_are_all_there() -> None:
    audits = load_published().audits
    text = audits_markdown(audits)
    assert text.count('<a id="a') == len(audits) == 124
    for audit in audits:
        assert f"## {audit.kind}\n" in text
