"""``vibench eval`` on splits a model was trained on, and on checkpoints of other methods."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.training import toy  # noqa: F401  (registers the method)
from vibench.cli.main import app
from vibench.errors import UsageError, VibenchError
from vibench.methods.recipe import load_recipe
from vibench.training.run import train
from vibench.training.spec import TrainingSpec


@pytest.fixture(scope="module")
def run(regdb_twin: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the first split of RegDB's twin."""
    folder = tmp_path_factory.mktemp("eval")
    recipe = load_recipe("toy", "", "regdb-twin", ["schedule.epochs=1", "batches_per_epoch=1"])
    spec = TrainingSpec(recipe, regdb_twin, 1, pretrained="none", folder=folder / "run")
    return train(spec, device="cpu", cache=folder / "cache").path


@pytest.fixture
def vibench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command line in this process, inside a temporary folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIBENCH_CACHE", str(tmp_path / "cache"))

    def invoke(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [*map(str, arguments)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def test_another_trial_s_split_is_refused_or_marked(vibench: Callable[..., Result], run: Path, tmp_path: Path):
    words = ("eval", run, "--protocol", "regdb-v2t", "--device", "cpu", "--json", "records.json")
    with pytest.raises(VibenchError, match=r"test identities \(pid .* are training identities .*--allow-leaking"):
        vibench(*words, "--trial", 2)
    assert not (tmp_path / "leaderboards").exists()

    result = vibench(*words, "--trial", 2, "--allow-leaking")
    assert "test identities of trial 2" in result.output
    (record,) = json.loads(Path("records.json").read_text())
    assert record["leaking"] is True and [trial["trial"] for trial in record["trials"]] == [2]
    vibench(*words)
    (record,) = json.loads(Path("records.json").read_text())
    assert record["leaking"] is False and [trial["trial"] for trial in record["trials"]] == [1]

    vibench("leaderboard")
    (board,) = Path("leaderboards/regdb-twin").glob("*.csv")
    with board.open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [(row["rank_low"], "leaking" in row["not_ranked_because"]) for row in rows] == [("", True), ("", False)]


def test_a_checkpoint_of_another_method_is_refused(vibench: Callable[..., Result], run: Path):
    checkpoint = run / "checkpoints" / "last.pt"
    with pytest.raises(UsageError, match="is a checkpoint of toy, not of --method agw"):
        vibench("eval", "--method", "agw", "--checkpoint", checkpoint, "--protocol", "regdb-v2t")
    with pytest.raises(
        UsageError, match="exactly one of RUN, --features, --scores, --checkpoint and --attributes-only"
    ):
        vibench("eval", run, "--checkpoint", checkpoint)
    with pytest.raises(UsageError, match="--protocol sysu-all: is a protocol of sysu-mm01, but"):
        vibench("eval", run, "--protocol", "sysu-all")


def test_another_split_of_a_checkpoint_is_refused_as_well(vibench: Callable[..., Result], run: Path, regdb_twin: Path):
    checkpoint = run / "checkpoints" / "last.pt"
    words = ("eval", "--checkpoint", checkpoint, "--root", regdb_twin, "--protocol", "regdb-v2t", "--device", "cpu")
    with pytest.raises(VibenchError, match=r"evaluate it with --trial 1 \("):
        vibench(*words, "--trial", 3)
    assert vibench(*words).exit_code == 0
