"""LaTeX tables and BibTeX: whatever names and texts hold, what comes out is whole."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.leaderboard.boards import PRINTED, make_audit, real_record
from vibench.leaderboard.bibtex import bibliography, bibtex, key_of
from vibench.leaderboard.board import Board, build_boards
from vibench.leaderboard.consensus import published_rows
from vibench.leaderboard.latex import PAGE, latex
from vibench.leaderboard.latex_text import escaped
from vibench.leaderboard.papers_bib import EXPECTED, KIND, read_papers
from vibench.leaderboard.published import load_published
from vibench.leaderboard.rank import Rank

PUBLISHED = load_published()
HOSTILE = "a_b%c&d#e$f{g}h~i^j\\k<l>m|n"


def _unescaped(text: str) -> str:
    """What LaTeX sets, of texts that `escaped` made."""
    words = {"backslash": "\\", "asciitilde": "~", "asciicircum": "^", "less": "<", "greater": ">", "bar": "|"}
    words |= {"quotedbl": '"', "dagger": "†", "pm": "±", "minus": "−"}
    text = re.sub(r"\\text(\w+)\{\}", lambda found: f"\0{words[found[1]]}", text)
    return re.sub(r"\\([{}$&#_%])", r"\1", text).replace("\0", "")


def _structure(text: str) -> None:
    """Every environment and brace is closed, and every row has as many cells as columns."""
    opened = re.findall(r"\\begin\{(\w+)\}", text)
    assert sorted(opened) == sorted(re.findall(r"\\end\{(\w+)\}", text))
    bare = re.sub(r"\\[{}]", "", text.replace("\\\\", ""))
    assert bare.count("{") == bare.count("}")
    for body in re.findall(r"\\begin\{(?:tabular|longtable)\}.*?\\bottomrule", text, flags=re.DOTALL):
        columns = re.match(r"\\begin\{\w+\}\{@\{\}(\w+)@\{\}\}", body)
        assert columns is not None
        rows = [line for line in body.splitlines() if line.endswith(" \\\\") and not line.startswith("\\caption")]
        assert len(rows) > 1
        for line in rows:
            cells = len(re.findall(r"(?<!\\)&", line)) + 1
            spanned = re.match(r"\\multicolumn\{(\d+)\}", line)
            assert (int(spanned[1]) if spanned else cells) == len(columns[1]), line


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=40))
def test_escaped_text_is_set_as_it_stands(text: str) -> None:
    found = escaped(text)
    assert not re.search(r"(?<!\\)[$&#_%]", re.sub(r"\\\\", "", found))
    assert _unescaped(found) == " ".join(text.split())


def test_a_table_has_sections_intervals_and_findings_below() -> None:
    printed = replace(PRINTED, audits=(make_audit(), make_audit("note", "several-heads")))
    hidden = replace(PRINTED, method="caj", supervision="unsupervised", values={"r1": "40.0"})
    (board,) = build_boards([real_record()], [printed, hidden])
    text = latex([board], PUBLISHED)
    _structure(text)
    assert "1 & agw~\\cite{agw} & trained & 54.50 \\textpm{} 2.87 &" in text
    assert "\\addlinespace\n1 & agw\\textsuperscript{A1}~\\cite{agw} & published & 47.50 & --" in text
    assert "\\textsuperscript{A1}~agw, test-set-checkpoint, minor: finding of test-set-checkpoint." in text
    # A note changes no rank and is left out.
    assert "several-heads" not in text
    assert text.index("\\emph{Test-time information: none}") < text.index("\\emph{Unsupervised. Test-time")
    assert "\\toprule" in text and "\\midrule" in text and "\\bottomrule" in text


def test_a_range_of_ranks_is_set_as_one() -> None:
    (board,) = build_boards([real_record("agw"), real_record("caj", 0.4)], [])
    (section,) = board.sections
    ranged = replace(section, rows=tuple((Rank(1, 2), row) for _, row in section.rows))
    text = latex([replace(board, sections=(ranged,))], PUBLISHED)
    _structure(text)
    assert "1--2 & agw" in text and "1--2 & caj" in text


def test_hostile_names_break_no_table() -> None:
    finding = replace(make_audit("minor", "odd", (HOSTILE,)), finding=HOSTILE, evidence=f"{HOSTILE}\n\n{HOSTILE}")
    board = build_boards([real_record(HOSTILE)], [replace(PRINTED, method="agw", variant="", audits=(finding,))])[0]
    text = latex([board], PUBLISHED)
    _structure(text)
    assert escaped(HOSTILE) in text and HOSTILE not in text


def test_a_long_board_goes_over_several_pages() -> None:
    prints = [replace(PRINTED, method=f"m{number}") for number in range(PAGE + 1)]
    (board,) = build_boards([], prints)
    text = latex([board], PUBLISHED)
    _structure(text)
    assert "\\begin{longtable}" in text and "\\endhead" in text and "\\begin{tabular}" not in text


def _real_boards() -> list[Board]:
    return build_boards([], published_rows(PUBLISHED))


def test_every_published_board_is_a_whole_table_and_every_citation_has_its_paper() -> None:
    boards = _real_boards()
    text = latex(boards, PUBLISHED)
    _structure(text)
    cited = set(re.findall(r"\\cite\{([^}]+)\}", text))
    entries = bibliography([row for board in boards for row in board.rows], PUBLISHED)
    assert cited == set(entries)
    assert {"agw", "cm-ssft", "paenet", "pose", "deen", "pmt", "idkl", "sdcl"} <= cited


def test_several_methods_of_a_paper_cite_it_once() -> None:
    prints = [replace(PRINTED, method=method) for method in ("pose-id", "pose-all", "zero-pad", "one-stream", "nobody")]
    (board,) = build_boards([], prints)
    assert list(bibliography(board.rows, PUBLISHED)) == ["zero-pad", "pose"]
    assert {row.method: key_of(row, PUBLISHED) for row in board.rows}["nobody"] == ""


def test_a_measured_row_cites_the_paper_of_its_printed_one() -> None:
    (board,) = build_boards([real_record("baseline")], [])
    assert [key_of(row, PUBLISHED) for row in board.rows] == ["ddag"]


def test_papers_without_title_say_so() -> None:
    (board,) = build_boards([], [replace(PRINTED, method="idkl")])
    (entry,) = bibliography(board.rows, PUBLISHED).values()
    assert entry[KIND] == "misc" and entry["year"] == "2024" and entry["howpublished"] == "CVPR"
    assert "title" not in entry and entry["note"] == "IDKL; title and authors are not known here"


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "papers.bib"
    path.write_text(bibtex(PUBLISHED.bibliography), encoding="utf-8")
    assert read_papers(path) == PUBLISHED.bibliography


def test_papers_hold_what_finds_them() -> None:
    lacking = {key for key, entry in PUBLISHED.bibliography.items() for field in EXPECTED if field not in entry}
    # Their arXiv numbers are known, and no title.
    assert lacking == {"smc", "posed"}
    assert set(PUBLISHED.bibliography) == {
        key for method in PUBLISHED.methods.methods if (key := PUBLISHED.methods.cell("paper", method))
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("@misc{a,\n  year = {2020},\n", "has no end"),
        ("@misc{a,\n  title = {x}y},\n}\n", "line 2"),
        ("@misc{a b,\n}\n", "line 1"),
        ("@misc{a,\n}\n@misc{a,\n}\n", "twice"),
        ("@misc{a,\n\n}\n", "line 2"),
    ],
)
def test_a_bad_file_of_papers_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "papers.bib"
    path.write_text(text, encoding="utf-8")
    problems: list[str] = []
    read_papers(path, problems.append)
    assert len(problems) == 1 and words in problems[0] and str(path) in problems[0]
