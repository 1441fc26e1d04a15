"""torchrun with the command line: one run, one checkpoint, the features of one process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.distributed import TCPStore

from tests.cli import halting
from tests.conftest import REPOSITORY
from tests.distributed.several import skip_where_ends_hang
from tests.evaluation.made import evaluate, sysu
from tests.warm import Warm
from vibench.errors import UsageError
from vibench.evaluation.features import read_features, write_features
from vibench.methods.plugin import VARIABLE
from vibench.methods.recipe import load_recipe
from vibench.records.store import read_record
from vibench.runtime.devices import resolve_precision
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import score_models
from vibench.scoring.trained import models_of_run
from vibench.training.checkpoint import read_checkpoint
from vibench.training.folder import RunFolder
from vibench.training.log import read_log
from vibench.training.run import resume, train
from vibench.training.spec import TrainingSpec

SMALL = (
    "model.backbone=resnet18-slim",
    "input.height=64",
    "input.width=32",
    "sampler.identities=3",
    "sampler.images=2",
    "batches_per_epoch=2",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("joint")


def _variables(folder: Path) -> dict[str, str]:
    own = {"PYTHONPATH": str(REPOSITORY), "VIBENCH_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **own}


def torchrun(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """``vibench ARGS...`` on two processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "vibench"]
    words = [*command, *map(str, arguments)]
    return subprocess.run(words, cwd=folder, env=_variables(folder), capture_output=True, text=True, timeout=300)


Joint = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def joint(folder: Path, warm: Warm) -> Joint:
    """As `torchrun`, whose variables it sets, without the seconds that three processes take to import PyTorch."""
    skip_where_ends_hang()

    def run(*arguments: object, **further: str) -> subprocess.CompletedProcess[str]:
        # Where they meet belongs to torchrun, and outlives whoever ends first.
        store = TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
        job = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(store.port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
        job |= {"TORCHELASTIC_RUN_ID": "test", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", **further}
        each = [{**_variables(folder), **job, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in (0, 1)]
        both = warm.run_together("vibench", [str(word) for word in arguments], folder, each, timeout=300)
        return next((one for one in both if one.returncode), both[0])

    return run


def training(sysu_twin: Path, out: str) -> list[object]:
    """The words of a training of one epoch."""
    settings = [word for setting in (*SMALL, "epochs=1") for word in ("--set", setting)]
    options = ["--dataset", "sysu-mm01-twin", "--root", sysu_twin, "--pretrained", "none", "--device", "cpu"]
    return ["train", "baseline", *options, "--amp", "off", "--out", out, "--deterministic", *settings]


@pytest.fixture(scope="module")
def trained(joint: Joint, folder: Path, sysu_twin: Path) -> tuple[RunFolder, subprocess.CompletedProcess[str]]:
    """A run of one epoch, with what the command printed."""
    done = joint(*training(sysu_twin, "run"))
    assert done.returncode == 0, done.stderr
    return RunFolder(folder / "run"), done


@pytest.mark.slow
def test_torchrun_starts_such_processes(
    trained: tuple[RunFolder, subprocess.CompletedProcess[str]], folder: Path, sysu_twin: Path
) -> None:
    done = torchrun(folder, *training(sysu_twin, "by-torchrun"))
    assert done.returncode == 0 and done.stdout.count("next: vibench eval") == 1, done.stderr
    ours, theirs = (read_checkpoint(RunFolder(folder / name).checkpoint_path) for name in ("by-torchrun", "run"))
    for name, value in theirs.model.items():
        assert torch.equal(ours.model[name], value), name
    failed = torchrun(folder, "train", "no-such-method", "--dataset", "sysu-mm01-twin")
    assert failed.returncode != 0
    assert failed.stderr.count("error: ") == 1 and "no-such-method" in failed.stderr
    # torchrun's own traceback is none of ours.
    assert 'File "' + str(REPOSITORY / "vibench") not in failed.stderr


def test_two_processes_leave_one_run(
    trained: tuple[RunFolder, subprocess.CompletedProcess[str]], folder: Path, sysu_twin: Path
) -> None:
    run, done = trained
    assert done.stdout.count("next: vibench eval") == 1
    described = run.description()
    assert (described.processes, described.sync_batch_norm, described.deterministic) == (2, True, True)
    assert described.environment.deterministic.startswith("algorithms")
    assert [row["epoch"] for row in read_log(run.log_path)] == [0]
    assert run.timing().images == 2 * 12
    assert [file.name for file in run.checkpoint_path.parent.iterdir()] == ["last.pt"]

    recipe = load_recipe("baseline", "", "sysu-mm01-twin", (*SMALL, "epochs=1"))
    spec = TrainingSpec(recipe, sysu_twin, None, 0, "off", "none", folder / "alone")
    alone = train(spec, device="cpu", cache=folder / "cache")
    ours, theirs = read_checkpoint(run.checkpoint_path), read_checkpoint(alone.checkpoint_path)
    assert list(ours.model) == list(theirs.model)
    assert {name: value.shape for name, value in ours.model.items()} == {
        name: value.shape for name, value in theirs.model.items()
    }
    assert ours.optimizer["param_groups"] == theirs.optimizer["param_groups"]
    assert run.description().id == alone.description().id
    # The stem meets the first batch before any weight has moved, and the second one hardly after it.
    name = "backbone.visible.bn1.running_mean"
    torch.testing.assert_close(ours.model[name], theirs.model[name], rtol=1e-2, atol=1e-3)


def test_it_goes_on_with_as_many_processes_alone(
    trained: tuple[RunFolder, subprocess.CompletedProcess[str]], folder: Path
) -> None:
    run = RunFolder(folder / "longer")
    run.path.mkdir()
    run.description_path.write_bytes(trained[0].description_path.read_bytes())
    run.recipe_path.write_text(trained[0].recipe_path.read_text().replace("epochs = 1\n", "epochs = 2\n"))
    with pytest.raises(UsageError, match="was begun on 2 processes, and now there is 1; go on with torchrun"):
        resume(run, device="cpu")


def test_stopped_by_a_signal_to_one_of_them_they_go_on_to_the_same_bytes(
    joint: Joint, folder: Path, sysu_twin: Path
) -> None:
    settings = [word for setting in (*SMALL, "epochs=1") for word in ("--set", setting)]
    options = ["--dataset", "sysu-mm01-twin", "--root", sysu_twin, "--pretrained", "none", "--device", "cpu"]
    command = ["train", "halting", *options, "--amp", "off", *settings]
    variables = {VARIABLE: str(Path(halting.__file__).parent), halting.method.NOTICE: str(folder / "notice")}
    stopped = joint(*command, "--out", "stopped", **variables)
    assert stopped.returncode != 0
    assert stopped.stderr.count("has saved epoch 0, step 1") == 1
    resumed = joint("train", "--resume", "stopped", "--device", "cpu", **variables)
    assert resumed.returncode == 0, resumed.stderr
    whole = joint(*command, "--out", "whole", **variables)
    assert whole.returncode == 0, whole.stderr
    ours, theirs = (read_checkpoint(RunFolder(folder / name).checkpoint_path) for name in ("stopped", "whole"))
    assert list(ours.model) == list(theirs.model)
    for name, value in theirs.model.items():
        assert torch.equal(ours.model[name], value), name


def test_two_processes_leave_the_records_of_one(
    joint: Joint, trained: tuple[RunFolder, subprocess.CompletedProcess[str]], folder: Path
) -> None:
    command = ["eval", "run", "--protocol", "sysu-indoor", "--device", "cpu", "--amp", "off"]
    done = joint(*command, "--leaderboards", "joint")
    assert done.returncode == 0, done.stderr
    (path,) = (folder / "joint" / "records").rglob("*.json")
    record = read_record(path)
    rules = Rules(load_protocols(["sysu-indoor"]))
    (alone,) = score_models(models_of_run(folder / "run"), rules, device="cpu", amp="off")
    assert (record.mean, record.trials) == (alone.record.mean, alone.record.trials)


def test_two_processes_extract_the_features_of_one(
    joint: Joint, trained: tuple[RunFolder, subprocess.CompletedProcess[str]], folder: Path
) -> None:
    done = joint("extract", "run", "-o", "features.npz", "--device", "cpu", "--amp", "off")
    assert done.returncode == 0, done.stderr
    ours = read_features(folder / "features.npz")
    device = torch.device("cpu")
    (model,) = models_of_run(folder / "run")
    _, alone = model.extract(device, resolve_precision("off", device), extras=True, cache=folder / "cache")
    assert ours.paths == alone.features.paths and ours.meta == alone.features.meta
    np.testing.assert_array_equal(ours.features, alone.features.features)
    assert set(ours.extras) == set(alone.features.extras)
    for name, values in alone.features.extras.items():
        np.testing.assert_array_equal(ours.extras[name], values)


def test_two_processes_share_the_queries_of_features(joint: Joint, folder: Path) -> None:
    features = sysu()
    write_features(folder / "made.npz", features)
    command = ["eval", "--features", "made.npz", "--dataset", "sysu-mm01-twin", "--protocol", "sysu-all-multi"]
    done = joint(*command, "--device", "cpu", "--leaderboards", "shared", "--allow-incomplete")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("queries have no reachable match") == 1
    (path,) = (folder / "shared" / "records").rglob("*.json")
    record = read_record(path)
    (alone,) = evaluate(features, "sysu-all-multi")
    assert (record.mean, record.trials, record.cmc) == (alone.mean, alone.trials, alone.cmc)


def test_a_training_that_is_refused_late_leaves_no_folder(joint: Joint, folder: Path, sysu_twin: Path) -> None:
    done = joint(*training(sysu_twin, "refused"), "--set", "sampler.identities=40")
    assert done.returncode == 2 and done.stderr.count("error: ") == 1 and "identities = 40" in done.stderr
    assert not (folder / "refused").exists()


def test_an_error_is_one_sentence(joint: Joint) -> None:
    done = joint("train", "no-such-method", "--dataset", "sysu-mm01-twin")
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1 and "no-such-method" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_of_which_nothing_is_shared_is_refused(folder: Path) -> None:
    done = torchrun(folder, "methods")
    assert done.returncode != 0
    assert "vibench methods: several processes share the work of train, extract, eval alone" in done.stderr
