"""PAENet against `tests.methods.literal.paenet`: losses and gradients, the test-time distance, and training steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.methods.checks import small_method, two_step_trainer
from tests.methods.literal import paenet as literal
from tests.methods.literal.comparison import (
    TOLERANCE,
    assert_same,
    assert_same_losses,
    assert_trains_alike,
    keep_float64,
    leaves,
    renamed,
    scrambled,
)
from tests.methods.literal.numerics import Network, sigmoid
from vibench.data.batch import Batch
from vibench.losses import hetero_centre_triplet, margin_mmd_id
from vibench.methods.base import Method
from vibench.methods.paenet.auxiliary import attribute_loss
from vibench.methods.recipe import load_recipe
from vibench.runtime.randomness import torch_seed
from vibench.training.schedule import learning_rate

OTHERS = ("epochs_trained", "bit_sums", "attribute_input.images")
NAMES = (
    (r"host\.backbone\.(.*)", r"backbone.\1"),
    (r"host\.neck\.(.*)", r"id_neck.\1"),
    (r"host\.classifier\.(.*)", r"classifier.\1"),
    (r"feature_neck\.(.*)", r"neck.\1"),
    (r"attribute_head\.(.*)", r"head.\1"),
    (r"embedding\.fusion\.norm\.(.*)", r"fusion.norm1.\1"),
    (r"embedding\.fusion\.mlp_norm\.(.*)", r"fusion.norm2.\1"),
    (r"embedding\.fusion\.(attribute_norm|query|key_value|projection)\.(.*)", r"fusion.\1.\2"),
    (r"embedding\.fusion\.(attribute_feature|norms\.\d)\.(.*)", r"fusion.\1.\2"),
    (r"embedding\.fusion\.hidden\.(.*)", r"fusion.mlp.0.\1"),
    (r"embedding\.fusion\.output\.(.*)", r"fusion.mlp.1.\1"),
    (r"embedding\.spatial\.attribute_feature\.(.*)", r"spatial.attribute.\1"),
    (r"embedding\.spatial\.image\.(.*)", r"spatial.image.\1"),
    (r"embedding\.spatial\.joint\.(.*)", r"spatial.attention.\1"),
    (r"embedding\.gates\.attribute_feature\.(.*)", r"channel.attribute.\1"),
    (r"embedding\.gates\.heads\.(\d)\.0\.(.*)", r"channel.head.\1.0.\2"),
    (r"embedding\.gates\.heads\.(\d)\.2\.(.*)", r"channel.head.\1.1.\2"),
    (r"region\.norm\.(.*)", r"region.\1"),
    (r"auxiliary\.fuse\.(.*)", r"attribute.fc.\1"),
    (r"auxiliary\.classifiers\.(\d)\.(.*)", r"attribute.\1.\2"),
)

# Two images per modality have a smaller MMD than the four that the margin is tuned to.
MARGIN = "model.host_model={mmd_margin=0.9}"
CASES = {
    "": ("", [], literal.Switches()),
    "baseline": ("baseline", [], literal.Switches(pae=False, aal="off")),
    "pae": ("pae", [], literal.Switches(aal="off")),
    "aal": ("aal", [], literal.Switches(pae=False)),
    "emb1 of the paper": (
        "aal-emb1",
        ["fusion=token-pair", "normalise_gates=false", "region_norm=false", "attr_input=pred"],
        literal.Switches(emb=1, fusion="token-pair", normalise_gates=False, region_norm=False, attr_input="pred"),
    ),
    "emb2 on labels": ("aal-emb1-emb2", ["attr_input=gt"], literal.Switches(emb=2, attr_input="gt")),
    "official": (
        "official",
        [],
        literal.Switches(
            emb2_input="vector", gates="shared", id_sigmoid2=True, aal="code", attr_input="gt", attribute_head=False
        ),
    ),
}
EPOCH = 14
"""Between the epochs of labels and those of predictions: five elevenths of the images take theirs."""


@pytest.fixture(autouse=True)
def float64(monkeypatch):
    keep_float64(monkeypatch)


def drop(values: Tensor, share: float) -> Tensor:
    """Dropout, drawn as PyTorch draws it: marks of what is kept, in the values' order."""
    return values * torch.empty_like(values).bernoulli_(1.0 - share) / (1.0 - share)


def batch_of() -> Batch:
    """Two identities with two images each in both modalities; one image has no attributes."""
    draw = torch.Generator().manual_seed(5)
    images = torch.randn(8, 3, 64, 32, generator=draw, dtype=torch.float64)
    modality = torch.tensor([0] * 4 + [1] * 4)
    known = torch.arange(8) != 5
    bits = (torch.rand(8, 8, generator=draw) < 0.5).double() * known[:, None]
    return Batch(
        images=images,
        labels=torch.tensor([4, 4, 1, 1] * 2),
        modality=modality,
        cameras=1 + 2 * modality,
        attributes=bits,
        attributes_known=known,
    )


def literal_losses(
    net: Network, batch: Batch, switches: literal.Switches, epoch: int, mean: Tensor, margin: float = 0.9
) -> dict[str, Tensor]:
    """``mean``: of the codes met so far. Draws, as the method does, one number per image where predictions enter."""
    bits, known, visible = batch.attributes, batch.attributes_known, batch.modality == 0
    given, from_image = bits, torch.zeros(len(bits), dtype=torch.bool)
    if switches.pae:
        mixes = switches.attr_input != "gt"
        share = {"gt": 0.0, "pred": 1.0}.get(switches.attr_input, literal.share_from_image(epoch))
        draws = torch.rand(len(bits)) if mixes else torch.zeros(len(bits))
        given, from_image = literal.codes(bits, known, draws, share, mean, switches.attr_input)
    elif switches.aal != "off":
        torch.rand(len(bits))
    switches = replace(switches, mmd_margin=margin)
    result = literal.batch_outputs(net, *batch.images.chunk(2), given, from_image, switches)
    return literal.losses(net, result, batch.labels, visible, bits, known, switches)


def at_epoch(method: Method, epoch: int) -> Method:
    method.end_of_epoch(epoch - 1, {})
    return method


@pytest.mark.parametrize("case", CASES)
def test_losses_and_their_gradients(case):
    """In an epoch that mixes labels and predictions, with dropout."""
    variant, overrides, switches = CASES[case]
    method = at_epoch(scrambled(small_method("paenet", variant, [MARGIN, "epochs=61", *overrides])).train(), EPOCH)
    batch = batch_of()
    weights = renamed(dict(method.named_parameters()) | dict(method.named_buffers()), NAMES, OTHERS)
    copies = leaves(weights, (name for name, value in weights.items() if value.requires_grad))
    frozen = {n for n, value in weights.items() if not value.requires_grad and "running_" not in n}
    assert frozen == set(literal.FROZEN) & set(weights)
    images, copied_images = (batch.images.clone().requires_grad_() for _ in range(2))
    net = Network(copies, dropout=drop)
    mean = batch.attributes[batch.attributes_known].mean(dim=0)
    torch.manual_seed(8)
    ours = method.losses(replace(batch, images=images))
    torch.manual_seed(8)
    theirs = literal_losses(net, replace(batch, images=copied_images), switches, EPOCH, mean)
    assert_same_losses(
        ours,
        weights | {"images": images},
        theirs,
        copies | {"images": copied_images},
        each_but=None if case else ("backbone.", "images"),
    )
    buffers = {n: b for n, b in renamed(dict(method.named_buffers()), NAMES, OTHERS).items() if "running_" in n}
    assert_same("running statistics", buffers, net.statistics, TOLERANCE)


@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_loss_functions_on_features(scale):
    """From features and logits alone; four images per modality, of identities on both sides of the MMD's margin."""
    draw = torch.Generator().manual_seed(6)
    labels, modality = torch.tensor([7] * 4 + [2] * 4 + [5] * 4).repeat(2), torch.tensor([0] * 12 + [1] * 12)
    shift = torch.tensor([0.0, 0.0, 2.0, 0.0, 0.0, 0.0]).repeat_interleave(4)[:, None]
    rows = torch.randn(24, 5, generator=draw, dtype=torch.float64)
    features = (scale * (rows + shift)).requires_grad_()
    logits = (3 * torch.randn(24, 8, generator=draw, dtype=torch.float64)).requires_grad_()
    bits = (torch.rand(24, 8, generator=draw) < 0.5).double()
    known, nobody, visible = torch.rand(24, generator=draw) < 0.7, torch.zeros(24, dtype=torch.bool), modality == 0
    above = [literal.squared_mmd(features[r], features[r + 12]) > 1.4 for r in torch.arange(12).chunk(3)]
    assert len(set(map(bool, above))) == 2
    inputs = {"features": features, "logits": logits}
    probabilities = sigmoid(logits)
    ours = {
        "metric": hetero_centre_triplet(features, labels, modality),
        "mmd": margin_mmd_id(features, labels, modality, 1.4),
        "attributes": attribute_loss(logits, bits, known),
        "nobody's attributes": attribute_loss(logits, bits, nobody),
    }
    expected = {
        "metric": literal.hetero_centre_loss(features, labels, visible, 0.3),
        "mmd": literal.mmd_loss(features, labels, visible, 1.4),
        "attributes": literal.binary_cross_entropy(probabilities, bits, known),
        "nobody's attributes": literal.binary_cross_entropy(probabilities, bits, nobody),
    }
    assert_same_losses(ours, inputs, expected, inputs)


@pytest.mark.parametrize("case", ["", "official", "baseline", "aal"])
def test_embedding_and_distance(case):
    """With attributes predicted, from labels, and at the training mean."""
    variant, overrides, switches = CASES[case]
    method = scrambled(small_method("paenet", variant, overrides)).eval()
    batch = batch_of()
    images = dict(zip(("infrared", "visible"), batch.images.chunk(2), strict=True))
    bits = dict(zip(images, batch.attributes.chunk(2), strict=True))
    net = Network(renamed(method.state_dict(), NAMES, OTHERS), training=False)
    sources: dict[str, dict[str, Tensor | None]] = {"pred": dict.fromkeys(images)}
    if switches.pae:
        method.attribute_input.bit_sums.copy_(torch.arange(8.0))
        method.attribute_input.images.fill_(10.0)
        mean = torch.arange(8, dtype=torch.float64) / 10
        sources |= {"gt": bits, "const": {m: mean.expand(4, 8) for m in images}}
        if not switches.attribute_head:
            # Nothing predicts attributes: the mean stands in.
            sources["pred"] = sources["const"]
    with torch.no_grad():
        for source, codes in sources.items():
            ours, theirs = {}, {}
            for modality, rows in images.items():
                if source == "pred":
                    found = method.embed(rows, modality)
                else:
                    given = bits[modality] if source == "gt" else method.mean_attributes.expand(4, -1)
                    found = method.embed_with_attributes(rows, modality, given)
                ours[modality] = found["embedding"]
                theirs[modality] = literal.embedding(net, rows, modality, codes[modality], switches)
            assert_same(source, ours, theirs, TOLERANCE)
            distances = method.distances(ours["infrared"], ours["visible"], "single")
            expected = literal.distances(theirs["infrared"], theirs["visible"])
            assert_same(f"distance, {source}", {"": distances}, {"": expected}, TOLERANCE)


def test_mean_attributes():
    """The mean code of ``const`` is that of the labelled images met in training, however often."""
    method = scrambled(small_method("paenet", "gt")).train()
    assert method.mean_attributes.tolist() == [0.5] * 8
    met = []
    for seed in (1, 2):
        draw = torch.Generator().manual_seed(seed)
        known = torch.rand(6, generator=draw) < 0.6
        bits = (torch.rand(6, 8, generator=draw) < 0.5).double() * known[:, None]
        method.attribute_input(bits, known, None)
        met += [row for row, k in zip(bits, known, strict=True) if k]
    assert_same("mean", {"": method.mean_attributes}, {"": sum(met) / len(met)}, TOLERANCE)


@pytest.mark.parametrize(("variant", "epoch"), [("", EPOCH), ("aal", 3)])
def test_training_steps(variant, epoch):
    """Two steps of an epoch by the real trainer on the recipe's weights, rates, groups, momentum and decay."""
    switches = CASES[variant][2]
    trainer = two_step_trainer("paenet", variant, ["epochs=61", MARGIN])
    at_epoch(scrambled(trainer.method), epoch)
    trainer.epoch = epoch
    met: list[Tensor] = []

    def losses(net: Network, batch: Batch, step: int) -> dict[str, Tensor]:
        met.extend(row for row, known in zip(batch.attributes, batch.attributes_known, strict=True) if known)
        net.dropout = drop
        torch.manual_seed(torch_seed(0, "step", epoch, step))
        return literal_losses(net, batch, switches, epoch, sum(met) / len(met))

    assert_trains_alike(
        trainer,
        NAMES,
        losses,
        literal.WEIGHTS,
        lambda name: literal.rate_factor(name, switches.pae) * literal.learning_rate(epoch),
        frozen=literal.FROZEN,
        others=OTHERS,
    )


def test_rates_and_shares_of_all_epochs():
    recipe = load_recipe("paenet")
    assert recipe.schedule.epochs == 61
    method = small_method("paenet")
    for epoch in range(61):
        rate = learning_rate(recipe.schedule, recipe.optimizer.lr, epoch)
        assert rate == pytest.approx(literal.learning_rate(epoch), rel=1e-12)
        method.attribute_input.epochs_trained.fill_(epoch)
        assert method.attribute_input.prediction_rate.item() == pytest.approx(literal.share_from_image(epoch), rel=1e-6)
