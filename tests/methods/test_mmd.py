"""MMD-ReID against a literal transcription of the authors' network, and its losses against loops."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.losses.test_hetero_centre import loop_hct
from tests.losses.test_maximum_mean_discrepancy import loop_mmd, loop_mmd_id
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
from vibench.methods.hct import official as hct_official
from vibench.methods.mmd.official import KEYS, UNUSED
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, method_entry

VARIANTS = ("", *method_entry("mmd").recipe_file.variants)
SWITCHES = [
    ["mmd_on=g", "mmd_margin=0", "test_feature=f"],
    ["mmd_form=hinge", "mmd_margin=0.5", "kernels=3", "kernel_multiplier=3"],
    ["metric_loss=triplet", "model.pool=max", "specific_stages=1"],
    ["metric_loss=none", "model.pool=avg", "label_smoothing=0.1", "kernels=1"],
    ["metric_loss=hc", "gem_learnable=true", "share_classifier=false"],
]
CASES = [(variant, []) for variant in VARIANTS] + [("", switches) for switches in SWITCHES]


@pytest.fixture(scope="module")
def batch():
    return small_batch()


@pytest.fixture(scope="module")
def weights(shared):
    return official_weights(shared, "mmd", UNUSED)


@pytest.mark.parametrize("name", ["mmd", "hct"])
def test_features_of_the_official_network(weights, shared, name):
    """MMD-ReID, and HCT with the global head and its depth of sharing: the same network."""
    overrides = ["specific_stages=3"]
    recipe = load_recipe(name, "global" if name == "hct" else "", overrides=overrides)
    keys = hct_official.KEYS if name == "hct" else KEYS
    method = load_official(build_method(recipe, 395), weights, keys)
    for modality, seed in (("visible", 7), ("infrared", 8)):
        images = golden_fill(shared).images(seed, height=128, width=64)
        with torch.no_grad():
            maps = two_stream_maps(weights, images, modality, specific_stages=3)
            f = ((maps**3).mean(dim=(2, 3)) + 1e-12) ** (1 / 3)
            g = norm(weights, "bottleneck", f)
            features = method.embed(images, modality)
            logits = method.classifier(features["neck"])
        for actual, expected in ((features["embedding"], g), (F.normalize(features["pooled"]), f)):
            expected = F.normalize(expected)
            torch.testing.assert_close(actual, expected, atol=2e-5, rtol=0)
            difference = (actual[0] - actual[1]) - (expected[0] - expected[1])
            assert difference.norm() < 1e-3 * (expected[0] - expected[1]).norm()
        torch.testing.assert_close(logits, g @ weights["classifier.weight"].T, atol=1e-3, rtol=1e-3)


def slow_losses(method, batch):
    """Losses of a method in eval mode, from the description."""
    options = method.recipe.model
    f = ((method.batch_maps(batch) ** 3).mean(dim=(2, 3)) + 1e-12) ** (1 / 3)
    g = method.neck(f)
    y, m = batch.labels, batch.modality
    terms = loop_hct(f, y, m)
    losses = {
        "identity": F.cross_entropy(g @ method.classifier.weight.T, y).item(),
        "metric": sum(terms) / len(terms),
    }
    compared = f if options.mmd_on == "f" else g
    per_identity = loop_mmd_id(compared, y, m)
    if options.discrepancy == "mmd":
        losses["mmd"] = loop_mmd(compared[m == 0], compared[m == 1])
    elif options.discrepancy == "mmd-id":
        losses["mmd"] = sum(per_identity) / len(per_identity)
    elif options.discrepancy == "margin-mmd-id":
        counted = [term for term in per_identity if term > options.mmd_margin]
        assert counted
        if options.mmd_form == "hinge":
            counted = [term - options.mmd_margin for term in counted]
        losses["mmd"] = sum(counted) / len(per_identity)
    return losses


@pytest.mark.parametrize(
    ("variant", "switches"),
    [("", []), ("", ["mmd_form=hinge"]), ("", ["mmd_on=g"]), ("mmd-id", []), ("global-mmd", []), ("no-mmd", [])],
)
def test_losses_of_the_description(variant, switches, batch):
    method = small_method("mmd", variant, switches).eval()
    with torch.no_grad():
        actual = {name: loss.item() for name, loss in method.losses(batch).items()}
        expected = slow_losses(method, batch)
    assert actual == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(("variant", "switches"), CASES)
def test_trains_and_embeds(variant, switches, batch):
    method = small_method("mmd", variant, switches)
    check_losses_and_gradients(method, batch)
    check_embeddings(method, batch, MAP_WIDTH)


def test_a_margin_of_zero_is_none(batch):
    gated, free = (
        small_method("mmd", "", overrides).eval() for overrides in (["mmd_margin=0"], ["discrepancy=mmd-id"])
    )
    with torch.no_grad():
        torch.testing.assert_close(gated.losses(batch)["mmd"], free.losses(batch)["mmd"])


def test_the_head_trains_at_the_full_rate():
    groups = grouped_names(small_method("mmd"))
    assert groups[1.0] == {"neck.weight", "classifier.weight"}
    assert all(name.startswith("backbone.") for name in groups[0.1])


def test_stages_up_to_layer2_are_specific():
    backbone = small_method("mmd").backbone
    assert hasattr(backbone.visible, "layer2") and not hasattr(backbone.visible, "layer3")


def test_the_published_command():
    recipe = load_recipe("mmd")
    assert (recipe.sampler.identities, recipe.sampler.images, recipe.schedule.epochs) == (4, 4, 61)
    assert recipe.loss_weights == {"identity": 1.0, "metric": 2.0, "mmd": 0.25}
    assert (recipe.model.mmd_margin, recipe.augmentation.erasing) == (1.4, 0.0)
    erasing = load_recipe("mmd", "erasing").augmentation
    assert (erasing.erasing, erasing.erasing_fill) == (0.5, (0.485, 0.456, 0.406))


@pytest.mark.parametrize(("variant", "amp"), [("", "bf16"), ("erasing", "off")])
def test_trains_two_steps(variant, amp):
    check_two_steps("mmd", variant, amp=amp)


@pytest.mark.parametrize(
    "override", ["kernels=0", "kernel_multiplier=0", "mmd_margin=-1", "label_smoothing=1", "gem_p=0"]
)
def test_impossible_settings_are_refused(override):
    with pytest.raises(UsageError, match=override.partition("=")[0]):
        load_recipe("mmd", overrides=[override])
