"""``vibench visualize`` as a user meets it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.caches import cache_folder  # noqa: F401
from tests.training.toy_runs import sysu_run  # noqa: F401
from vibench.cli.main import app
from vibench.errors import UsageError

pytest.importorskip("matplotlib", reason="pictures need matplotlib (pip install vibench[plots])")


@pytest.fixture
def visualize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.manifold", None)

    def invoke(*arguments: object) -> Result:
        result = CliRunner().invoke(app, ["visualize", *map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def test_all_pictures_of_a_run(visualize: Callable[..., Result], sysu_run: Path, tmp_path: Path) -> None:  # noqa: F811
    result = visualize(sysu_run, "-o", "pictures", "--count", 1, "--device", "cpu", "--amp", "off")
    assert result.exit_code == 0
    assert "pictures/ranked-random.png\n" in result.output and "pictures/cmc.png\n" in result.output
    assert "left out: t-SNE needs scikit-learn" in result.output
    assert "left out: toy has no pictures of its own" in result.output
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 6


def test_one_picture_of_a_checkpoint(
    visualize: Callable[..., Result],
    sysu_run: Path,  # noqa: F811
    sysu_twin: Path,
    tmp_path: Path,
) -> None:
    checkpoint = ("--method", "toy", "--checkpoint", sysu_run / "checkpoints" / "last.pt", "--root", sysu_twin)
    options = ("--protocol", "sysu-indoor", "--what", "ranked", "--queries", "worst", "--trial", 9, "--device", "cpu")
    result = visualize(*checkpoint, *options, "-o", "out")
    assert result.output == "out/ranked-worst.png\n"
    with pytest.raises(UsageError, match="is a checkpoint of toy, not of --method agw"):
        visualize("--method", "agw", *checkpoint[2:], "-o", "out")


def test_bad_usage_is_one_sentence(visualize: Callable[..., Result], sysu_run: Path, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "empty").mkdir()
    for arguments, expected in (
        ((), "name either RUN or --checkpoint"),
        ((sysu_run, "--checkpoint", "x.pt"), "name either RUN or --checkpoint"),
        (("empty",), "is not a run folder"),
        ((sysu_run, "--what", "part"), r"--what part: .*did you mean 'parts'"),
        ((sysu_run, "--protocol", "sysu-al"), r"unknown protocol 'sysu-al' \(did you mean"),
        ((sysu_run, "--queries", ","), "--queries: name random"),
    ):
        with pytest.raises(UsageError, match=expected):
            visualize(*arguments, "-o", "out")
    assert not (tmp_path / "out").exists()


def test_a_run_without_checkpoint_says_how_to_train_it(visualize: Callable[..., Result], sysu_run: Path) -> None:  # noqa: F811
    checkpoint = sysu_run / "checkpoints" / "last.pt"
    checkpoint.rename(checkpoint.with_suffix(".away"))
    try:
        with pytest.raises(UsageError, match="has no checkpoint yet; train it with"):
            visualize(sysu_run, "-o", "out")
    finally:
        checkpoint.with_suffix(".away").rename(checkpoint)
