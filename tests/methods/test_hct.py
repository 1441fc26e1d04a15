"""HCT against a literal transcription of the authors' network, loops for its losses, and its switches."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.methods.checks import (
    MAP_WIDTH,
    check_embeddings,
    check_losses_and_gradients,
    check_two_steps,
    golden_fill,
    grouped_names,
    load_official,
    official_weights,
    small_batch,
    small_method,
)
from tests.methods.official_resnet import norm, two_stream_maps
from vibench.errors import UsageError
from vibench.losses import hard_triplet, hetero_centre, hetero_centre_triplet
from vibench.methods.hct.official import KEYS, UNUSED
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, method_entry

VARIANTS = ("", *method_entry("hct").recipe_file.variants)
SWITCHES = [
    ["metric_loss=triplet", "hct_on=local", "stripes=3", "stripe_dim=16"],
    ["metric_loss=hc", "hct_on=global", "model.pool=max"],
    ["metric_loss=none", "label_smoothing=0.1"],
    ["head=global", "model.pool=avg", "metric_loss=triplet", "test_feature=f"],
    ["head=global", "metric_loss=none", "specific_stages=5"],
    ["specific_stages=0", "hct_reduction=sum", "gem_p=10"],
]
CASES = [(variant, []) for variant in VARIANTS] + [("", switches) for switches in SWITCHES]


@pytest.fixture(scope="module")
def batch():
    return small_batch()


@pytest.fixture(scope="module")
def official(shared):
    weights = official_weights(shared, "hct", UNUSED)
    return load_official(build_method(load_recipe("hct"), 395), weights, KEYS), weights


@pytest.mark.parametrize(("modality", "seed"), [("visible", 7), ("infrared", 8)])
def test_features_of_the_official_network(official, shared, modality, seed):
    method, weights = official
    images = golden_fill(shared).images(seed, height=192, width=64)
    with torch.no_grad():
        maps = two_stream_maps(weights, images, modality, specific_stages=2)
        assert maps.shape == (2, 2048, 12, 4)
        stripes = []
        for i in range(6):
            pooled = ((maps[:, :, 2 * i : 2 * i + 2] ** 3).mean(dim=(2, 3)) + 1e-12) ** (1 / 3)
            name = f"local_conv_list.{i}"
            projected = pooled @ weights[f"{name}.0.weight"][:, :, 0, 0].T + weights[f"{name}.0.bias"]
            stripes.append(norm(weights, f"{name}.1", projected).relu())
        expected = F.normalize(torch.cat(stripes, dim=1))
        actual = method.embed(images, modality)
        logits = [classifier(stripe) for classifier, stripe in zip(method.classifier, stripes, strict=True)]
    assert expected.shape == (2, 1536)
    torch.testing.assert_close(actual["embedding"], expected, atol=2e-5, rtol=0)
    torch.testing.assert_close(F.normalize(actual["stripes"]), actual["embedding"])
    difference = (actual["embedding"][0] - actual["embedding"][1]) - (expected[0] - expected[1])
    assert difference.norm() < 1e-3 * (expected[0] - expected[1]).norm()
    for i, logit in enumerate(logits):
        torch.testing.assert_close(logit, stripes[i] @ weights[f"fc_list.{i}.weight"].T + weights[f"fc_list.{i}.bias"])


def slow_losses(method, batch, metric):
    """Losses of a method in eval mode, from the description."""
    options = method.recipe.model
    maps = method.batch_maps(batch)
    if options.head == "global":
        f = ((maps**3).mean(dim=(2, 3)) + 1e-12) ** (1 / 3)
        logits = method.neck(f) @ method.classifier.weight.T
        return {"identity": F.cross_entropy(logits, batch.labels), "metric_pooled": metric(f)}
    stripes = []
    for i, (convolution, batch_norm, _) in enumerate(method.stripes.embed):
        band = maps[:, :, i : i + 1]
        pooled = band.mean(dim=(2, 3)) if options.pool == "avg" else ((band**3).mean(dim=(2, 3)) + 1e-12) ** (1 / 3)
        stripes.append(batch_norm(convolution(pooled[:, :, None, None])).relu()[:, :, 0, 0])
    smoothing = options.label_smoothing
    identity = 0.0
    for classifier, stripe in zip(method.classifier, stripes, strict=True):
        log_p = (stripe @ classifier.weight.T + classifier.bias).log_softmax(dim=1)
        targets = (1 - smoothing) * F.one_hot(batch.labels, log_p.shape[1]) + smoothing / log_p.shape[1]
        identity = identity - (targets * log_p).sum(dim=1).mean()
    losses = {"identity": identity}
    if options.hct_on != "local":
        losses["metric"] = metric(torch.cat(stripes, dim=1))
    if options.hct_on != "global":
        losses["metric_stripes"] = sum(metric(stripe) for stripe in stripes)
    return losses


@pytest.mark.parametrize(
    ("variant", "switches", "metric"),
    [
        ("", [], lambda x, y, m: hetero_centre_triplet(x, y, m, 0.3)),
        ("", ["label_smoothing=0.1", "margin=1"], lambda x, y, m: hetero_centre_triplet(x, y, m, 1.0)),
        ("", ["hct_reduction=sum", "hct_on=global"], lambda x, y, m: hetero_centre_triplet(x, y, m, reduction="sum")),
        ("", ["metric_loss=triplet"], lambda x, y, m: hard_triplet(x, y, 0.3)),
        ("tslfn", [], hetero_centre),
        ("global", [], hetero_centre_triplet),
    ],
)
def test_losses_of_the_description(variant, switches, metric):
    batch = small_batch(height=96)  # six rows of the map, one for each stripe
    method = small_method("hct", variant, switches).eval()
    with torch.no_grad():
        actual = method.losses(batch)
        expected = slow_losses(method, batch, lambda features: metric(features, batch.labels, batch.modality))
    assert set(actual) == set(expected)
    for name, loss in expected.items():
        torch.testing.assert_close(actual[name], loss, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("variant", "switches"), CASES)
def test_trains_and_embeds(variant, switches, batch):
    method = small_method("hct", variant, switches)
    check_losses_and_gradients(method, batch)
    options = method.recipe.model
    check_embeddings(method, batch, MAP_WIDTH if options.head == "global" else options.stripes * options.stripe_dim)


@pytest.mark.parametrize("variant", ["", "global"])
def test_the_head_trains_at_the_full_rate(variant):
    groups = grouped_names(small_method("hct", variant))
    assert set(groups) == {0.1, 1.0}
    assert all(name.startswith("backbone.") for name in groups[0.1])
    assert not [name for name in groups[1.0] if name.startswith("backbone.")]


def test_the_stem_and_layer1_are_specific():
    backbone = small_method("hct").backbone
    assert hasattr(backbone.visible, "layer1") and not hasattr(backbone.visible, "layer2")


def test_recipes_of_the_data_sets():
    sysu, regdb, plain = load_recipe("hct"), load_recipe("hct", "", "regdb"), load_recipe("hct", "plain-ce", "regdb")
    assert (sysu.sampler.identities, sysu.sampler.images, sysu.schedule.epochs) == (6, 8, 61)
    assert (sysu.model.gem_p, sysu.model.label_smoothing, sysu.loss_weights["metric_stripes"]) == (3.0, 0.0, 1.0)
    assert (regdb.sampler.identities, regdb.sampler.images) == (8, 4)
    assert (regdb.model.gem_p, regdb.model.label_smoothing, regdb.loss_weights["metric_stripes"]) == (10.0, 0.1, 2.0)
    assert regdb.loss_weights["metric"] == 1.0
    assert (plain.model.gem_p, plain.model.label_smoothing) == (10.0, 0.0)


@pytest.mark.parametrize("dataset", ["sysu-mm01", "regdb", "llcm", "sysu-mm01-twin", "regdb-twin", "llcm-twin"])
def test_the_exponent_of_the_global_head_is_3_on_every_data_set(dataset):
    assert load_recipe("hct", "global", dataset).model.gem_p == 3.0
    assert load_recipe("hct", "global", dataset, ["gem_p=10"]).model.gem_p == 10.0
    assert load_recipe("hct", "", dataset).model.gem_p == (10.0 if dataset.startswith("regdb") else 3.0)


@pytest.mark.parametrize(("variant", "amp"), [("", "off"), ("global", "bf16")])
def test_trains_two_steps(variant, amp):
    check_two_steps("hct", variant, amp=amp)


def test_the_ranked_feature_of_the_global_head(batch):
    for switch, key in (("g", "neck"), ("f", "pooled")):
        method = small_method("hct", "global", [f"test_feature={switch}"]).eval()
        with torch.no_grad():
            features = method.embed(batch.images[:2], "infrared")
        torch.testing.assert_close(features["embedding"], F.normalize(features[key], dim=1))


@pytest.mark.parametrize("override", ["stripes=0", "stripe_dim=0", "gem_p=0", "label_smoothing=1", "specific_stages=6"])
def test_impossible_settings_are_refused(override):
    with pytest.raises(UsageError, match=override.partition("=")[0]):
        load_recipe("hct", overrides=[override])
