"""`vibench data twin`."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vibench.cli.data_twin import twin
from vibench.errors import UsageError

_app = typer.Typer()
_app.command()(twin)


def _run(*arguments: object) -> str:
    result = CliRunner().invoke(_app, [str(word) for word in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_a_twin_is_made_once(tmp_path: Path) -> None:
    arguments = ("--dataset", "regdb-twin", "--scale", "tiny", "--size", "32x16", "--out", tmp_path / "twin")
    assert "scale tiny, seed 0" in _run(*arguments, "--workers", 1)
    assert (tmp_path / "twin" / "idx" / "train_visible_1.txt").is_file()
    assert "already holds this twin" in _run(*arguments)


def test_preview_alone_makes_no_twin(tmp_path: Path) -> None:
    _run("--dataset", "regdb", "--preview", tmp_path / "sheet.png", "--size", "32x16")
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give --out FOLDER"),
        (("--out", "x", "--size", "32"), "height x width"),
        (("--out", "x", "--dataset", "llcm"), "no twin has the layout 'llcm'"),
    ],
)
def test_bad_usage_is_explained(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CliRunner().invoke(_app, list(arguments), catch_exceptions=False)
