"""CAJ against a literal transcription of its definition, and as a network that trains."""

import dataclasses

import pytest
import torch
import torch.nn.functional as functional

from tests.datasets import mini
from tests.methods.checks import MAP_WIDTH
from tests.methods.literal import official as literal
from vibench.data.batch import Batch
from vibench.losses import hard_triplet, squared_difference_triplet, weighted_regularised_triplet
from vibench.methods.base import Method
from vibench.methods.caj.official import KEYS, UNUSED
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, method_entry
from vibench.training.checkpoint import load_method
from vibench.training.log import read_log
from vibench.training.run import train
from vibench.training.spec import TrainingSpec

SMALL = ("model.backbone=resnet18-slim", "height=64", "width=32")
CASES = [(variant, []) for variant in ("", *method_entry("caj").recipe_file.variants)] + [
    ("", ["flip_test=false", "test_feature=f"]),
    ("", ["model.triplet=hard", "share_classifier=false"]),
    ("", ["model.triplet=wrt-clean", "alpha=2", "model.gamma=0.5"]),
]


def build(variant: str = "", overrides: list[str] | None = None) -> Method:
    torch.manual_seed(0)
    return build_method(load_recipe("caj", variant, overrides=[*SMALL, *(overrides or [])]), 6)


def make_batch(views: int = 2) -> Batch:
    count = 6 * (views + 1)
    return Batch(
        images=torch.randn(count, 3, 64, 32, generator=torch.Generator().manual_seed(1)),
        labels=torch.tensor([4, 4, 1, 1, 5, 5]).repeat(views + 1),
        modality=torch.tensor([0] * 6 * views + [1] * 6),
        cameras=torch.tensor([1] * 6 * views + [3] * 6),
        visible_views=views,
    )


def literal_non_local(x: torch.Tensor, weights: literal.Weights, name: str) -> torch.Tensor:
    """With the whole matrix of positions."""
    theta, phi, g = (
        functional.conv2d(x, weights[f"{name}.{part}.weight"], weights[f"{name}.{part}.bias"]).flatten(2)
        for part in ("theta", "phi", "g.0")
    )
    affinity = theta.transpose(1, 2) @ phi / theta.shape[2]
    attended = (affinity @ g.transpose(1, 2)).transpose(1, 2).unflatten(2, x.shape[2:])
    attended = functional.conv2d(attended, weights[f"{name}.W.0.weight"], weights[f"{name}.W.0.bias"])
    return x + literal.norm(attended, weights, f"{name}.W.1")


def literal_g(images: torch.Tensor, modality: str, weights: literal.Weights) -> torch.Tensor:
    x = literal.stem(
        images, weights, {"visible": "visible_module.visible", "infrared": "thermal_module.thermal"}[modality]
    )
    for layer, blocks in literal.BLOCKS.items():
        for block in range(blocks):
            x = literal.bottleneck(
                x, weights, f"base_resnet.base.layer{layer}.{block}", literal.stride_of(layer, block)
            )
            if (layer, block) in ((2, 2), (2, 3)):
                x = literal_non_local(x, weights, f"NL_2.{block - 2}")
            if (layer, block) in ((3, 3), (3, 4), (3, 5)):
                x = literal_non_local(x, weights, f"NL_3.{block - 3}")
    pooled = ((x**3.0).mean(dim=(2, 3)) + 1e-12) ** (1 / 3.0)
    return literal.norm(pooled, weights, "bottleneck")


def test_features_are_those_of_the_official_definition(shared):
    weights = literal.official_weights(shared, "caj", UNUSED)
    method = build_method(load_recipe("caj"), 395).eval()
    method.load_state_dict(literal.renamed(weights, KEYS))
    for modality, seed in (("visible", 7), ("infrared", 8)):
        images = literal.load_fill(shared).images(seed, 2, 144, 80)
        with torch.no_grad():
            straight = functional.normalize(literal_g(images, modality, weights), dim=1)
            mirrored = functional.normalize(literal_g(torch.flip(images, dims=[3]), modality, weights), dim=1)
            actual = method.embed(images, modality)["embedding"]
        expected = functional.normalize((straight + mirrored) / 2, dim=1)
        torch.testing.assert_close(actual, expected, atol=2e-5, rtol=0)
        difference = (actual[0] - actual[1]) - (expected[0] - expected[1])
        assert difference.norm() < 1e-3 * (expected[0] - expected[1]).norm()
        assert (expected - straight).norm() > 1e-3  # the mirror image counts


@pytest.mark.parametrize(("variant", "overrides"), CASES)
def test_trains_and_embeds(variant, overrides):
    method = build(variant, overrides).train()
    batch = make_batch(len(method.recipe.augmentation.visible_views))
    losses = method.losses(batch)
    assert set(losses) == set(method.loss_names)
    assert all(loss.ndim == 0 and torch.isfinite(loss) for loss in losses.values())
    sum(losses.values()).backward()
    assert not [n for n, p in method.named_parameters() if p.requires_grad and p.grad is None]
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)
    method.eval()
    images = batch.images[:6]
    with torch.no_grad():
        embedding = method.embed(images, "visible")["embedding"]
        mirrored = method.embed(images.flip(3), "visible")["embedding"]
    assert embedding.shape == (6, MAP_WIDTH) and embedding.dtype == torch.float32
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(6))
    assert torch.allclose(embedding, mirrored, atol=1e-5) == method.recipe.model.flip_test
    again = build(variant, overrides).eval()
    again.load_state_dict(method.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again.embed(images, "visible")["embedding"], embedding)


def test_both_visible_views_pass_the_visible_stem():
    method, batch = build().eval(), make_batch()
    with torch.no_grad():
        pooled = method.pooled_features(batch)
        views = [method.embed(part, "visible")["pooled"] for part in batch.images[:12].split(6)]
        infrared = method.embed(batch.images[12:], "infrared")["pooled"]
    torch.testing.assert_close(pooled, torch.cat([*views, infrared]))


@pytest.mark.parametrize(
    ("overrides", "triplet"),
    [
        ([], squared_difference_triplet),
        (["alpha=2", "model.gamma=0.5"], lambda f, y: squared_difference_triplet(f, y, alpha=2, gamma=0.5)),
        (["model.triplet=squared-clean"], lambda f, y: squared_difference_triplet(f, y, form="clean")),
        (["model.triplet=wrt"], weighted_regularised_triplet),
        (["model.triplet=wrt-clean"], lambda f, y: weighted_regularised_triplet(f, y, form="clean")),
        (["model.triplet=hard", "margin=1.0"], lambda f, y: hard_triplet(f, y, 1.0)),
    ],
)
def test_losses_are_over_all_views_and_modalities(overrides, triplet):
    method, batch = build("", overrides).eval(), make_batch()
    losses, pooled = method.losses(batch), method.pooled_features(batch)
    logits = method.neck(pooled) @ method.classifier.weight.T
    assert logits.shape == (18, 6)
    torch.testing.assert_close(losses["identity"], functional.cross_entropy(logits, batch.labels))
    torch.testing.assert_close(losses["triplet"], triplet(pooled, batch.labels))


def test_separate_classifiers_judge_every_view_of_their_modality():
    method = build("", ["share_classifier=false"]).eval()
    features = torch.randn(18, MAP_WIDTH)
    logits = method.logits(features, visible_views=2)
    torch.testing.assert_close(logits[:12], method.classifier["visible"](features[:12]))
    torch.testing.assert_close(logits[12:], method.classifier["infrared"](features[12:]))


def test_without_square_channels_and_erasing_it_is_agw():
    caj = load_recipe("caj", "sq0", overrides=["erasing=0", "epochs=81"])
    agw = load_recipe("agw")
    plain = dataclasses.replace(
        caj.augmentation, visible_views=("none",), infrared_channels="none", erasing_fill=(0.0, 0.0, 0.0)
    )
    assert plain == agw.augmentation
    for section in ("input", "sampler", "optimizer", "schedule"):
        assert getattr(caj, section) == getattr(agw, section)
    ours, theirs = build("sq0").eval(), build_method(load_recipe("agw", overrides=list(SMALL)), 6).eval()
    theirs.load_state_dict(ours.state_dict())
    for name, loss in theirs.losses(make_batch()).items():
        torch.testing.assert_close(ours.losses(make_batch())[name], loss)


def test_two_steps_of_training(tmp_path, monkeypatch):
    monkeypatch.setenv("VIBENCH_CACHE", str(tmp_path / "cache"))
    short = ("identities=2", "sampler.images=2", "schedule.epochs=2", "milestones=[1]", "batches_per_epoch=1")
    spec = TrainingSpec(
        load_recipe("caj", overrides=[*SMALL, *short]),
        root=mini.write_sysu(tmp_path / "sysu-mm01"),
        pretrained="none",
        folder=tmp_path / "run",
    )
    run = train(spec, device="cpu")
    assert len(read_log(run.log_path)) == 2
    # Two steps of two visible views and infrared, two identities with two images each.
    assert run.timing().images == 2 * 3 * 4
    with torch.no_grad():
        assert (
            load_method(run.checkpoint_path).embed(torch.randn(1, 3, 64, 32), "visible")["embedding"].isfinite().all()
        )
