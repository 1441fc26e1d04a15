"""Whatever the terminal or the pipe: what is printed arrives as far as it can, and the work is done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vibench.cli import main as command_line
from vibench.cli.streams import encodable
from vibench.datasets.registry import get_dataset
from vibench.errors import VibenchError
from vibench.evaluation.features import Features, write_features
from vibench.files.lock import take
from vibench.records.store import read_records

Vibench = Callable[..., subprocess.CompletedProcess[str]]

REPOSITORY = Path(command_line.__file__).resolve().parents[2]
ASCII = (
    {"PYTHONIOENCODING": "ascii"},
    {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""},
)

UNBUFFERED = {"PYTHONUNBUFFERED": "1"}
LATIN = {"PYTHONIOENCODING": "latin-1", "COLUMNS": "30", "TERM": "dumb", "NO_COLOR": "1"}


@pytest.fixture
def evaluation(sysu_twin: Path, tmp_path: Path) -> tuple[str, ...]:
    """The words of an evaluation of features whose name has letters of several alphabets."""
    index = get_dataset("sysu-mm01-twin").index(sysu_twin)
    names = tuple(index["path"][index["split"] == "test"])
    values = np.random.default_rng(0).standard_normal((len(names), 8)).astype(np.float32)
    write_features(tmp_path / "features.npz", Features(values, names, meta={"dataset": "sysu-mm01-twin"}))
    data = ("--dataset", "sysu-mm01-twin", "--protocol", "sysu-all")
    return ("eval", "--features", "features.npz", "--name", "größe–测", *data)


def read_by(reader: str, vibench: Vibench, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """``vibench WORDS | READER``; of the command alone."""
    with subprocess.Popen(reader.split(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        return vibench(*words, stdout=process.stdin, **variables)


@pytest.mark.parametrize("variables", ASCII)
def test_letters_that_the_terminal_lacks_are_replaced(
    vibench: Vibench, evaluation: tuple[str, ...], tmp_path: Path, variables: dict[str, str]
) -> None:
    if variables is not ASCII[0]:
        # There the words themselves are no text.
        refused = vibench(*evaluation, **variables)
        assert refused.returncode == 2 and "give them another with --name" in refused.stderr
        evaluation = (*evaluation, "--name", "random")
    result = vibench(*evaluation, **variables)
    assert result.returncode == 0 and "Traceback" not in result.stderr
    assert result.stdout.isascii() and result.stderr.isascii()
    assert ("gr\\xf6\\xdfe-\\u6d4b" if variables is ASCII[0] else "random") in result.stdout
    # The columns stay in line although a sign became two.
    heads = next(line for line in result.stdout.splitlines() if line.startswith("draw, trials"))
    scores = next(line for line in result.stdout.splitlines() if line.startswith("seeded draw"))
    assert heads.count("+-") == 6 and len(heads.rstrip()) == len(scores.rstrip())
    assert len(read_records(tmp_path / "leaderboards")[0]) == 1


@pytest.mark.parametrize(
    ("command", "variables"),
    [
        (("methods",), ASCII[1]),
        (("methods", "agw"), LATIN),
        (("protocols", "sysu-all"), ASCII[1]),
        (("leaderboard", "--protocol", "sysu-all"), LATIN),
        (("leaderboard", "--conflicts"), ASCII[1]),
        (("eval", "--help"), ASCII[1]),
        (("eval", "--help"), LATIN),
        (("no-such-command",), LATIN),
    ],
)
def test_every_kind_of_output_survives_any_terminal(
    vibench: Vibench, command: tuple[str, ...], variables: dict[str, str]
) -> None:
    result = vibench(*command, **variables)
    assert result.returncode == (2 if command == ("no-such-command",) else 0)
    assert "Traceback" not in result.stderr and (result.stdout or result.stderr)


def test_scores_are_whole_on_a_narrow_terminal(vibench: Vibench, evaluation: tuple[str, ...]) -> None:
    assert vibench(*evaluation, COLUMNS="30").stdout.split() == vibench(*evaluation, COLUMNS="80").stdout.split()


@pytest.mark.parametrize(
    ("command", "unbuffered"),
    [
        ("methods", {}),
        ("leaderboard --audits", {}),
        ("leaderboard --audits", UNBUFFERED),
        ("eval --help", UNBUFFERED),
        ("--version", {}),
    ],
)
def test_a_reader_who_has_had_enough_is_no_error(vibench: Vibench, command: str, unbuffered: dict[str, str]) -> None:
    for reader in ("head -1", "true"):
        result = read_by(reader, vibench, *command.split(), **unbuffered)
        assert (result.returncode, result.stderr) == (0, "")


def test_the_record_is_written_although_nobody_reads_the_scores(
    vibench: Vibench, tmp_path: Path, evaluation: tuple[str, ...]
) -> None:
    result = read_by("true", vibench, *evaluation, "--json", "scores.json")
    assert result.returncode == 0 and "Traceback" not in result.stderr
    assert len(read_records(tmp_path / "leaderboards")[0]) == 1 and (tmp_path / "scores.json").is_file()


def test_both_streams_may_be_closed(vibench: Vibench, tmp_path: Path, evaluation: tuple[str, ...]) -> None:
    closed = ["bash", "-c", '"$@" >&- 2>&-', "bash", sys.executable, "-m", "vibench", *evaluation]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    assert subprocess.run(closed, cwd=tmp_path, env=environment, timeout=300).returncode == 0
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as process:
        assert vibench(*evaluation, stdout=process.stdin, stderr=process.stdin).returncode == 0
    assert len(read_records(tmp_path / "leaderboards")[0]) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_under_standard_output_costs_no_record(
    vibench: Vibench, tmp_path: Path, evaluation: tuple[str, ...]
) -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        result = vibench(*evaluation, stdout=full)
    assert result.returncode == 1
    assert "standard output cannot be written (No space left on device)" in result.stderr
    assert "Traceback" not in result.stderr and "Exception ignored" not in result.stderr
    assert len(read_records(tmp_path / "leaderboards")[0]) == 1


def test_plainer_letters() -> None:
    assert encodable("1 ± 2 – 3 × 4 · 5…", "ascii") == "1 +- 2 - 3 x 4 * 5..."
    assert encodable("±–测", "latin-1") == "±-\\u6d4b"
    assert encodable("±–测", "utf-8") == "±–测"
    # A name of a file that is no UTF-8.
    assert encodable("\udcff", "utf-8") == "\\udcff"


def test_windows_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SystemExit) as ended:
        command_line.main(["methods"])
    said = capsys.readouterr()
    assert ended.value.code == 1 and said.out == ""
    assert said.err == "error: vibench runs on Linux and macOS; on Windows, use it inside WSL.\n"
    # As does the Python interface, where it first needs what that system lacks.
    with pytest.raises(VibenchError, match="Linux and macOS"):
        take(0, wait=False)


def test_no_module_needs_the_locks_of_other_systems_to_be_imported(tmp_path: Path) -> None:
    code = "import sys; sys.modules['fcntl'] = sys.modules['resource'] = None; import vibench.cli.main, vibench.api"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, timeout=300
    )
    assert done.returncode == 0
