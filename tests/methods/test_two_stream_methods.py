"""Every variant and switch of baseline and AGW as a network that trains and embeds."""

import itertools

import pytest
import torch
from torch import nn

from tests.methods.checks import MAP_WIDTH
from vibench.data.batch import Batch
from vibench.losses import hard_triplet, identity_loss, weighted_regularised_triplet
from vibench.methods.base import Method
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, method_entry

SMALL = ("model.backbone=resnet18-slim", "height=64", "width=32")
METHODS = ("baseline", "agw")
VARIANTS = [(name, variant) for name in METHODS for variant in ("", *method_entry(name).recipe_file.variants)]
SWITCHES = [
    ("baseline", ["specific_stages=5", "last_stride=2"]),
    ("baseline", ["model.input=grey", "loss=id+wrt"]),
    ("baseline", ["neck=false", "test_feature=f"]),
    ("baseline", ["share_classifier=false", "loss=id"]),
    ("baseline", ["pool=gem", "gem_learnable=true"]),
    ("agw", ["non_local_channels=C/2", "model.triplet=wrt-clean"]),
    ("agw", ["non_local_positions=[1, 1, 1, 1]", "specific_stages=3"]),
    ("agw", ["test_feature=f"]),
]
CASES = [(name, variant, []) for name, variant in VARIANTS] + [(name, "", switches) for name, switches in SWITCHES]


def build(name: str, variant: str = "", overrides: list[str] | None = None, classes: int = 6) -> Method:
    torch.manual_seed(0)
    return build_method(load_recipe(name, variant, overrides=[*SMALL, *(overrides or [])]), classes)


@pytest.fixture(scope="module")
def batch() -> Batch:
    labels = torch.tensor([4, 4, 1, 1, 5, 5]).repeat(2)
    generator = torch.Generator().manual_seed(1)
    return Batch(
        images=torch.randn(12, 3, 64, 32, generator=generator),
        labels=labels,
        modality=torch.tensor([0] * 6 + [1] * 6),
        cameras=torch.tensor([1] * 6 + [3] * 6),
    )


@pytest.mark.parametrize(("name", "variant", "overrides"), CASES)
def test_trains_and_embeds(name, variant, overrides, batch):
    method = build(name, variant, overrides).train()
    losses = method.losses(batch)
    assert set(losses) <= set(method.loss_names)
    assert all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    untouched = [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert not untouched
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)

    method.eval()
    with torch.no_grad():
        visible, infrared = method.embed(batch.images[:6], "visible"), method.embed(batch.images[6:], "infrared")
        pooled = method.pooled_features(batch)
    torch.testing.assert_close(torch.cat([visible["pooled"], infrared["pooled"]]), pooled)
    assert visible["embedding"].shape == (6, MAP_WIDTH) and visible["embedding"].dtype == torch.float32
    torch.testing.assert_close(visible["embedding"].norm(dim=1), torch.ones(6))

    again = build(name, variant, overrides).eval()
    with torch.no_grad():
        again.load_state_dict(method.state_dict())
        torch.testing.assert_close(again.embed(batch.images[:6], "visible")["embedding"], visible["embedding"])


@pytest.mark.parametrize(("name", "variant", "overrides"), CASES)
def test_parameter_groups_hold_every_trainable_parameter_once(name, variant, overrides):
    method = build(name, variant, overrides)
    groups = method.parameter_groups(method.recipe)
    grouped = list(itertools.chain.from_iterable(group["params"] for group in groups))
    trainable = {id(p) for p in method.parameters() if p.requires_grad}
    assert len(grouped) == len(trainable) and {id(p) for p in grouped} == trainable
    rest, head = groups
    assert (rest["lr_factor"], head["lr_factor"]) == (0.1, 1.0)
    expected = [p for n, p in method.named_parameters() if n.startswith(("neck.", "classifier.")) and p.requires_grad]
    assert {id(p) for p in head["params"]} == {id(p) for p in expected}


def test_the_neck_bias_is_frozen_in_every_variant():
    for name, variant in VARIANTS:
        method = build(name, variant)
        assert isinstance(method.neck, nn.BatchNorm1d) and not method.neck.bias.requires_grad


def test_variants_are_what_they_are_called():
    zero_pad, one_stream, two_stream, b = (build("baseline", v) for v in ("zero-pad", "one-stream", "two-stream", "b"))
    assert zero_pad.backbone.shared.conv1.weight.shape[1] == 2
    assert one_stream.backbone.shared.conv1.weight.shape[1] == 3
    assert not list(one_stream.backbone.visible.parameters())
    assert hasattr(two_stream.backbone.visible, "layer2") and not hasattr(two_stream.backbone.visible, "layer3")
    assert hasattr(b.backbone.visible, "conv1") and not hasattr(b.backbone.visible, "layer1")
    ablation = [
        (bool(method.backbone.inserted), type(method.pool).__name__, method.model_options.triplet)
        for method in (build("agw", variant) for variant in ("base", "a", "a-g", ""))
    ]
    assert ablation == [
        (False, "AveragePool", "hard"),
        (True, "AveragePool", "hard"),
        (True, "GeneralisedMeanPool", "hard"),
        (True, "GeneralisedMeanPool", "wrt"),
    ]


def test_the_base_of_agw_is_b(batch):
    base, b = build("agw", "base").train(), build("baseline", "b").train()
    b.load_state_dict(base.state_dict())
    expected = b.losses(batch)
    for name, loss in base.losses(batch).items():
        torch.testing.assert_close(loss, expected[name])


@pytest.mark.parametrize(
    ("name", "overrides", "triplet"),
    [
        ("baseline", ["loss=id"], None),
        ("baseline", ["loss=id+triplet", "margin=1.0"], lambda f, y: hard_triplet(f, y, 1.0)),
        ("baseline", ["loss=id+wrt"], weighted_regularised_triplet),
        ("agw", ["model.triplet=hard", "margin=1.0"], lambda f, y: hard_triplet(f, y, 1.0)),
        ("agw", ["model.triplet=wrt"], weighted_regularised_triplet),
        ("agw", ["model.triplet=wrt-clean"], lambda f, y: weighted_regularised_triplet(f, y, form="clean")),
    ],
)
def test_losses_meet_f_before_and_g_behind_the_neck(name, overrides, triplet, batch):
    method = build(name, "", overrides).eval()
    losses = method.losses(batch)
    pooled = method.pooled_features(batch)
    logits = method.neck(pooled) @ method.classifier.weight.T
    torch.testing.assert_close(losses["identity"], identity_loss(logits, batch.labels))
    if triplet is None:
        assert set(losses) == {"identity"}
    else:
        torch.testing.assert_close(losses["triplet"], triplet(pooled, batch.labels))


def test_the_test_feature_is_the_one_asked_for(batch):
    for overrides, key in ((["test_feature=g"], "neck"), (["test_feature=f"], "pooled")):
        method = build("agw", "", overrides).eval()
        nn.init.normal_(method.neck.weight)
        features = method.embed(batch.images, "visible")
        directions = {name: nn.functional.normalize(features[name]) for name in ("pooled", "neck")}
        torch.testing.assert_close(features["embedding"], directions[key])
        assert not torch.allclose(directions["pooled"], directions["neck"])
    assert set(build("baseline", "", ["neck=false"]).eval().embed(batch.images, "visible")) == {"embedding", "pooled"}


def test_separate_classifiers_judge_their_own_modality(batch):
    method = build("baseline", "", ["share_classifier=false"]).eval()
    features = torch.randn(12, MAP_WIDTH)
    logits = method.logits(features)
    torch.testing.assert_close(logits[:6], method.classifier["visible"](features[:6]))
    torch.testing.assert_close(logits[6:], method.classifier["infrared"](features[6:]))


def test_non_local_blocks_follow_the_last_blocks():
    positions = build("agw").backbone.inserted
    assert set(positions) == {"layer2_0", "layer2_1", "layer3_0", "layer3_1"}  # ResNet-18 has two blocks a stage
    resnet50 = build("agw", "", ["model.backbone=resnet50"]).backbone.inserted
    assert set(resnet50) == {"layer2_2", "layer2_3", "layer3_3", "layer3_4", "layer3_5"}
    assert {block.theta.out_channels for block in resnet50.values()} == {1}
    half = build("agw", "", ["non_local_channels=C/2"]).backbone.inserted
    assert half["layer2_0"].theta.out_channels == 16


def test_the_default_distance_is_one_minus_cosine(batch):
    query, gallery = torch.randn(3, 5), torch.randn(4, 5)
    expected = 1 - nn.functional.cosine_similarity(query[:, None], gallery[None], dim=2)
    torch.testing.assert_close(build("agw").distances(query, gallery, "all"), expected)
