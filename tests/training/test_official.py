"""Official checkpoints become ours: by name and shape, for the right data set, split and identities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from tests.datasets import mini
from tests.training import toy  # noqa: F401  (registers the method)
from tests.training.official import outer
from tests.training.toy import official as toy_names
from vibench.cli.main import app
from vibench.datasets.index import training_rows
from vibench.datasets.registry import get_dataset
from vibench.errors import UsageError, VibenchError
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method
from vibench.scoring.rules import Rules, load_protocols
from vibench.scoring.score import score_models
from vibench.scoring.trained import models_of_checkpoint
from vibench.training.checkpoint import check_test_identities, load_method, read_checkpoint
from vibench.training.official import import_official, importable_methods

SYSU_CLASSES = len(mini.SYSU_IDS["train"]) + len(mini.SYSU_IDS["val"])


@pytest.fixture(scope="session")
def regdb_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini.write_regdb(tmp_path_factory.mktemp("data") / "regdb")


def official_state(classes: int) -> dict[str, Tensor]:
    """The toy's weights under the official names, with what the official code stores beside them."""
    torch.manual_seed(classes)
    state = build_method(load_recipe("toy"), classes).state_dict()
    named = {}
    for ours, tensor in state.items():
        theirs, own = next(pair for pair in toy_names.KEYS if ours.startswith(pair[1]))
        named[theirs + ours[len(own) :]] = torch.rand(tensor.shape) if tensor.is_floating_point() else tensor
    return {**named, "body.fc.weight": torch.zeros(3)}


@pytest.fixture
def write(tmp_path: Path):
    """Write a state dict as the authors' codes do."""

    def write(state: dict[str, Tensor], name: str = "sysu_toy_seed_4_best.t") -> Path:
        torch.save(outer(state), tmp_path / name)
        return tmp_path / name

    return write


def test_the_checkpoint_holds_the_weights_and_where_they_come_from(write, sysu_root, tmp_path):
    state = official_state(SYSU_CLASSES)
    made = import_official(
        "toy", write(state), tmp_path / "c.pt", root=sysu_root, overrides=["height=64", "model.nan_after=-2"]
    )
    read = read_checkpoint(tmp_path / "c.pt")
    assert (read.source, read.method, read.dataset, read.trial) == ("imported", "toy", "sysu-mm01", None)
    assert read.train_pids == (1, 2, 4) and read.num_classes == 3
    assert (read.epoch, read.seed, read.pretrained) == (61, 4, "imagenet")
    assert made.settings == {"input.height": 64, "input.width": 32, "model.nan_after": -2}
    method = load_method(tmp_path / "c.pt")
    assert torch.equal(method.stem[0].weight, state["body.0.weight"])
    assert torch.equal(method.neck.running_var, state["bottleneck.running_var"])
    assert method.recipe.input.height == 64


def test_the_published_identities_stand_in_for_a_copy_of_sysu(write, tmp_path):
    made = import_official("toy", write(official_state(395)), tmp_path / "c.pt")
    pids = made.checkpoint.train_pids
    assert len(pids) == 395 and list(pids) == sorted(set(pids))


def test_an_imported_checkpoint_is_evaluated_at_once(write, regdb_twin, tmp_path):
    classes = training_rows(get_dataset("regdb-twin").index(regdb_twin, 2))["pid"].nunique()
    path = write(official_state(classes), "regdb_trial_2.t")
    import_official("toy", path, tmp_path / "c.pt", dataset="regdb-twin", root=regdb_twin)
    rules = Rules(load_protocols(["regdb-v2t"]))
    (scored,) = score_models(models_of_checkpoint(tmp_path / "c.pt", regdb_twin), rules, device="cpu", amp="off")
    assert scored.record.source == "imported" and scored.record.run.epochs == 61
    assert any("official checkpoint" in note for note in scored.record.notes)


def test_training_identities_are_not_tested_on(write, tmp_path):
    made = import_official("toy", write(official_state(395)), tmp_path / "c.pt")
    check_test_identities(made.checkpoint, "sysu-mm01", [6, 10])
    with pytest.raises(VibenchError, match="are training identities of this toy checkpoint"):
        check_test_identities(made.checkpoint, "sysu-mm01", [6, made.checkpoint.train_pids[0]])


def test_half_precision_and_counters_of_old_files(write, sysu_root, tmp_path):
    state = official_state(SYSU_CLASSES)
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    old = {name: value.half() for name, value in state.items() if name not in counters}
    import_official("toy", write(old), tmp_path / "c.pt", root=sysu_root)
    read = read_checkpoint(tmp_path / "c.pt").model
    assert counters and read["stem.0.weight"].dtype == torch.float32
    assert read["neck.num_batches_tracked"] == 0


def test_everything_that_does_not_fit_is_named(write, sysu_root, tmp_path):
    state = official_state(SYSU_CLASSES)
    del state["bottleneck.weight"], state["body.0.weight"]
    state["body.1.bias"] = torch.zeros(5)
    state["body.1.weight"] = torch.full((8,), float("nan"))
    state["extra.weight"] = state["another.bias"] = torch.zeros(2)
    with pytest.raises(UsageError) as refused:
        import_official("toy", write(state), tmp_path / "c.pt", root=sysu_root)
    message = str(refused.value)
    assert "missing: body.0.weight, bottleneck.weight" in message
    assert "surplus: extra.weight, another.bias" in message
    assert "of another shape: body.1.bias 5 instead of 8" in message
    assert "not finite: body.1.weight" in message
    assert "\n" not in message and not (tmp_path / "c.pt").exists()


def test_the_file_of_another_method(write, tmp_path):
    with pytest.raises(UsageError, match=r"does not fit baseline b on sysu-mm01.* surplus: body\.0\.weight"):
        import_official("baseline", write(official_state(395)), tmp_path / "c.pt")


def test_the_class_count_of_another_data_set(write, tmp_path):
    """It is named even where the network differs there too."""
    with pytest.raises(UsageError, match=r"206 identities apart, but sysu-mm01 has 395.*--dataset regdb"):
        import_official("toy", write({**official_state(206), "thermal_only.weight": torch.zeros(2)}), tmp_path / "c.pt")


def test_the_trial_is_taken_from_the_name_or_asked_for(write, tmp_path):
    out, state = tmp_path / "c.pt", official_state(206)
    named, nameless = write(state, "regdb_toy_trial_7_best.t"), write(state, "best.t")
    made = import_official("toy", named, out, dataset="regdb")
    assert made.checkpoint.trial == 7 and made.checkpoint.train_pids == ()
    assert import_official("toy", nameless, out, dataset="regdb", trial=2).checkpoint.trial == 2
    with pytest.raises(UsageError, match="name it with --trial"):
        import_official("toy", nameless, out, dataset="regdb")
    with pytest.raises(UsageError, match="says that it is of trial 7"):
        import_official("toy", named, out, dataset="regdb", trial=2)
    with pytest.raises(UsageError, match="splits 1 to 10"):
        import_official("toy", nameless, out, dataset="regdb", trial=11)
    with pytest.raises(UsageError, match="leave --trial out"):
        import_official("toy", write(official_state(395)), out, trial=1)


def test_a_copy_of_regdb_gives_the_identities_of_the_trial(write, regdb_root, tmp_path):
    path = write(official_state(mini.REGDB_TRAIN), "regdb_trial_2.t")
    made = import_official("toy", path, tmp_path / "c.pt", dataset="regdb", root=regdb_root)
    assert len(made.checkpoint.train_pids) == mini.REGDB_TRAIN
    assert not set(made.checkpoint.train_pids) & set(
        models_of_checkpoint(tmp_path / "c.pt", regdb_root)[0].test_index.pid
    )


def test_prefixes_that_are_unused_on_one_data_set(write, tmp_path):
    extra = {"thermal_only.weight": torch.zeros(2)}
    path = write({**official_state(206), **extra}, "trial_1.t")
    import_official("toy", path, tmp_path / "c.pt", dataset="regdb")
    with pytest.raises(UsageError, match=r"surplus: thermal_only\.weight\."):
        import_official("toy", write({**official_state(395), **extra}), tmp_path / "c.pt")


def test_bad_usage(write, tmp_path, monkeypatch):
    path = write(official_state(395))
    with pytest.raises(UsageError, match="is the official file itself"):
        import_official("toy", path, path)
    with pytest.raises(UsageError, match="synthetic, so name the copy"):
        import_official("toy", path, tmp_path / "c.pt", dataset="sysu-mm01-twin")
    with pytest.raises(UsageError, match="did you mean 'toy'"):
        import_official("toi", path, tmp_path / "c.pt")
    with pytest.raises(VibenchError, match="cannot be written"):
        import_official("toy", path, path / "c.pt")
    assert {"agw", "baseline", "toy"} <= set(importable_methods())


def test_the_command_names_what_it_took_from_the_recipe(write, tmp_path):
    path, out = write(official_state(206), "best.t"), tmp_path / "c.pt"
    arguments = ["import", "toy", str(path), "-o", str(out), "--dataset", "regdb", "--trial", "3", "--set", "width=48"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert f"{out}: toy on regdb trial 3, 206 training identities, 61 epochs" in result.stdout
    assert "r1 47.50 %, mAP 47.65 %, mINP 35.30 %" in result.stdout
    assert "(change with --set): input.height=48, input.width=48, model.nan_after=-1" in result.stdout
    assert "which identities it was trained on is unknown" in result.stdout
    assert f"vibench eval --method toy --checkpoint {out} --protocol regdb-v2t" in result.stdout


def test_the_authors_weights_survive_bit_by_bit(write, sysu_root, tmp_path):
    state = official_state(SYSU_CLASSES)
    import_official("toy", write(state), tmp_path / "c.pt", root=sysu_root)
    read = read_checkpoint(tmp_path / "c.pt").model
    for theirs, ours in toy_names.KEYS:
        for name, tensor in state.items():
            if name.startswith(theirs):
                np.testing.assert_array_equal(read[ours + name[len(theirs) :]].numpy(), tensor.numpy())
