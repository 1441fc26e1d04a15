"""Official checkpoints as people bring them: other heads, wrappers, precisions, several sets of weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from tests.training.test_official import SYSU_CLASSES, official_state
from vibench.cli.main import app
from vibench.errors import UsageError
from vibench.scoring.notes import origin_notes
from vibench.scoring.trained import models_of_checkpoint
from vibench.training.checkpoint import load_method, read_checkpoint
from vibench.training.official import Conversion, import_official


@pytest.fixture
def bring(tmp_path: Path):
    """Import what a script saved as the toy's official checkpoint; the result is ``c.pt``."""

    def bring(content: object, **options: object) -> Conversion:
        torch.save(content, tmp_path / "best.pth.tar")
        return import_official("toy", tmp_path / "best.pth.tar", tmp_path / "c.pt", **options)

    return bring


def test_a_head_without_the_validation_identities(bring, tmp_path):
    made = bring(official_state(296))
    assert made.notes == (
        "its head has 296 classes, sysu-mm01 395 training identities: trained without the validation identities, by "
        "that number; the head is unused in testing",
    )
    read = read_checkpoint(tmp_path / "c.pt")
    assert read.num_classes == len(read.train_pids) == 296
    assert set(read.train_pids) < set(bring(official_state(395)).checkpoint.train_pids)


@pytest.mark.parametrize("classes", [1, 2, 100, 501])
def test_a_head_of_any_other_size(classes, bring, tmp_path):
    """The training identities are unknown then, and the checkpoint does not claim any."""
    made = bring(official_state(classes))
    assert made.notes == (
        f"its head has {classes} classes, sysu-mm01 395 training identities; the head is unused in testing",
    )
    read = read_checkpoint(tmp_path / "c.pt")
    assert (read.num_classes, read.train_pids) == (classes, ())
    assert load_method(tmp_path / "c.pt").num_classes == classes


def test_a_missing_head(bring, tmp_path):
    state = {name: tensor for name, tensor in official_state(395).items() if not name.startswith("classifier.")}
    made = bring(state)
    assert made.notes == ("its head is missing (classifier.weight): it stays untrained, and is unused in testing",)
    assert len(made.checkpoint.train_pids) == 395
    content = (tmp_path / "c.pt").read_bytes()
    bring(state)
    assert (tmp_path / "c.pt").read_bytes() == content


def test_records_say_what_is_not_known_of_the_training(bring, sysu_root, tmp_path):
    def notes(classes: int) -> str:
        bring(official_state(classes), root=sysu_root)
        return "; ".join(origin_notes(models_of_checkpoint(tmp_path / "c.pt", sysu_root)))

    whole, some, others = notes(SYSU_CLASSES), notes(2), notes(7)
    assert "its head" not in whole and "trained on" not in whole
    assert "trained on 2 of the 3 training identities, as the size of its head says" in some
    assert "its head has 7 classes, the training split 3 identities" in others
    assert "so that test identities may be among them" in others


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "backbone.", "model.", "module.model.net."])
@pytest.mark.parametrize("outside", [{}, {"criterion.centers": torch.zeros(2)}])
def test_names_behind_the_prefix_of_a_wrapper(prefix, outside, bring, sysu_root):
    state = official_state(SYSU_CLASSES)
    wrapped: dict[str, Tensor] = {prefix + name: tensor for name, tensor in state.items()}
    made = bring({"epoch": 4, "model": {"net": {**wrapped, **outside}}}, root=sysu_root)
    assert torch.equal(made.checkpoint.model["stem.0.weight"], state["body.0.weight"])
    assert made.checkpoint.epoch == 5 and "its weights are those of its entry 'model.net'" in made.notes
    left_out = "left out, as no part of the network: criterion.centers"
    assert (left_out in made.notes) == bool(outside)


def test_counters_that_a_profiler_has_left_are_left_out(bring, sysu_root):
    state = official_state(SYSU_CLASSES)
    made = bring({**state, "body.total_ops": torch.zeros(1), "total_params": torch.zeros(1)}, root=sysu_root)
    assert made.notes == ("left out, as no part of the network: body.total_ops, total_params",)


def test_one_of_several_networks_in_a_state_dict_is_not_guessed(bring, sysu_root):
    state = official_state(SYSU_CLASSES)
    both = {prefix + name: tensor for prefix in ("student.", "teacher.") for name, tensor in state.items()}
    with pytest.raises(UsageError, match=r"by itself\. several networks, behind: 'student\.', 'teacher\.'"):
        bring(both, root=sysu_root)


@pytest.mark.parametrize(
    ("dtype", "note"),
    [
        (torch.float16, "its weights are float16, widened to float32"),
        (torch.bfloat16, "its weights are bfloat16, widened to float32"),
        (torch.float64, "its weights are float64, rounded to float32"),
    ],
)
def test_weights_of_another_precision(dtype, note, bring, sysu_root):
    state = {n: t.to(dtype) if t.is_floating_point() else t for n, t in official_state(SYSU_CLASSES).items()}
    made = bring(state, root=sysu_root)
    assert made.notes == (note,)
    assert torch.equal(made.checkpoint.model["stem.0.weight"], state["body.0.weight"].float())


def test_weights_that_are_no_real_numbers(bring, sysu_root):
    state = official_state(SYSU_CLASSES)
    odd = {**state, "body.0.weight": state["body.0.weight"].to(torch.complex64), "body.1.bias": torch.zeros(8).char()}
    with pytest.raises(UsageError, match=r"another kind: body\.0\.weight complex64, body\.1\.bias int8"):
        bring(odd, root=sysu_root)


def test_one_of_several_sets_of_weights_is_asked_for(sysu_root, tmp_path):
    state = official_state(SYSU_CLASSES)
    average = {name: tensor + 1 for name, tensor in state.items()}
    path, out = tmp_path / "a.pth", tmp_path / "c.pt"
    torch.save({"model": state, "ema": average}, path)
    with pytest.raises(UsageError, match=r"a\.pth: holds several sets of weights: model .*, ema .*--key model\."):
        import_official("toy", path, out, root=sysu_root)
    arguments = ["import", "toy", str(path), "-o", str(out), "--root", str(sysu_root), "--key", "ema"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert "note: its weights are those of its entry 'ema'" in result.stdout
    assert torch.equal(read_checkpoint(out).model["stem.0.weight"], average["body.0.weight"])
