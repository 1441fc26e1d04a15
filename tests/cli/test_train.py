"""``vibench train`` as a user meets it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.datasets import mini
from tests.training import toy  # noqa: F401  (registers the method)
from vibench.cli.main import app
from vibench.errors import UsageError
from vibench.training.checkpoint import read_checkpoint
from vibench.training.folder import RunFolder, open_runs
from vibench.training.interrupt import TrainingInterrupted


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run ``vibench train ARGS...`` in this process, inside a temporary folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIBENCH_CACHE", str(tmp_path / "cache"))

    def run(*arguments: object) -> Result:
        words = ["train", *map(str, arguments), "--device", "cpu"]
        if "--resume" not in words:
            words.append("--allow-incomplete")  # of the published counts a mini has next to nothing
        result = CliRunner().invoke(app, words)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def regdb(tmp_path: Path) -> Path:
    return mini.write_regdb(tmp_path / "data" / "regdb")


ONE_EPOCH = ("--pretrained", "none", "--set", "schedule.epochs=1", "--set", "batches_per_epoch=2")


def test_a_real_process_trains_saves_and_says_what_is_next(
    tmp_path: Path, vibench: Callable[..., subprocess.CompletedProcess[str]]
):
    root = mini.write_sysu(tmp_path / "sysu")
    small = ("backbone=resnet18-slim", "input.height=32", "input.width=32", "identities=2", "images=2")
    settings = [*(word for setting in small for word in ("--set", setting)), "--amp", "off", "--allow-incomplete"]
    done = vibench("train", "baseline", "--dataset", "sysu-mm01", "--root", root, *ONE_EPOCH, *settings)
    assert done.returncode == 0, done.stderr
    run = RunFolder(tmp_path / "runs" / "sysu-mm01" / "baseline-b-s0")
    assert run.finished()
    lines = done.stdout.splitlines()
    assert lines[0].startswith("runs/sysu-mm01/baseline-b-s0: 1 epochs, loss ")
    assert lines[-1] == "next: vibench eval runs/sysu-mm01/baseline-b-s0 --protocol sysu-all"
    assert "Traceback" not in done.stderr

    assert "lacks 34131 of 34167 images" in done.stderr

    again = vibench("train", "baseline", "--dataset", "sysu-mm01", "--root", root, *ONE_EPOCH)
    assert again.returncode == 2
    assert again.stderr.startswith("error: runs/sysu-mm01/baseline-b-s0: holds a finished run;")


def test_an_incomplete_copy_is_refused_unless_allowed(
    tmp_path: Path, vibench: Callable[..., subprocess.CompletedProcess[str]]
):
    root = mini.write_sysu(tmp_path / "sysu")
    (root / "cam7").mkdir()
    (root / "cam7" / "0001.jpg").touch()
    words = ("train", "baseline", "--dataset", "sysu-mm01", "--root", root, *ONE_EPOCH, "--out", tmp_path / "run")
    refused = vibench(*words)
    assert refused.returncode == 2 and not (tmp_path / "run").exists()
    said = "the training split of sysu-mm01 lacks 34131 of 34167 images (cam1/0001/0003.jpg, "
    assert refused.stderr.startswith(f"error: {root}: {said}")
    assert "complete the copy" in refused.stderr and "--allow-incomplete" in refused.stderr
    # The recipe's batches do not fit a mini: what is said before is the point here.
    allowed = vibench(*words, "--allow-incomplete", "--set", "identities=9")
    assert f"note: {said}" in allowed.stderr and "the training split has only 3 identities" in allowed.stderr
    assert f"attention: {root}: 1 image files are not used, 1 (cam7/0001.jpg): outside" in allowed.stderr


def test_regdb_trains_one_model_per_split(train: Callable[..., Result], regdb: Path):
    """Found in data/regdb by default; every split has its own identities."""
    result = train("toy", "--dataset", "regdb", "--trial", "all", *ONE_EPOCH)
    assert result.stdout.splitlines()[-1] == "next: vibench eval runs/regdb/toy-s0 --protocol regdb-v2t"
    runs = open_runs(Path("runs/regdb/toy-s0"))
    assert [run.path.name for run in runs] == [f"trial-{trial:02d}" for trial in range(1, 11)]
    checkpoints = [read_checkpoint(run.checkpoint_path) for run in runs]
    assert [checkpoint.trial for checkpoint in checkpoints] == list(range(1, 11))
    assert len({checkpoint.train_pids for checkpoint in checkpoints}) > 1


def test_all_trials_are_interrupted_and_resumed_together(
    train: Callable[..., Result], regdb: Path, monkeypatch: pytest.MonkeyPatch
):
    from vibench.training import run as training_run

    @contextmanager
    def stop_at_once() -> Iterator[Callable[[], bool]]:
        yield lambda: True

    with monkeypatch.context() as patch:
        patch.setattr(training_run, "stop_requests", stop_at_once)
        with pytest.raises(
            TrainingInterrupted, match=r"saved epoch 0, step 1; .*toy-s0/trial-01, or .* runs/regdb/toy-s0$"
        ):
            train("toy", "--dataset", "regdb", "--trial", "all", *ONE_EPOCH)
    train("--resume", "runs/regdb/toy-s0")
    runs = open_runs(Path("runs/regdb/toy-s0"))
    assert len(runs) == 10 and all(run.finished() for run in runs)


def test_trial_1_is_the_default_of_regdb_and_said(train: Callable[..., Result], regdb: Path):
    result = train("toy", "--dataset", "regdb", *ONE_EPOCH)
    assert "this trains --trial 1" in result.output
    run = RunFolder(Path("runs/regdb/toy-s0/trial-01"))
    assert run.finished() and run.description().sync_batch_norm


def test_each_process_may_normalise_its_own_share(train: Callable[..., Result], regdb: Path):
    train("toy", "--dataset", "regdb", *ONE_EPOCH, "--out", "run", "--no-sync-batch-norm")
    assert not RunFolder(Path("run")).description().sync_batch_norm


def test_resume_takes_everything_from_the_folder(train: Callable[..., Result], regdb: Path):
    train("toy", "--dataset", "regdb", "--trial", 1, *ONE_EPOCH, "--out", "whole")
    train("toy", "--dataset", "regdb", "--trial", 1, *ONE_EPOCH, "--out", "again")
    whole, again = RunFolder(Path("whole")), RunFolder(Path("again"))
    expected = whole.checkpoint_path.read_bytes()
    again.checkpoint_path.unlink()
    train("--resume", "again")
    assert again.checkpoint_path.read_bytes() == expected
    with pytest.raises(UsageError, match="is a run of toy, not of agw"):
        train("agw", "--resume", "again")


@pytest.mark.parametrize(
    "option",
    [
        ("--dataset", "regdb"),
        ("--set", "lr=1"),
        ("--trial", "2"),
        ("--seed", "1"),
        ("--amp", "off"),
        ("--out", "x"),
        ("--allow-incomplete",),
    ],
)
def test_what_the_run_folder_fixes_cannot_be_changed(train: Callable[..., Result], option: tuple[str, str]):
    with pytest.raises(UsageError, match=f"{option[0]} cannot be changed with --resume"):
        train("--resume", "somewhere", *option)


def test_wrong_arguments_get_one_sentence(train: Callable[..., Result], regdb: Path):
    with pytest.raises(UsageError, match="METHOD is missing"):
        train("--dataset", "regdb")
    with pytest.raises(UsageError, match="--dataset is missing"):
        train("toy")
    with pytest.raises(UsageError, match="--trial eleven: give the number"):
        train("toy", "--dataset", "regdb", "--trial", "eleven")
    with pytest.raises(UsageError, match="--trial 11: regdb has the train/test splits 1 to 10"):
        train("toy", "--dataset", "regdb", "--trial", "11")
    with pytest.raises(UsageError, match="did you mean 'regdb'"):
        train("toy", "--dataset", "regbd")
    with pytest.raises(UsageError, match="nowhere: there is no such folder for the data set sysu-mm01"):
        train("toy", "--dataset", "sysu-mm01", "--root", "nowhere")
    with pytest.raises(UsageError, match="there is no such run folder"):
        train("--resume", "nowhere")
    with pytest.raises(UsageError, match=r"did you mean 'schedule.epochs'"):
        train("toy", "--dataset", "regdb", "--set", "schedule.epoch=3")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "identities=4"), r"identities = 4: the training split has only 3 identities; lower it with --set"),
        (("--set", "identities=1"), r"'identities' must be at least 2, not 1: in a batch of one identity"),
        (("--set", "sampler.images=0"), r"'images' must be at least 1, not 0"),
        (("--set", "optimizer.lrr=1"), r"did you mean 'optimizer.lr'"),
        (("--variant", "tow"), r"Toy has no variant 'tow'; it has none"),
    ],
)
def test_recipes_that_do_not_work_out(train: Callable[..., Result], tmp_path: Path, words: tuple[str, ...], said: str):
    root = mini.write_sysu(tmp_path / "sysu")
    with pytest.raises(UsageError, match=said):
        train("toy", "--dataset", "sysu-mm01", "--root", root, *ONE_EPOCH, *words)
    assert not Path("runs/sysu-mm01/toy-s0").exists()


def test_all_trials_that_are_refused_leave_no_run(train: Callable[..., Result], regdb: Path):
    many = ("--set", "identities=40")
    with pytest.raises(UsageError, match="identities = 40: the training split has only"):
        train("toy", "--dataset", "regdb", "--trial", "all", *ONE_EPOCH, *many)
    assert not any(Path("runs/regdb/toy-s0").iterdir())


def test_a_run_that_cannot_be_resumed_is_kept(train: Callable[..., Result], regdb: Path):
    train("toy", "--dataset", "regdb", *ONE_EPOCH, "--out", "run")
    run = RunFolder(Path("run"))
    run.checkpoint_path.unlink()
    regdb.rename("moved")
    with pytest.raises(UsageError, match="say where it is with --root"):
        train("--resume", "run")
    resumed = train("--resume", "run", "--root", "moved")
    assert run.finished()
    assert resumed.stdout.splitlines()[-1] == "next: vibench eval run --protocol regdb-v2t --root moved"


def test_an_identity_seen_by_one_modality_only_is_named(train: Callable[..., Result], tmp_path: Path):
    root = mini.write_sysu(tmp_path / "sysu")
    for camera in (3, 6):
        shutil.rmtree(root / f"cam{camera}" / "0002")
    with pytest.raises(UsageError, match=r"no infrared image of 1 identities \(pid 2\).*vibench data check"):
        train("toy", "--dataset", "sysu-mm01", "--root", root, *ONE_EPOCH)
