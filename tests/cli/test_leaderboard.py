"""``vibench leaderboard`` as a user runs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.conftest import REPOSITORY
from tests.records.made import make_per_query, make_record
from vibench.cli.main import app
from vibench.files.shipped import published_folder
from vibench.records.schema import Cost, RunInfo
from vibench.records.store import alone, write_record

OUTCOMES = (make_per_query(0), make_per_query(1))


def test_boards_are_shown_and_written_and_bad_records_reported(
    vibench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    path = write_record(tmp_path / "leaderboards", make_record("agw"), OUTCOMES)
    (path.parent / "broken.json").write_text("{")
    done = vibench("leaderboard", COLUMNS="160")
    assert done.returncode == 0
    assert "agw" in done.stdout and "50.50 ± 0.50" in done.stdout and "(synthetic data)" in done.stdout
    assert "zero-pad" not in done.stdout
    assert "broken.json" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "leaderboards" / "index.md").is_file()
    assert (tmp_path / "leaderboards" / "sysu-mm01" / "sysu-all-official.csv").is_file()
    # Showing boards needs no torch.
    lines = vibench("leaderboard", PYTHONPROFILEIMPORTTIME="1").stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines}
    assert "vibench.leaderboard.board" in imported and "torch" not in imported


def test_protocol_chooses_what_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    arguments = ["leaderboard", "--leaderboards", str(tmp_path / "here"), "--protocol", "regdb-t2v"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert "regdb: regdb-t2v" in result.output and "sysu-all" not in result.output
    # Of this protocol are numbers of models, too, that never saw RegDB.
    assert "sysu-mm01+llcm → regdb: regdb-t2v" in result.output
    # All boards are written nevertheless, so that the index is whole.
    assert (tmp_path / "here" / "sysu-mm01" / "sysu-all-seeded.md").is_file()


def test_unknown_protocol_is_bad_usage(vibench: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = vibench("leaderboard", "--protocol", "sysu-al")
    assert done.returncode == 2
    assert "sysu-all" in done.stderr and "Traceback" not in done.stderr


def _runs(folder: Path, method: str, scores: list[float]) -> None:
    for seed, r1 in enumerate(scores):
        run = RunInfo(id=f"{method}-s{seed}", seed=seed, recipe_sha256="5e" * 32, train_seconds=100.0 - seed)
        cost = Cost(device="Some GPU", embedding_size=512)
        write_record(folder, make_record(method, r1, run=run, cost=cost), OUTCOMES)


def test_seeds_collapse_unfold_and_cost(
    vibench: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    folder = tmp_path / "leaderboards"
    _runs(folder, "agw", [0.4, 0.5, 0.6])
    _runs(folder, "caj", [0.3])
    done = vibench("leaderboard", COLUMNS="80")
    assert done.returncode == 0
    assert "3 seeds" in done.stdout and "50.50 ± 10.00" in done.stdout and "1 seed" in done.stdout
    assert "40.50 ± 0.50" not in done.stdout
    unfolded = vibench("leaderboard", "--unfold", COLUMNS="80").stdout
    assert "seed 2" in unfolded and "40.50 ± 0.50" in unfolded
    assert all(len(line.rstrip()) <= 80 for line in unfolded.splitlines() if "±" in line)
    cost = vibench("leaderboard", "--by", "cost", COLUMNS="80").stdout
    assert "Cost on Some GPU, by training" in cost and "Cost on any device, by embedding" in cost
    assert "◆" in cost
    time_alone = vibench("leaderboard", "--by", "train-time", COLUMNS="80").stdout
    assert "by training" in time_alone and "embedding" not in time_alone


def test_findings_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    conflicts = CliRunner().invoke(app, ["leaderboard", "--conflicts"])
    assert conflicts.exit_code == 0
    paragraphs = [part for part in conflicts.output.split("\n\n") if part.strip()]
    assert len(paragraphs) == 145
    assert any("log-vs-paper" in part and "90.96" in part for part in paragraphs)
    assert any("value-mismatch" in part and "61.06" in part for part in paragraphs)
    audits = CliRunner().invoke(app, ["leaderboard", "--audits"])
    assert audits.exit_code == 0
    words = " ".join(audits.output.split())
    assert words.index("(major;") < words.index("(minor;") < words.index("(note;")
    assert "1KK077/IDKL@8676b62 IDKL/engine/__init__.py:39" in words
    one = CliRunner().invoke(app, ["leaderboard", "--audits", "--only", "method=saai"]).output
    assert "gallery-information" in one and "idkl" not in one
    # Lists alone write nothing.
    assert list(tmp_path.iterdir()) == []


def test_audits_can_be_ignored_on_the_terminal_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    arguments = ["leaderboard", "--leaderboards", str(tmp_path), "--protocol", "regdb-v2t"]
    default, ignoring = (CliRunner().invoke(app, [*arguments, *more]).output for more in ([], ["--ignore-audits"]))

    def rank_of_mmd(text: str) -> str:
        return next(line.split()[0] for line in text.splitlines() if line.split()[1:2] == ["mmd"])

    assert (rank_of_mmd(default), rank_of_mmd(ignoring)) == ("–", "3")
    text = (tmp_path / "regdb" / "regdb-v2t.md").read_text(encoding="utf-8")
    assert "| mmd" in text.partition("## Leaking split")[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--by", "memry"), "did you mean 'memory'"),
        (("--by", "memory", "--conflicts"), "give one of them"),
        (("--audits", "--conflicts"), "give one of them"),
        (("--latex", "--bibtex"), "give one of them"),
        (("published",), "--check-published alone"),
        (("--check-published", "nowhere"), "nowhere: there is no such folder"),
        (("--only", "backbon=resnet50"), "did you mean 'backbone'"),
        (("--only", "backbone="), "has no value"),
        (("--latex",), "no row is shown"),
        (("--audits", "--only", "dataset=llcm"), "method=NAME"),
    ],
)
def test_bad_usage(
    vibench: Callable[..., subprocess.CompletedProcess[str]], arguments: tuple[str, ...], words: str
) -> None:
    done = vibench("leaderboard", *arguments)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.split()) and "Traceback" not in done.stderr


def test_rows_are_chosen_by_what_they_say_of_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    arguments = ["leaderboard", "--leaderboards", str(tmp_path), "--protocol", "sysu-all"]
    output = (
        CliRunner().invoke(app, [*arguments, "--only", "pretrained=clip", "--only", "supervision=supervised"]).output
    )
    assert "csdn" in output and "mscmnet" not in output and "ceil" not in output
    nothing = CliRunner().invoke(app, [*arguments, "--only", "method=nobody"])
    assert nothing.exit_code == 0 and "No board has such a row." in nothing.output
    assert "--only method: rows have " in nothing.output and ", agw, " in nothing.output
    unknown = CliRunner().invoke(app, [*arguments, "--only", "supervision=unsup"]).output
    assert "--only supervision: rows have " in unknown and ", unsupervised" in unknown
    assert "--only method" not in unknown


def test_tables_and_papers_for_an_article(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_record(tmp_path / "leaderboards", make_record("agw"), OUTCOMES)
    before = sorted(tmp_path.rglob("*"))
    table = CliRunner().invoke(app, ["leaderboard", "--latex", "--only", "method=agw,mpanet", "--protocol", "sysu-all"])
    assert table.exit_code == 0 and table.stdout.startswith("% needs") and "\\cite{agw}" in table.stdout
    papers = CliRunner().invoke(
        app, ["leaderboard", "--bibtex", "--only", "method=agw,mpanet", "--protocol", "sysu-all"]
    )
    assert papers.exit_code == 0 and papers.stdout.startswith("@")
    assert papers.stdout.count("\n@") == 1 and "Survey and Outlook" in papers.stdout
    # They only read.
    assert sorted(tmp_path.rglob("*")) == before


def test_published_numbers_are_checked_in_words(tmp_path: Path) -> None:
    own = CliRunner().invoke(app, ["leaderboard", "--check-published"])
    assert own.exit_code == 0 and "753" not in own.stderr and "0 errors" in own.stdout
    folder = tmp_path / "published"
    shutil.copytree(published_folder(), folder)
    with (folder / "results.csv").open("a", encoding="utf-8") as handle:
        handle.write("agw,AGW,TPAMI,2021,sysu-mm01,all,single,,99.99,,,,47.65,,ddag-eccv2020,Table 4,typed wrongly\n")
    done = CliRunner().invoke(app, ["leaderboard", "--check-published", str(folder), "--only", "method=cal"])
    assert done.exit_code == 1
    assert "agw: sysu-all" in done.stderr and "contradict each other" in done.stderr and "99.99" in done.stderr
    assert "cal: backbone, input or pretraining" in done.stdout and "hcml" not in done.stdout


def test_rendering_waits_for_another_process_that_renders(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vibench", "leaderboard", "--leaderboards", str(tmp_path)]
    with alone(tmp_path):
        write_record(tmp_path, make_record("agw"), OUTCOMES)
        waiting = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(3)
        assert not (tmp_path / "index.md").exists()
    assert waiting.wait(60) == 0
    assert (tmp_path / "index.md").is_file()
