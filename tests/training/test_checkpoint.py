"""Checkpoints: bytes that follow from the state, and one sentence for every file that is none."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import vibench
from tests.training import toy
from vibench.errors import UsageError, VibenchError
from vibench.methods.recipe import load_recipe, recipe_dict
from vibench.methods.registry import build_method
from vibench.methods.sections import Recipe
from vibench.training.checkpoint import (
    Checkpoint,
    check_test_identities,
    load_method,
    read_checkpoint,
    save_checkpoint,
)
from vibench.training.folder import open_runs


@pytest.fixture
def checkpoint() -> Checkpoint:
    recipe = load_recipe("toy", dataset="regdb")
    return Checkpoint(
        source="trained",
        method="toy",
        variant="",
        recipe=recipe_dict(recipe),
        dataset="regdb",
        dataset_version="",
        trial=3,
        train_pids=(2, 5, 9, 12, 20, 31),
        num_classes=6,
        seed=0,
        pretrained="none",
        precision="fp32",
        epoch=3,
        step=0,
        model=dict(build_method(recipe, 6).state_dict()),
        optimizer={
            "state": {0: {"momentum_buffer": torch.ones(4)}},
            "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}],
        },
    )


def test_what_is_read_is_what_was_saved(checkpoint: Checkpoint, tmp_path: Path):
    save_checkpoint(tmp_path / "c.pt", checkpoint)
    read = read_checkpoint(tmp_path / "c.pt")
    for field in dataclasses.fields(Checkpoint):
        if field.name not in ("model", "optimizer"):
            assert getattr(read, field.name) == getattr(checkpoint, field.name), field.name
    assert all(torch.equal(read.model[name], value) for name, value in checkpoint.model.items())


def test_a_checkpoint_from_before_compiled_code_was_trained_without(checkpoint: Checkpoint, tmp_path: Path):
    save_checkpoint(tmp_path / "c.pt", dataclasses.replace(checkpoint, compiled=True))
    assert read_checkpoint(tmp_path / "c.pt").compiled
    content = torch.load(tmp_path / "c.pt", weights_only=True)
    del content["compiled"]
    torch.save(content, tmp_path / "c.pt")
    assert not read_checkpoint(tmp_path / "c.pt").compiled


def test_equal_states_give_equal_bytes(checkpoint: Checkpoint, tmp_path: Path):
    """However a state came about: saved twice, read and saved, or held in views and in texts that are not shared."""
    save_checkpoint(tmp_path / "one.pt", checkpoint)
    save_checkpoint(tmp_path / "two.pt", checkpoint)
    save_checkpoint(tmp_path / "three.pt", read_checkpoint(tmp_path / "one.pt"))
    views = {"".join(name): torch.stack([value, value])[1] for name, value in checkpoint.model.items()}
    save_checkpoint(tmp_path / "four.pt", dataclasses.replace(checkpoint, model=views, method="".join(["t", "oy"])))
    assert len({(tmp_path / f"{name}.pt").read_bytes() for name in ("one", "two", "three", "four")}) == 1
    save_checkpoint(tmp_path / "other.pt", dataclasses.replace(checkpoint, seed=1))
    assert (tmp_path / "other.pt").read_bytes() != (tmp_path / "one.pt").read_bytes()


def test_a_failed_save_keeps_the_old_file(checkpoint: Checkpoint, tmp_path: Path):
    path = tmp_path / "c.pt"
    save_checkpoint(path, checkpoint)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        save_checkpoint(path, dataclasses.replace(checkpoint, recipe={"function": print}))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


class Bomb:
    """Unpickling it would create a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


def test_no_file_that_is_not_a_checkpoint_gets_through(checkpoint: Checkpoint, tmp_path: Path):
    path = tmp_path / "c.pt"
    with pytest.raises(UsageError, match=r"c\.pt: there is no such checkpoint"):
        read_checkpoint(path)
    path.write_bytes(b"")
    with pytest.raises(UsageError, match=r"c\.pt: is an empty file"):
        read_checkpoint(path)
    path.write_text("no archive at all")
    with pytest.raises(UsageError, match=r"is a text that begins with 'no archive"):
        read_checkpoint(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("hello.txt", "hello")
    with pytest.raises(UsageError, match=r"is a ZIP archive that PyTorch did not write"):
        read_checkpoint(path)
    torch.save({"net": checkpoint.model}, path)
    with pytest.raises(UsageError, match=r"not a vibench checkpoint; convert .* 'vibench import METHOD"):
        read_checkpoint(path)
    torch.save({"format": Bomb(tmp_path / "exploded")}, path)
    with pytest.raises(UsageError, match=r"not a vibench checkpoint"):
        read_checkpoint(path)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(checkpoint: Checkpoint, tmp_path: Path, share: float):
    path = tmp_path / "c.pt"
    save_checkpoint(path, checkpoint)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UsageError, match=r"is cut short, .*; fetch it again"):
        read_checkpoint(path)


def test_damaged_entries_are_named(checkpoint: Checkpoint, tmp_path: Path):
    path = tmp_path / "c.pt"
    save_checkpoint(path, checkpoint)
    content = torch.load(path, weights_only=True)

    def refused(changes: dict, message: str) -> None:
        torch.save({name: value for name, value in {**content, **changes}.items() if value != "absent"}, path)
        with pytest.raises(UsageError, match=message):
            read_checkpoint(path)

    refused({"format_version": 2}, "format 2 is not the format 1")
    refused({"train_pids": "absent"}, "lacks its entry 'train_pids'")
    refused({"epoch": "three"}, "entry 'epoch' is a str")
    refused({"trial": 1.5}, "entry 'trial' is a float")
    refused({"model": {"neck.weight": 1}}, "entry 'model' holds something else than named tensors")
    refused({"num_classes": 7}, "has 7 classes but names 6 training identities")
    refused({"train_pids": [1, None]}, "entry 'train_pids' holds something else")


def test_weights_that_do_not_fit_are_named(checkpoint: Checkpoint, tmp_path: Path):
    path = tmp_path / "c.pt"

    def refused(model: dict, message: str, **fields: object) -> None:
        save_checkpoint(path, dataclasses.replace(checkpoint, model=model, **fields))
        with pytest.raises(UsageError, match=message):
            load_method(path)

    weights = dict(checkpoint.model)
    refused({name: value for name, value in weights.items() if name != "neck.weight"}, "'neck.weight' .* is missing")
    refused({**weights, "extra": torch.ones(1)}, "holds the weight 'extra'")
    refused(
        weights, r"'classifier.weight' has shape \(6, 8\), but method toy needs \(7, 8\)", num_classes=7, train_pids=()
    )
    unknown = r"c\.pt: is of the method 'tony', which is not registered .*'toy'.*; name its folder with --plugin"
    refused(weights, unknown, recipe={**checkpoint.recipe, "method": "tony"})


@pytest.mark.parametrize("look", [Tensor.numpy, Tensor.tolist, Tensor.item], ids=lambda look: look.__name__)
def test_a_method_that_needs_numbers_to_be_built_loads(
    look: Callable[[Tensor], object], checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The meta device, on which a network is compared before it takes memory, answers each of these in its own way."""
    plain = toy.Toy.__init__

    def build(self: toy.Toy, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        look(torch.ones(1))
        plain(self, recipe, num_classes, pretrained)

    monkeypatch.setattr(toy.Toy, "__init__", build)
    save_checkpoint(tmp_path / "c.pt", checkpoint)
    method = load_method(tmp_path / "c.pt")
    assert torch.equal(method.state_dict()["classifier.weight"], checkpoint.model["classifier.weight"])
    checkpoint.model["extra"] = torch.ones(1)
    save_checkpoint(tmp_path / "c.pt", checkpoint)
    with pytest.raises(UsageError, match="holds the weight 'extra'"):
        load_method(tmp_path / "c.pt")


def test_training_identities_in_the_test_split_are_refused(checkpoint: Checkpoint):
    check_test_identities(checkpoint, "regdb", [1, 3, 4])
    with pytest.raises(
        VibenchError, match=r"2 of the 3 test identities \(pid 5, 31\) .* on regdb; .* trial 3, so .* --trial 3"
    ):
        check_test_identities(checkpoint, "regdb", [31, 4, 5])
    # Identity 5 of another data set is another person.
    check_test_identities(checkpoint, "regdb-twin", [5])


@pytest.mark.parametrize("wrap", ["net", "model"])
def test_weights_of_another_code_are_sent_to_the_import(checkpoint: Checkpoint, tmp_path: Path, wrap: str):
    """With what their scripts put beside them, and in the other format of weights."""
    path = tmp_path / "c.pt"
    torch.save({wrap: checkpoint.model, "mAP": np.float64(0.5)}, path)
    with pytest.raises(UsageError, match="is a file of weights but not a vibench checkpoint; convert"):
        read_checkpoint(path)
    head = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))
    with pytest.raises(UsageError, match="is a file of weights but not a vibench checkpoint; convert"):
        read_checkpoint(path)


def test_a_folder_in_place_of_a_checkpoint(checkpoint: Checkpoint, tmp_path: Path):
    save_checkpoint(tmp_path / "last.pt", checkpoint)
    with pytest.raises(UsageError, match=r"is a folder; name a file in it, such as .*last\.pt"):
        read_checkpoint(tmp_path)
    with pytest.raises(UsageError, match="is not a run folder"):
        vibench.load(tmp_path)
    with pytest.raises(UsageError, match=r"is a file, and no run folder; 'vibench doctor .*' says what"):
        open_runs(tmp_path / "last.pt")
