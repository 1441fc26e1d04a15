"""What `--check-published` says: each kind of mistake in a copy of the published files is found and named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vibench.files.shipped import published_folder
from vibench.leaderboard.published_check import DOUBTFUL, ERROR, MISSING, Remark, by_text, check_published

ROW = "agw,AGW,TPAMI,2021,{setting},{values},{source},{place},typed by hand\n"
SYSU = "sysu-mm01,all,multi,"
REGDB = "regdb,,,t2v"


@pytest.fixture(scope="module")
def usual() -> set[Remark]:
    return set(check_published()[1])


def _fresh(tmp_path: Path, usual: set[Remark], name: str, text: str) -> list[Remark]:
    """The remarks about a copy with more text in one file, beyond those about the files that travel with vibench."""
    folder = tmp_path / "published"
    shutil.copytree(published_folder(), folder)
    with (folder / name).open("a", encoding="utf-8") as handle:
        handle.write(text)
    return [remark for remark in check_published(folder)[1] if remark not in usual]


def test_the_published_files_hold_no_error(usual: set[Remark]) -> None:
    assert not [remark for remark in usual if remark.kind == ERROR]
    assert {remark.subject for remark in usual if remark.kind == DOUBTFUL} == {"cm-nas", "pmwgcn"}


@pytest.mark.parametrize(
    ("setting", "values", "kind", "words"),
    [
        (SYSU, "50.0,40.0,,,30.0,", DOUBTFUL, "r1 50.0 is over r5 40.0"),
        (SYSU, "50.0,,,,30.0,31.0", DOUBTFUL, "minp 31.0 is not under map 30.0"),
        (REGDB, "90.00,,,,91.00,", ERROR, "contradict each other"),
        (REGDB, "90.00,,,,91.00,", DOUBTFUL, "as after re-ranking"),
        ("sysu-mm01,all,single,", "47.60,,,,47.65,", ERROR, "r1 47.50 against 47.60"),
    ],
)
def test_numbers_that_hardly_go_together(
    tmp_path: Path, usual: set[Remark], setting: str, values: str, kind: str, words: str
) -> None:
    row = ROW.format(setting=setting, values=values, source="agw-readme", place="README.md")
    found = _fresh(tmp_path, usual, "results.csv", row)
    assert any(remark.kind == kind and remark.subject == "agw" and words in remark.text for remark in found), found


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("results.csv", ROW.format(setting=SYSU, values="50,,,,,", source="rumour", place="x"), "'source'"),
        ("results.csv", "new,New,,,regdb,,,v2t,50,,,,,,agw-readme,x,\n", "methods.csv"),
        ("results.csv", ROW.format(setting=SYSU, values=",,,,,", source="agw-readme", place="x"), "holds no number"),
        ("sources.csv", "new-readme,repository,README,,,,,\n", "'address'"),
        ("methods.csv", "new,,New,,2024,,,,,,,,,,,,,,,,\n", "'supervision'"),
        ("methods.csv", "new,,New,,2024,,supervised,,,,,,,,seeded,,,,,,\n", "'draw_evidence'"),
        ("methods.csv", "agw,regdb,,,,,,,,,,,,,seeded,x,,,,,\n", "whole gallery"),
        ("audits.csv", "agw,odd,results:llcm-x2y,why,because,minor\n", "no printed row of 'agw'"),
        ("papers.bib", "@misc{agw,\n}\n", "'agw' is listed twice"),
    ],
)
def test_mistakes_are_errors(tmp_path: Path, usual: set[Remark], name: str, text: str, words: str) -> None:
    errors = [remark.text for remark in _fresh(tmp_path, usual, name, text) if remark.kind == ERROR]
    assert any(words in text and name in text for text in errors), errors


def test_the_same_print_twice_is_an_error(tmp_path: Path, usual: set[Remark]) -> None:
    again = (published_folder() / "results.csv").read_text(encoding="utf-8").splitlines()[1]
    (remark,) = _fresh(tmp_path, usual, "results.csv", f"{again}\n")
    assert remark.kind == ERROR and "line 767" in remark.text and "the same print as line 2" in remark.text


def test_a_new_method_is_told_all_that_it_lacks(tmp_path: Path, usual: set[Remark]) -> None:
    folder = tmp_path / "published"
    shutil.copytree(published_folder(), folder)
    lines = {
        "methods.csv": "new,,New,,,,supervised,,,,,,,,,,best on test set,,,,\n",
        "results.csv": "new,New,,,sysu-mm01,all,single,,50.0,,,,40.0,,smc-2026,Table 9,\n",
        "audits.csv": "new,odd,results:*,why,its code does so,minor\n",
        "conflicts.csv": "nobody,regdb,,,v2t,r1,1.0,a,2.0,b,value-mismatch,about nothing\n",
    }
    for name, text in lines.items():
        with (folder / name).open("a", encoding="utf-8") as handle:
            handle.write(text)
    found = {(remark.kind, remark.text) for remark in check_published(folder)[1] if remark.subject == "new"}
    missing = {text.partition(" (")[0].partition(":")[0] for kind, text in found if kind == MISSING}
    assert missing == {
        "draw of the galleries",
        "test-time information",
        "backbone, input or pretraining",
        "title and authors of the paper",
        "venue and year",
        "a print by whoever measured it",
    }
    doubts = {text for kind, text in found if kind == DOUBTFUL}
    assert any("names code and no file" in text for text in doubts)
    assert any("test-set-checkpoint" in text for text in doubts)
    assert (DOUBTFUL, "conflicts.csv speaks of a row that no table here prints") in by_text(check_published(folder)[1])


def test_equal_remarks_are_said_once() -> None:
    remarks = [Remark(MISSING, "x", "a"), Remark(MISSING, "x", "b"), Remark(MISSING, "x", "a"), Remark(ERROR, "y")]
    assert by_text(remarks) == {(MISSING, "x"): ["a", "b"], (ERROR, "y"): []}
