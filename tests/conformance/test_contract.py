"""Methods that break their contract in one way each, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as functional
from torch import nn

from tests.training.toy.method import Toy, ToyOptions
from tests.training.toy_inputs.method import ToyInputs
from vibench.conformance.contract import CHECKS, check_contract
from vibench.conformance.subject import small_settings
from vibench.errors import UsageError
from vibench.methods import registry
from vibench.methods.agw import AGWOptions
from vibench.methods.registry import register


def _with_part(part: Callable[[], Any]) -> Callable[..., None]:
    def build(self: Toy, recipe: Any, num_classes: int, pretrained: str = "none") -> None:
        Toy.__init__(self, recipe, num_classes, pretrained)
        self.part = part()

    return build


def _groups_with_part(self: Toy, recipe: Any) -> list[dict[str, Any]]:
    return [*Toy.parameter_groups(self, recipe), {"params": list(self.part.parameters())}]


def _losses(**changes: Callable[[torch.Tensor], Any]) -> Callable[..., Any]:
    """Toy's losses with some changed, or added where the change takes the identity loss."""

    def losses(self: Toy, batch: Any) -> dict[str, Any]:
        found = Toy.losses(self, batch)
        return {**found, **{name: change(found.get(name, found["identity"])) for name, change in changes.items()}}

    return losses


def _embed(change: Callable[[Toy, torch.Tensor], Any]) -> Callable[..., Any]:
    def embed(self: Toy, images: torch.Tensor, modality: str) -> dict[str, Any]:
        return {"embedding": change(self, Toy.embed(self, images, modality)["embedding"])}

    return embed


def _to_gallery_mean(self: Toy, query: torch.Tensor, gallery: torch.Tensor, query_mode: str) -> torch.Tensor:
    return torch.cdist(query, gallery - gallery.mean(dim=0))


def _to_query_mean(self: Toy, query: torch.Tensor, gallery: torch.Tensor, query_mode: str) -> torch.Tensor:
    return torch.cdist(query - query.mean(dim=0), gallery)


def _counting(self: Toy, features: torch.Tensor) -> torch.Tensor:
    self.neck.running_mean += 1.0
    return features


def _remembering(self: Toy, features: torch.Tensor) -> torch.Tensor:
    self.neck.num_batches_tracked += 1
    return features


def _leaving_eval(self: Toy, batch: Any) -> dict[str, torch.Tensor]:
    losses = Toy.losses(self, batch)
    self.eval()
    return losses


def _ending(self: Toy, epoch: int, mean_losses: Any) -> None:
    self.__dict__["ended"] = epoch


def _late(change: Callable[[torch.Tensor], Any], name: str = "spread") -> Callable[..., Any]:
    """Toy's losses, one of them changed behind the end of an epoch."""

    def losses(self: Toy, batch: Any) -> dict[str, Any]:
        found = Toy.losses(self, batch)
        return {**found, name: change(found["spread"])} if "ended" in self.__dict__ else found

    return losses


BROKEN: list[tuple[dict[str, Any], str, str]] = [
    ({"__init__": lambda self, recipe, classes, pretrained="none": 1 / 0}, "network", "it raises ZeroDivisionError"),
    ({"losses": _losses(extra=lambda loss: loss)}, "losses", "'extra', which loss_names does not describe"),
    ({"losses": _losses(spred=lambda loss: loss)}, "losses", "did you mean 'spread'"),
    ({"losses": _losses(spread=lambda loss: loss * torch.ones(3))}, "losses", "shape (3,); it must be a scalar"),
    ({"losses": _losses(spread=lambda loss: loss / 0)}, "losses", "'spread' is inf on a batch of noise"),
    ({"losses": _losses(spread=lambda loss: loss.item())}, "losses", "'spread' is a float; it must be a scalar"),
    ({"losses": lambda self, batch: torch.zeros(())}, "losses", "must give a dictionary"),
    ({"losses": _leaving_eval}, "losses", "leaves the network in eval mode"),
    ({"losses": lambda self, batch: batch.nothing}, "losses", "it raises AttributeError"),
    ({"losses": _losses(identity=torch.detach, spread=torch.detach)}, "gradients", "no loss depends on a trainable"),
    (
        {"__init__": _with_part(lambda: nn.Linear(2, 2)), "parameter_groups": _groups_with_part},
        "gradients",
        "no loss reaches part.weight, part.bias; use these parameters",
    ),
    (
        {"losses": _losses(spread=lambda loss: (loss * 0).sqrt())},
        "gradients",
        "is NaN or infinite; look for a square root",
    ),
    ({"end_of_epoch": _ending, "losses": _late(lambda loss: loss / 0)}, "last epoch", "'spread' is inf on a batch"),
    ({"end_of_epoch": _ending, "losses": _late(lambda loss: loss, "x")}, "last epoch", "which loss_names does not"),
    ({"end_of_epoch": lambda self, epoch, means: means["x"]}, "last epoch", "it raises KeyError"),
    ({"__init__": _with_part(lambda: nn.Linear(2, 2))}, "parameter groups", "'part.weight' 0 times"),
    ({"embed": lambda self, images, modality: images}, "embedding", "must give a dictionary"),
    ({"embed": _embed(lambda self, features: features[:3])}, "embedding", "(3, 8) under 'embedding' for 8 images"),
    ({"embed": _embed(lambda self, features: features[:, :, None])}, "embedding", "floating-point tensor (B, D)"),
    ({"embed": _embed(lambda self, features: features / 0)}, "embedding", "is NaN or infinite"),
    ({"embed": _embed(lambda self, features: features * 0 + 1)}, "embedding", "is the same for all visible images"),
    ({"embed": _embed(lambda self, features: functional.dropout(features))}, "eval mode", "when it is called again"),
    (
        {"embed": _embed(lambda self, features: features - features.mean(dim=0))},
        "eval mode",
        "depends on the other images of its batch",
    ),
    ({"embed": _embed(_counting)}, "eval mode", "embed() gives another result"),
    ({"embed": _embed(_remembering)}, "eval mode", "embed() changes neck.num_batches_tracked"),
    ({"train": lambda self, mode=True: nn.Module.train(self, True)}, "eval mode", "eval() leaves the method itself"),
    (
        {
            "__init__": _with_part(lambda: None),
            "embed": _embed(lambda self, features: features * self.__dict__.setdefault("scale", torch.rand(8))),
        },
        "state dict",
        "embeds visible images differently",
    ),
    ({"training_only": lambda self: ("neck.",)}, "training only", "embed() uses parameters"),
    ({"distances": lambda self, query, gallery, query_mode: query}, "distances", "must give a finite tensor"),
    ({"distances": _to_query_mean}, "distances", "in query mode 'single' depends on the other queries"),
    ({"distances": _to_gallery_mean}, "distances", "of one pair depends on other images"),
]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Callable[..., type[Toy]]:
    """Register a toy method with some members changed, called ``odd``."""
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))

    def registered(**members: Any) -> type[Toy]:
        return register(type("Odd", (Toy,), {"name": "odd", "__module__": Toy.__module__, **members}))

    return registered


def test_a_sound_method_passes_every_check(make: Callable[..., type[Toy]]):
    make()
    state = torch.random.get_rng_state()
    findings = check_contract("odd")
    assert [finding.title for finding in findings] == ["registration", "recipe", *(title for title, _ in CHECKS)]
    assert all(finding.passed and finding.text for finding in findings)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(("members", "title", "said"), BROKEN, ids=[f"{b[1]}: {b[2]}" for b in BROKEN])
def test_what_is_wrong_is_said(make: Callable[..., type[Toy]], members: dict[str, Any], title: str, said: str):
    make(**members)
    findings = check_contract("odd")
    (failed,) = (finding for finding in findings if finding.outcome == "failed")
    assert failed.title == title and said in failed.text
    after = findings[findings.index(failed) + 1 :]
    assert all(finding.outcome == "not reached" for finding in after)


def _mean_of_the_known(self: ToyInputs, batch: Any) -> dict[str, torch.Tensor]:
    losses = ToyInputs.losses(self, batch)
    return {**losses, "attributes": (losses["attributes"] + 0 * batch.attributes[batch.attributes_known].mean())}


def _only_with_heatmaps(self: ToyInputs, batch: Any) -> dict[str, torch.Tensor]:
    losses = ToyInputs.losses(self, batch)
    return {name: loss for name, loss in losses.items() if name != "heatmaps" or batch.heatmaps_known.any()}


@pytest.mark.parametrize(
    ("losses", "said"),
    [
        (_mean_of_the_known, "the loss 'attributes' is nan on a batch without known attributes and heatmaps"),
        (_only_with_heatmaps, "other names for a batch without known attributes and heatmaps"),
    ],
)
def test_batches_in_which_nothing_is_known_are_tried(monkeypatch: pytest.MonkeyPatch, losses: Any, said: str):
    monkeypatch.setattr(registry, "_classes", dict(registry._classes))
    members = {"name": "odd-inputs", "__module__": ToyInputs.__module__, "losses": losses}
    register(type("OddInputs", (ToyInputs,), members))
    (failed,) = (finding for finding in check_contract("odd-inputs", [""]) if finding.outcome == "failed")
    assert failed.title == "losses" and said in failed.text
    register(type("SoundInputs", (ToyInputs,), {**members, "name": "sound-inputs", "losses": ToyInputs.losses}))
    assert all(finding.passed for finding in check_contract("sound-inputs"))


def test_a_wrong_recipe_is_said(make: Callable[..., type[Toy]]):
    make(loss_names={"identity": "cross-entropy"})
    *_, failed = check_contract("odd")
    assert (failed.title, failed.outcome) == ("recipe", "failed") and "unknown loss 'spread'" in failed.text


def test_a_class_without_its_functions_is_said(make: Callable[..., type[Toy]]):
    from vibench.methods.base import Method

    make(embed=Method.embed)
    (failed,) = check_contract("odd")
    assert failed.title == "registration" and "has no embed()" in failed.text


def test_a_variant_that_breaks_is_named(monkeypatch: pytest.MonkeyPatch):
    """One variant of several."""
    from vibench.methods.agw import AGW

    whole = AGW.losses

    def losses(self: AGW, batch: Any) -> dict[str, torch.Tensor]:
        found = whole(self, batch)
        return {**found, "triplet": found["triplet"] * float("nan")} if self.recipe.variant == "a" else found

    monkeypatch.setattr(AGW, "losses", losses)
    findings = {finding.title: finding for finding in check_contract("agw", ["base", "a"])}
    assert findings["losses"].text.endswith("[a]") and "'triplet' is nan" in findings["losses"].text
    assert findings["gradients"].outcome == "not reached" and findings["network"].passed


def test_options_and_names():
    assert "model.backbone=resnet18-slim" in small_settings(AGWOptions)
    assert not any(setting.startswith("model.") for setting in small_settings(ToyOptions))
    with pytest.raises(UsageError, match="no method 'agv'"):
        check_contract("agv")
    with pytest.raises(UsageError, match="no variant 'c'"):
        check_contract("agw", ["c"])
