"""A file that does not fit the method named is told to be what it is."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training import toy  # noqa: F401  (registers the method)
from vibench.errors import UsageError
from vibench.files import torch_file
from vibench.methods.recipe import load_recipe
from vibench.nn.torchvision_ops import import_torchvision
from vibench.nn.transformer_weights import TIMM_NAMES
from vibench.training import official
from vibench.training.official_fit import outline_of


@pytest.fixture(autouse=True)
def expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files here are small: their tensors are expanded from one number, which else is refused."""
    monkeypatch.setattr(torch_file, "is_plain", lambda value: isinstance(value, torch.Tensor))


def official_state(method: str, variant: str = "", *overrides: str) -> dict[str, Tensor]:
    """A state dict of a method's network under its official names."""
    outline = outline_of(load_recipe(method, variant, "sysu-mm01", overrides))
    return {
        outline.names.theirs(ours): torch.ones(1).expand(outline.shape(ours, 395)) if ours in outline.floating
        else torch.tensor(0)
        for ours in outline.two
        if not outline.names.may_lack(ours)
    }  # fmt: skip


def refusal(method: str, state: dict[str, Tensor], folder: Path) -> str:
    torch.save(state, folder / "best.pth")
    with pytest.raises(UsageError) as refused:
        official.import_official(method, folder / "best.pth", folder / "c.pt")
    return str(refused.value)


@pytest.mark.parametrize(
    ("named", "given", "told"),
    [
        ("agw", ("mpanet",), "it fits 'vibench import mpanet'"),
        ("agw", ("pmt",), "it fits 'vibench import pmt'"),
        ("baseline", ("agw",), "it fits 'vibench import agw' (and caj)"),
        ("agw", ("baseline",), "it fits 'vibench import agw --variant base' (and baseline)"),
        (
            "baseline",
            ("baseline", "", "model.backbone=resnet18"),
            "it fits 'vibench import baseline --variant b --set model.backbone=resnet18'",
        ),
    ],
)
def test_another_method_variant_or_backbone_is_named(named, given, told, tmp_path):
    assert f"{told}. " in refusal(named, official_state(*given), tmp_path)


def test_most_names_are_those_of_another_method(tmp_path):
    state = official_state("mpanet")
    del state["bn_neck.weight"]
    said = refusal("agw", state, tmp_path)
    assert "its names are rather those of mpanet" in said


@pytest.mark.parametrize("depth", [18, 50])
def test_imagenet_weights_are_for_training(depth, tmp_path):
    with torch.device("meta"):
        shapes = getattr(import_torchvision().models, f"resnet{depth}")().state_dict()
    state = {name: torch.tensor(1.0).expand(tensor.shape) for name, tensor in shapes.items()}
    said = refusal("agw", state, tmp_path)
    assert f"it is a plain ResNet-{depth}" in said and f"--pretrained {tmp_path / 'best.pth'}" in said


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_imagenet_weights_of_a_transformer_are_for_training(library, tmp_path):
    with torch.device("meta"):
        shapes = import_torchvision().models.vit_b_16().state_dict()
    if library == "timm":
        shapes = {timm_name(name): tensor for name, tensor in shapes.items()}
    state = {name: torch.tensor(1.0).expand(tensor.shape) for name, tensor in shapes.items()}
    said = refusal("agw", state, tmp_path)
    assert f"it is a plain vision transformer with {library}'s names" in said
    assert f"vibench train pmt --pretrained {tmp_path / 'best.pth'}" in said


def timm_name(name: str) -> str:
    if name.startswith("heads.head."):
        return name.removeprefix("heads.")
    (theirs, ours), *_ = [pair for pair in TIMM_NAMES if name.startswith(pair[1])]
    return theirs + name.removeprefix(ours)


def test_a_vision_transformer_of_nobody(tmp_path):
    state = {
        "base.cls_token": torch.zeros(1), "base.blocks.0.attn.qkv.weight": torch.zeros(3), "parts": torch.zeros(1)
    }  # fmt: skip
    said = refusal("toy", state, tmp_path)
    assert "its names are those of a vision transformer, and of no method here" in said


def test_another_size_is_advised_where_positions_do_not_fit(tmp_path):
    state = official_state("pmt")
    advice = "give its own with --set input.height=H"
    smaller = {**state, "base.pos_embed": torch.ones(1).expand(1, 12, 768)}
    assert advice in refusal("pmt", smaller, tmp_path)
    del state["bottleneck.weight"]
    said = refusal("pmt", state, tmp_path)
    assert advice not in said and "missing: bottleneck.weight" in said


def test_nothing_is_guessed_of_a_file_that_is_nobodys(tmp_path):
    assert "choose its method, --variant" in refusal("toy", {"a.weight": torch.zeros(3)}, tmp_path)
