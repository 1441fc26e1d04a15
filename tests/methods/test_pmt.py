"""PMT's losses against explicit loops and the official code's numbers, its stages, groups and features."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.methods.checks import (
    check_embeddings,
    check_losses_and_gradients,
    check_two_steps,
    golden_fill,
    grouped_names,
    small_batch,
    small_method,
)
from vibench.data.batch import Batch
from vibench.losses import hard_triplet
from vibench.methods.pmt import PMT
from vibench.methods.pmt.losses import discriminative_centres, modality_shared_enhancement
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method
from vibench.nn.vision_transformer import SHAPES
from vibench.training.optimizer import build_optimizer, set_learning_rate
from vibench.training.schedule import common_rate, learning_rate

WIDTH = SHAPES["vit-slim"].width


@pytest.fixture(scope="module")
def fill(shared: Path) -> ModuleType:
    return golden_fill(shared)


def rows(identities: int = 3, each: int = 4, width: int = 5, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, labels and modality of a batch, in float64."""
    draw = torch.Generator().manual_seed(seed)
    embeddings = torch.randn(2 * identities * each, width, generator=draw, dtype=torch.float64)
    labels = torch.arange(identities).repeat_interleave(each).repeat(2)
    return embeddings, labels, torch.arange(2).repeat_interleave(identities * each)


def distance(one: Tensor, other: Tensor) -> Tensor:
    return (one - other).norm()


def slow_msel(embeddings: Tensor, labels: Tensor, modality: Tensor) -> float:
    squares: dict[int, list[float]] = {0: [], 1: []}
    for i in range(len(labels)):
        alike = [j for j in range(len(labels)) if labels[j] == labels[i] and j != i]
        own = [float(distance(embeddings[i], embeddings[j])) for j in alike if modality[j] == modality[i]]
        across = [float(distance(embeddings[i], embeddings[j])) for j in alike if modality[j] != modality[i]]
        squares[int(modality[i])].append((np.mean(across) - np.mean(own)) ** 2)
    return float(np.mean(squares[0]) + np.mean(squares[1])) / 2


def slow_dcl(embeddings: Tensor, labels: Tensor) -> float:
    near, far = [], []
    for label in labels.unique():
        centre = embeddings[labels == label].mean(dim=0)
        near += [float(distance(centre, row)) for row in embeddings[labels == label]]
        others = [float(distance(centre, row)) for row in embeddings[labels != label]]
        far.append(np.mean([away for away in others if away < np.mean(others)]))
    return float(np.mean(near) / np.mean(far))


@given(identities=st.integers(2, 5), each=st.integers(2, 4), seed=st.integers(0, 99), order=st.randoms())
def test_losses_are_those_of_loops_over_rows_in_any_order(identities, each, seed, order):
    embeddings, labels, modality = rows(identities, each, seed=seed)
    places = list(range(len(labels)))
    order.shuffle(places)
    embeddings, labels, modality = embeddings[places], labels[places], modality[places]
    found = modality_shared_enhancement(embeddings, labels, modality)
    assert float(found) == pytest.approx(slow_msel(embeddings, labels, modality), rel=1e-6)
    assert float(discriminative_centres(embeddings, labels)) == pytest.approx(slow_dcl(embeddings, labels), rel=1e-6)


def intra(embeddings: Tensor, labels: Tensor, modality: Tensor) -> Tensor:
    halves = zip(embeddings.chunk(2), labels.chunk(2), strict=True)
    return torch.stack([hard_triplet(part, of, 0.1) for part, of in halves]).sum()


GOLDEN = {
    "pmt_msel": modality_shared_enhancement,
    "pmt_dcl": lambda embeddings, labels, modality: discriminative_centres(embeddings, labels),
    "pmt_triplet_all": lambda embeddings, labels, modality: hard_triplet(embeddings, labels, 0.1),
    "pmt_triplet_intra": intra,
}


@pytest.mark.parametrize("name", GOLDEN)
def test_losses_and_gradients_of_the_official_code(name: str, shared: Path, fill: ModuleType):
    about = json.loads((shared / "golden" / "pmt_losses.json").read_text())
    for case, expected in about["losses"][name]["values"].items():
        layout = about["about"]["cases"][case]
        count, each = layout["ids"] * layout["k"], layout["k"]
        groups = [group[:count] for group in fill.loss_groups(2, per_id=each, seed=layout["seed"])]
        label = [np.asarray(fill.loss_labels(each))[:count]] * 2
        if "rolled" in case:
            groups[1], label[1] = (np.roll(part, 3 * each, axis=0) for part in (groups[1], label[1]))
        labels = torch.from_numpy(np.concatenate(label))
        modality = torch.arange(2).repeat_interleave(count)
        for scale, numbers in expected.items():
            scaled = float(scale.removeprefix("scale_")) * torch.from_numpy(np.concatenate(groups))
            for dtype, close in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
                x = scaled.to(dtype, copy=True).requires_grad_()
                loss = GOLDEN[name](x, labels, modality)
                loss.backward()
                assert loss.item() == pytest.approx(numbers["loss"], rel=close, abs=close / 10), (case, scale)
                assert x.grad is not None
                assert x.grad.norm().item() == pytest.approx(numbers["grad_norm"], rel=10 * close), (case, scale)


def test_the_discriminative_centre_loss_has_no_scale():
    embeddings, labels, _ = rows()
    assert float(discriminative_centres(100 * embeddings, labels)) == pytest.approx(
        float(discriminative_centres(embeddings, labels)), rel=1e-9
    )


def test_what_has_no_distance_is_finite():
    """One identity, rows that coincide with their centre, and others that are all equally far."""
    embeddings, labels, _ = rows(1)
    x = embeddings.requires_grad_()
    alone = discriminative_centres(x, labels)
    alone.backward()
    assert float(alone.detach()) == 0.0 and x.grad is not None and torch.isfinite(x.grad).all()
    two = torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0], [3.0, 4.0]], requires_grad=True)
    loss = discriminative_centres(two, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert float(loss.detach()) == 0.0 and two.grad is not None and torch.isfinite(two.grad).all()
    pairs = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 2.0], [0.0, -2.0]])
    # Both rows of the other identity are as far from the centre at 0: 2 from one, 1 from the other.
    assert float(discriminative_centres(pairs, torch.tensor([0, 0, 1, 1]))) == pytest.approx(1.0)
    single = modality_shared_enhancement(pairs, torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1]))
    assert float(single) == pytest.approx(5.0)


def test_losses_stay_in_float32_under_autocast():
    embeddings, labels, modality = (part.float() if part.is_floating_point() else part for part in rows())
    with torch.autocast("cpu", torch.bfloat16):
        found = modality_shared_enhancement(embeddings, labels, modality), discriminative_centres(embeddings, labels)
    torch.testing.assert_close(found[0], modality_shared_enhancement(embeddings, labels, modality))
    torch.testing.assert_close(found[1], discriminative_centres(embeddings, labels))


def stage_losses(method: PMT, epoch: int, batch: Batch) -> dict[str, Tensor]:
    method.end_of_epoch(epoch - 1, {})
    torch.manual_seed(0)
    return check_losses_and_gradients(method, batch)


def test_the_stages():
    method, batch = small_method("pmt"), small_batch()
    assert isinstance(method, PMT)
    first, last = stage_losses(method, 0, batch), stage_losses(method, 5, batch)
    later = stage_losses(method, 6, batch)
    assert set(first) == set(last) == {"identity", "triplet"}
    assert set(later) == {"identity", "triplet", "msel", "dcl"}
    torch.testing.assert_close(first["identity"], later["identity"])
    assert not torch.allclose(first["triplet"], later["triplet"])


def test_losses_read_the_features_that_they_should():
    method, batch = small_method("pmt", overrides=["model.dropout=0", "model.drop_path=0"]).train(), small_batch()
    pooled = method.backbone(*batch.by_modality(batch.images)).detach()
    visible, infrared = pooled.chunk(2)
    labels = batch.labels[:6]
    grey = method.losses(batch)
    expected = hard_triplet(visible, labels, 0.1) + hard_triplet(infrared, labels, 0.1)
    torch.testing.assert_close(grey["triplet"], expected)
    logits = method.classifier(method.neck(pooled))
    entropy = -logits.log_softmax(dim=1)[torch.arange(12), batch.labels]
    torch.testing.assert_close(grey["identity"], entropy[:6].mean() + entropy[6:].mean())
    method.end_of_epoch(5, {})
    late = method.losses(batch)
    torch.testing.assert_close(late["triplet"], hard_triplet(pooled, batch.labels, 0.1))
    torch.testing.assert_close(late["msel"], modality_shared_enhancement(pooled, batch.labels, batch.modality))
    torch.testing.assert_close(late["dcl"], discriminative_centres(pooled, batch.labels))


VARIANTS = {
    "": ({"identity", "triplet"}, {"identity", "triplet", "msel", "dcl"}),
    "base": ({"identity", "triplet"},) * 2,
    "pl": ({"identity", "triplet"},) * 2,
    "pl-msel": ({"identity", "triplet"}, {"identity", "triplet", "msel"}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_variants_are_a_ladder(variant: str):
    method, batch = small_method("pmt", variant), small_batch()
    assert isinstance(method, PMT)
    assert (set(stage_losses(method, 0, batch)), set(stage_losses(method, 6, batch))) == VARIANTS[variant]
    grey = method.recipe.augmentation.visible_grey_epochs
    assert grey == (0 if variant == "base" else 6)
    check_embeddings(method, batch, WIDTH)


def test_base_has_triplets_of_all_images_from_the_first_epoch():
    batch = small_batch()
    early, late = (stage_losses(small_method("pmt", "base"), epoch, batch)["triplet"] for epoch in (0, 6))
    torch.testing.assert_close(early, late)
    everywhere = small_method("pmt", "pl", ["model.grey_stage_triplet=all"])
    torch.testing.assert_close(stage_losses(everywhere, 0, batch)["triplet"], late)


def test_metric_norm_normalises_what_metric_losses_read_and_nothing_else():
    batch = small_batch()
    plain, unit = (small_method("pmt", overrides=[f"model.metric_norm={flag}"]) for flag in ("false", "true"))
    assert isinstance(plain, PMT) and isinstance(unit, PMT)
    one, other = stage_losses(plain, 6, batch), stage_losses(unit, 6, batch)
    torch.testing.assert_close(one["identity"], other["identity"])
    assert other["msel"] < 4 and not torch.allclose(one["msel"], other["msel"])


def test_the_open_epoch_is_part_of_the_state():
    method = small_method("pmt")
    method.end_of_epoch(7, {})
    again = small_method("pmt").train()
    assert set(again.losses(small_batch())) == {"identity", "triplet"}
    again.load_state_dict(method.state_dict())
    assert set(again.losses(small_batch())) == {"identity", "triplet", "msel", "dcl"}


def test_what_trains_at_which_rate():
    groups = grouped_names(small_method("pmt"))
    assert set(groups) == {0.5, 1.0}
    assert groups[1.0] == {
        "backbone.class_token",
        "backbone.encoder.pos_embedding",
        "backbone.encoder.ln.weight",
        "backbone.encoder.ln.bias",
        "neck.weight",
        "classifier.weight",
    }
    assert all(name.startswith(("backbone.conv_proj.", "backbone.encoder.layers.")) for name in groups[0.5])


SHARES = {
    "sysu-mm01": ".3333 .6667 .9619 .9330 .8967 .8536 .8044 .7500 .6913 .6294 .5653 .5000 .4347 .3706 .3087 .2500 "
    ".1956 .1464 .1033 .0670 .0381 .0170 .0043 0",
    "regdb": ".3333 .6667 .9830 .9698 .9532 .9330 .9096 .8830 .8536 .8214 .7868 .7500 .7113 .6710 .6294 .5868 .5436 "
    ".5000 .4564 .4132 .3706 .3290 .2887 .2500 .2132 .1786 .1464 .1170 .0904 .0670 .0468 .0302 .0170 .0076 .0019 0",
}


@pytest.mark.parametrize("dataset", SHARES)
def test_both_groups_end_at_the_same_rate(dataset: str):
    """The official code's table of shares; what a group has above 3e-6 is what they are of."""
    recipe = load_recipe("pmt", "", dataset, ["backbone=vit-slim", "height=64", "width=32"])
    shares = [float(share) for share in SHARES[dataset].split()]
    assert recipe.schedule.epochs == len(shares)
    optimizer = build_optimizer(build_method(recipe, 3))
    assert type(optimizer) is torch.optim.AdamW
    for epoch, share in enumerate(shares):
        rate = learning_rate(recipe.schedule, recipe.optimizer.lr, epoch)
        set_learning_rate(optimizer, rate, common_rate(recipe.schedule, epoch))
        for group, peak in zip(optimizer.param_groups, (1.5e-4, 3e-4), strict=True):
            assert group["lr"] == pytest.approx(3e-6 + (peak - 3e-6) * share, abs=5e-5 * peak)
            assert group["weight_decay"] == 1e-4


@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_it_trains(amp: str):
    check_two_steps("pmt", amp=amp)
    check_two_steps("pmt", "base", amp=amp)


def test_features_are_those_of_the_class_token():
    method, batch = small_method("pmt").eval(), small_batch()
    with torch.no_grad():
        features = method.embed(batch.images[:6], "visible")
        infrared = method.embed(batch.images[:6], "infrared")
        neck = method.neck(method.backbone(visible=batch.images[:6]))
    assert set(features) == {"embedding", "pooled", "neck"}
    torch.testing.assert_close(features["neck"], neck)
    torch.testing.assert_close(features["embedding"], neck / neck.norm(dim=1, keepdim=True))
    # One stream: what an image's modality is called changes nothing.
    torch.testing.assert_close(features["embedding"], infrared["embedding"])


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("stride", 17, "'stride' must be 1 to 16 pixels, not 17: larger ones leave gaps"),
        ("stride", 0, "'stride' must be 1 to 16"),
        ("dropout", 1.0, "'dropout' is a probability from 0 to below 1"),
        ("drop_path", -0.1, "'drop_path' is a probability"),
        ("layer_norm_epsilon", 0.0, "'layer_norm_epsilon' must be above 0"),
    ],
)
def test_impossible_options_are_refused(key: str, value: float, sentence: str):
    with pytest.raises(ValueError, match=sentence):
        replace(load_recipe("pmt").model, **{key: value})


def test_the_official_network_has_so_many_parameters():
    """The count of checkpoints/pmt.json for 395 identities."""
    with torch.device("meta"):
        method = build_method(load_recipe("pmt"), 395)
    assert sum(parameter.numel() for parameter in method.parameters()) == 86_114_304
    assert len(method.state_dict()) == 156 + 1 and math.prod(method.backbone.grid) == 210
