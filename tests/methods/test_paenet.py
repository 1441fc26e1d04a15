"""PAENet against a literal transcription of the authors' network, its parts against slow references, its switches."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.methods import paenet_reference as reference
from tests.methods.checks import (
    CLASSES,
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
    two_step_trainer,
)
from vibench.errors import UsageError
from vibench.files.toml import tomllib
from vibench.methods.paenet import fusion
from vibench.methods.paenet.attribute_input import AttributeInput
from vibench.methods.paenet.auxiliary import AttributeAuxiliary, attribute_loss
from vibench.methods.paenet.embedding import ProgressiveEmbedding, RegionGate, SpatialEmbedding
from vibench.methods.paenet.official import KEYS, UNUSED
from vibench.methods.paenet.switchable_norm import SwitchableNorm
from vibench.methods.recipe import load_recipe, recipe_dict, recipe_from_dict, recipe_toml
from vibench.methods.registry import build_method, method_entry
from vibench.training.checkpoint import Checkpoint

VARIANTS = ("", *method_entry("paenet").recipe_file.variants)
SWITCHES = [
    ["fusion=token-pair", "gates=shared", "normalise_gates=false", "region_norm=false"],
    ["attr_input=pred", "aal=code", "id_sigmoid2=true", "emb2_input=vector"],
    ["emb=2", "emb2_input=vector", "aal=off"],
    ["emb=1", "aal=off", "attribute_head=false", "attr_input=gt"],
    ["host=agw", "model.pool=avg"],
    ['model.host_model={head = "global", metric_loss = "triplet"}', "host=hct"],
]
CASES = [(variant, []) for variant in VARIANTS] + [("", switches) for switches in SWITCHES]
HOST_WIDTHS = {"hct": 1536, "mpanet": 7 * MAP_WIDTH}


@pytest.fixture(scope="module")
def batch():
    return with_attributes(small_batch())


@pytest.fixture(scope="module")
def weights(shared):
    return official_weights(shared, "paenet", UNUSED)


def with_attributes(batch, unknown=()):
    """Eight bits per identity; the rows ``unknown`` have no label."""
    bits = torch.randint(2, (CLASSES, 8), generator=torch.Generator().manual_seed(5)).float()[batch.labels]
    known = torch.ones(len(batch), dtype=torch.bool)
    known[list(unknown)] = False
    return dataclasses.replace(batch, attributes=bits * known[:, None], attributes_known=known)


def small_trainer(variant="", overrides=(), amp="off"):
    """A trainer on noise for three epochs of two steps, with labelled attributes for all images but one."""
    return two_step_trainer("paenet", variant, ["epochs=3", *overrides], amp)


def train_epoch(trainer, steps=10**6):
    """Train the open epoch, or ``steps`` steps of it."""
    taken = iter(range(1, steps + 1))
    return trainer.train_epoch(lambda: next(taken) >= steps, lambda count, status="": None)


# The official network


def test_features_of_the_official_network(weights, shared):
    fill = golden_fill(shared)
    method = load_official(build_method(load_recipe("paenet", "official"), 395), weights, KEYS)
    codes = fill.attributes(seed=9, batch=4).chunk(2)
    for modality, seed, code in (("visible", 7, codes[0]), ("infrared", 8, codes[1])):
        images = fill.images(seed, height=96, width=48)
        with torch.no_grad():
            expected = reference.official_features(weights, images, modality, code)
            features = method.embed_with_attributes(images, modality, code)
            logits = method.host.classifier(features["neck"])
        torch.testing.assert_close(features["embedding"], F.normalize(expected["neck"]), atol=2e-5, rtol=0)
        torch.testing.assert_close(F.normalize(features["pooled"]), F.normalize(expected["pooled"]), atol=2e-5, rtol=0)
        torch.testing.assert_close(logits, expected["identities"], atol=1e-3, rtol=1e-3)
        # The gate is what the attribute classifiers read, and differs with the code.
        with torch.no_grad():
            maps = method.host.image_maps(images, modality)
            pooled = method.pool(maps)
            neck = method.feature_neck(pooled)
            gates = method.embedding(neck, maps, code)
            scores = method.auxiliary(gates, pooled)
            other = method.embedding(neck, maps, 1 - code)
        torch.testing.assert_close(gates[:, 0], expected["gate"], atol=2e-5, rtol=0)
        torch.testing.assert_close(scores, expected["attributes"], atol=2e-4, rtol=1e-3)
        assert (gates - other).abs().max() > 1e-3


def test_embedding_two_of_a_vector_is_the_identity():
    torch.manual_seed(0)
    module = SpatialEmbedding(12, 8)
    vector = torch.randn(3, 12, requires_grad=True)
    code = torch.randint(2, (3, 8)).float()
    out = module(vector[:, :, None, None], code, positions=18)
    torch.testing.assert_close(out, vector, atol=1e-6, rtol=0)
    out.square().sum().backward()
    assert all(parameter.grad.abs().max() < 1e-5 for parameter in module.parameters())


def test_embedding_two_of_a_map():
    torch.manual_seed(0)
    module = SpatialEmbedding(6, 8)
    maps, code = torch.randn(3, 6, 4, 2), torch.rand(3, 8)
    named = {
        "ASENet.conv1.weight": module.image.weight,
        "ASENet.conv1.bias": module.image.bias,
        "ASENet.mask_fc1.weight": module.attribute_feature.weight,
        "ASENet.conv2.weight": module.joint.weight,
        "ASENet.conv2.bias": module.joint.bias,
    }
    expected = reference.embedding_two(named, maps, code, 4, 2)
    torch.testing.assert_close(module(maps, code, positions=8), expected)
    assert (module(maps, code, 8) - maps.mean(dim=(2, 3))).abs().max() > 1e-3


# The parts


@pytest.mark.parametrize("chunk_bytes", [1, 4 * 7 * 11 * 2, 1 << 20])
def test_scalar_token_attention_in_chunks(monkeypatch, chunk_bytes):
    monkeypatch.setattr(fusion, "ATTENTION_BYTES", chunk_bytes)
    torch.manual_seed(0)
    inputs = [torch.randn(5, width, dtype=torch.float64, requires_grad=True) for width in (7, 11, 11)]
    expected = reference.attend(*inputs)
    actual = fusion.scalar_token_attention(*inputs)
    torch.testing.assert_close(actual, expected)
    weight = torch.randn(5, 7, dtype=torch.float64)
    gradients = [torch.autograd.grad((weight * out).sum(), inputs) for out in (actual, expected)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_the_dropout_of_chunked_attention_is_the_same_in_the_gradient(monkeypatch):
    """Computed again for the gradient, a chunk must drop the same weights: the loss is linear in the values."""
    monkeypatch.setattr(fusion, "ATTENTION_BYTES", 1)
    torch.manual_seed(0)
    query, key, value = torch.randn(4, 6), torch.randn(4, 9), torch.randn(4, 9, requires_grad=True)
    out = fusion.scalar_token_attention(query, key, value, dropout=0.5)
    (gradient,) = torch.autograd.grad(out.sum(), value)
    torch.testing.assert_close((gradient * value).sum(), out.sum())


@pytest.mark.parametrize("dropout", [0.0, 0.4])
def test_gradients_of_scalar_token_attention(monkeypatch, dropout):
    """Against differences; every call draws the same weights to drop."""
    monkeypatch.setattr(fusion, "ATTENTION_BYTES", 8 * 5 * 6 * 2)
    torch.manual_seed(0)
    inputs = [torch.randn(3, width, dtype=torch.float64, requires_grad=True) for width in (5, 6, 6)]

    def attend(*arguments):
        torch.manual_seed(1)
        return fusion.scalar_token_attention(*arguments, dropout)

    assert torch.autograd.gradcheck(attend, inputs)


def test_scalar_token_attention_draws_as_dropout_does():
    torch.manual_seed(0)
    query, key, value = torch.randn(2, 5), torch.randn(2, 6), torch.randn(2, 6)
    torch.manual_seed(1)
    weights = F.dropout((query[:, :, None] * key[:, None]).softmax(dim=2), 0.3)
    following = torch.rand(1)
    torch.manual_seed(1)
    value.requires_grad_()
    actual = fusion.scalar_token_attention(query, key, value, 0.3)
    torch.testing.assert_close(actual, (weights @ value[:, :, None]).squeeze(2))
    actual.sum().backward()  # draws the marks anew, and leaves the generator alone
    torch.testing.assert_close(torch.rand(1), following)


def test_scalar_token_attention_of_large_scores_is_finite():
    query, key = torch.tensor([[300.0, -300.0]]), torch.tensor([[1.0, 2.0, -3.0]])
    value = torch.tensor([[5.0, 6.0, 7.0]])
    torch.testing.assert_close(fusion.scalar_token_attention(query, key, value), torch.tensor([[6.0, 7.0]]))


def test_attention_of_the_paper():
    torch.manual_seed(0)
    module = fusion.TokenPairFusion(6, 8)
    f, code = torch.randn(3, 6), torch.rand(3, 8)
    rows = []
    for row, bits in zip(f, code, strict=True):
        tokens = torch.stack([row, module.attribute_feature.weight @ bits + module.attribute_feature.bias])
        attended = (tokens @ row / 6**0.5).softmax(dim=0) @ tokens
        fused = F.layer_norm(attended + row, (6,))
        z = F.layer_norm(fused + row, (6,))
        hidden = F.gelu(module.hidden.weight @ z + module.hidden.bias)
        rows.append(F.layer_norm(z + module.output.weight @ hidden + module.output.bias, (6,)))
    torch.testing.assert_close(module(f, code), torch.stack(rows), atol=1e-5, rtol=1e-4)


def test_switchable_norm_mixes_row_and_batch():
    module = SwitchableNorm(8)
    rows = torch.randint(2, (6, 8), generator=torch.Generator().manual_seed(0)).float()
    out = module(rows)
    mean = (rows.mean(1, keepdim=True) + rows.mean(0, keepdim=True)) / 2
    var = (rows.var(1, keepdim=True) + rows.var(0, keepdim=True)) / 2
    torch.testing.assert_close(out, (rows - mean) / (var + 1e-5).sqrt())
    torch.testing.assert_close(module.running_mean, 0.003 * rows.mean(0, keepdim=True))
    named = {f"n.{name}": value for name, value in module.state_dict().items()}
    torch.testing.assert_close(module.eval()(rows), reference.switchable_norm(named, "n", rows))
    with torch.no_grad():
        module.mean_weight.copy_(torch.tensor([2.0, -1.0]))
        module.var_weight.copy_(torch.tensor([-1.0, 0.5]))
    named = {f"n.{name}": value for name, value in module.state_dict().items()}
    torch.testing.assert_close(module(rows), reference.switchable_norm(named, "n", rows))


@pytest.mark.parametrize("second", [False, True])
@pytest.mark.parametrize("with_norm", [False, True])
def test_the_region_is_the_mean_of_eight_gated_maps(with_norm, second):
    torch.manual_seed(0)
    maps, gates = torch.rand(3, 5, 4, 2), torch.rand(3, 8, 5)
    module = RegionGate(5, with_norm, second)
    mean = torch.stack([maps * gates[:, at, :, None, None] for at in range(8)]).mean(dim=0)
    if with_norm:
        mean = F.batch_norm(mean, None, None, training=True)
    expected = mean.sigmoid() * maps
    torch.testing.assert_close(module(maps, gates), expected.sigmoid() if second else expected)


def test_gates_of_every_form():
    torch.manual_seed(0)
    f, maps, code = torch.randn(3, 6), torch.rand(3, 6, 4, 2), torch.randint(2, (3, 8)).float()
    per_attr = ProgressiveEmbedding(6, 8).eval()(f, maps, code)
    assert per_attr.shape == (3, 8, 6)
    torch.testing.assert_close(per_attr.norm(dim=2), torch.ones(3, 8))
    assert (per_attr[:, 0] - per_attr[:, 1]).abs().max() > 1e-3
    shared = ProgressiveEmbedding(6, 8, gates="shared", normalise_gates=False).eval()(f, maps, code)
    assert shared.shape == (3, 1, 6) and ((shared > 0) & (shared < 1)).all()
    first = ProgressiveEmbedding(6, 8, stages=1, normalise_gates=False).eval()
    torch.testing.assert_close(first(f, maps, code), first.fusion(f, code).sigmoid()[:, None])
    second = ProgressiveEmbedding(6, 8, stages=2, normalise_gates=False).eval()
    e1 = second.fusion(f, code)
    e2 = second.spatial(e1[:, :, None, None] * maps, code, 8)
    torch.testing.assert_close(second(f, maps, code), e2.sigmoid()[:, None])


def test_the_auxiliary_of_paper_and_code():
    torch.manual_seed(0)
    gates, f = torch.rand(3, 8, 5), torch.randn(3, 5)
    paper, code = (AttributeAuxiliary(5, 8, form) for form in ("paper", "code"))
    for row in range(3):
        pooled = torch.cat([gates[row, at] * f[row] for at in range(8)])
        fused = paper.fuse(pooled.sigmoid() * torch.cat([f[row]] * 8))
        expected = torch.cat([classifier(fused) for classifier in paper.classifiers])
        torch.testing.assert_close(paper(gates, f)[row], expected)
        expected = torch.cat([code.classifiers[at](gates[row, at]) for at in range(8)])
        torch.testing.assert_close(code(gates, f)[row], expected)


def test_the_attribute_loss_leaves_out_what_is_not_labelled():
    torch.manual_seed(0)
    logits, bits = torch.randn(5, 8, requires_grad=True), torch.randint(2, (5, 8)).float()
    known = torch.tensor([True, False, True, True, False])
    terms = [
        -(bit * score.sigmoid().log() + (1 - bit) * (1 - score.sigmoid()).log())
        for row in (0, 2, 3)
        for score, bit in zip(logits[row], bits[row], strict=True)
    ]
    loss = attribute_loss(logits, bits, known)
    torch.testing.assert_close(loss, sum(terms) / len(terms))
    (gradient,) = torch.autograd.grad(loss, logits)
    assert not gradient[~known].any() and gradient[known].all()
    nothing = attribute_loss(logits, bits, torch.zeros(5, dtype=torch.bool))
    nothing.backward()
    assert nothing.item() == 0 and not logits.grad.any()


# What is given to the embedding in training


def test_predictions_take_over_from_labels():
    source = AttributeInput(8, "mixed", gt_epochs=10, pred_epoch=20)
    rates = []
    for epoch in range(25):
        source.epochs_trained.fill_(epoch)
        rates.append(source.prediction_rate.item())
    assert rates[:10] == [0.0] * 10 and rates[20:] == [1.0] * 5
    np.testing.assert_allclose(np.diff(rates[9:21]), 1 / 11, atol=1e-6)
    torch.manual_seed(0)
    bits, predicted = torch.ones(4000, 8), torch.full((4000, 8), 0.25)
    source.epochs_trained.fill_(14)
    code = source(bits, torch.ones(4000, dtype=torch.bool), predicted)
    assert set(code.unique().tolist()) == {0.25, 1.0} and (code == code[:, :1]).all()
    assert (code[:, 0] == 0.25).float().mean().item() == pytest.approx(5 / 11, abs=0.03)


@pytest.mark.parametrize("source", ["gt", "mixed", "pred"])
def test_unlabelled_images_take_prediction_or_mean(source):
    module = AttributeInput(2, source, gt_epochs=10, pred_epoch=20)
    assert module.mean.tolist() == [0.5, 0.5]
    bits = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]])
    known = torch.tensor([True, False, True])
    predicted = torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], requires_grad=True)
    code = module(bits, known, predicted)
    assert not code.requires_grad
    assert module.mean.tolist() == [1.0, 0.5] and module.images == 2
    expected = {
        "gt": [[1.0, 0.0], [1.0, 0.5], [1.0, 1.0]],
        "mixed": [[1.0, 0.0], [0.3, 0.4], [1.0, 1.0]],
        "pred": predicted.tolist(),
    }
    torch.testing.assert_close(code, torch.tensor(expected[source]))
    module.eval()(bits, known, predicted)
    assert module.images == 2


def test_an_interrupted_run_goes_on_with_the_same_input():
    """Epoch and attribute mean lie in buffers: a new process that loads them ends in the same numbers."""
    overrides = ["gt_until=0", "pred_from=1", "freeze=pae", "freeze_after=0.34"]
    whole = small_trainer(overrides=overrides)
    for _ in range(3):
        train_epoch(whole)
    first = small_trainer(overrides=overrides)
    train_epoch(first)
    train_epoch(first, steps=1)
    about = {"source": "trained", "method": "paenet", "variant": "", "recipe": {}, "dataset": "", "dataset_version": ""}
    rest = {"trial": None, "train_pids": (), "num_classes": CLASSES, "seed": 0, "pretrained": "none", "precision": ""}
    saved = Checkpoint(**about, **rest, **first.state())
    second = small_trainer(overrides=overrides)
    second.method.load_state_dict(saved.model)
    second.restore(saved)
    train_epoch(second)
    train_epoch(second)
    expected, actual = whole.method.state_dict(), second.method.state_dict()
    assert expected["attribute_input.epochs_trained"] == 3 and expected["attribute_input.images"] > 0
    assert [name for name, value in expected.items() if not torch.equal(actual[name], value)] == []


@pytest.mark.parametrize(
    ("variant", "fixed"),
    [("optimise-pae-fix-aal", ("auxiliary.", "attribute_head.")), ("optimise-aal-fix-pae", ("embedding.", "region."))],
)
def test_a_part_is_fixed_from_its_epoch_on(variant, fixed):
    trainer = small_trainer(variant, ["freeze_after=0.34"])
    names = [name for name, parameter in trainer.method.named_parameters() if parameter.requires_grad]
    moved = []
    for _ in range(2):
        before = {name: value.detach().clone() for name, value in trainer.method.named_parameters()}
        train_epoch(trainer)
        now = dict(trainer.method.named_parameters())
        moved.append({name for name in names if not torch.equal(now[name], before[name])})
    assert any(name.startswith(fixed) for name in moved[0])
    assert not any(name.startswith(fixed) for name in moved[1])
    assert any(name.startswith("host.backbone.") for name in moved[1])


# The method


@pytest.mark.parametrize(("variant", "switches"), CASES)
def test_trains_and_embeds(variant, switches, batch):
    method = small_method("paenet", variant, switches)
    losses = check_losses_and_gradients(method, batch)
    options = method.recipe.model
    assert ("attributes" in losses) == (options.aal != "off")
    assert ("prediction" in losses) == (options.pae and options.attribute_head)
    width = HOST_WIDTHS.get(options.host, MAP_WIDTH)
    check_embeddings(method, batch, MAP_WIDTH if options.host_model.get("head") == "global" else width)


@pytest.mark.parametrize("host", ["agw", "ddag", "hct", "mmd", "mpanet"])
def test_without_its_parts_it_is_the_host(host):
    """The same losses, features, groups and starting weights as the host by itself."""
    settings = ["pae=false", "aal=off", f"host={host}"]
    settings += ["model.pool=avg", "backbone_lr_factor=1"] if host == "mpanet" else []
    method, alone = small_method("paenet", "", settings), small_method(host)
    assert not method.needs and not method.test_attributes
    assert {name.removeprefix("host.") for name in method.state_dict()} == set(alone.state_dict())
    assert all(torch.equal(value, method.state_dict()[f"host.{name}"]) for name, value in alone.state_dict().items())
    plain = small_batch()
    outcomes = []
    for each in (method, alone):
        torch.manual_seed(0)
        outcomes.append((each.train().losses(plain), each.eval().embed(plain.images[:6], "visible")))
    for one, other in zip(*outcomes, strict=True):
        assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    assert method.distance == alone.distance
    rates = grouped_names(alone)
    for factor, names in grouped_names(method).items():
        assert {name.removeprefix("host.") for name in names} == rates[factor]


@pytest.mark.parametrize("host", ["agw", "ddag", "mpanet", "hct"])
@pytest.mark.parametrize("dataset", ["sysu-mm01", "regdb"])
def test_a_variant_with_a_host_trains_with_its_recipe(host, dataset):
    ours, theirs = load_recipe("paenet", f"{host}-pae-aal", dataset), load_recipe(host, "", dataset)
    for section in ("input", "sampler", "augmentation", "optimizer", "schedule"):
        assert getattr(ours, section) == getattr(theirs, section)
    assert ours.loss_weights.items() >= theirs.loss_weights.items()
    assert build_host_options(ours) == theirs.model
    assert recipe_from_dict(recipe_dict(ours)) == ours
    assert recipe_from_dict(tomllib.loads(recipe_toml(ours))) == ours


def build_host_options(recipe):
    with torch.device("meta"):
        return build_method(recipe, 3).host.recipe.model


def test_the_host_learns_its_own_epoch_means():
    method = small_method("paenet", "ddag-pae-aal")
    means = {"identity": 2.0, "triplet": 1.0, "part_identity": 3.0, "graph": 9.0, "attributes": 100.0}
    method.end_of_epoch(0, {**means, "prediction": 100.0})
    assert method.host.graph_weight.item() == pytest.approx(1 / 7)
    assert method.attribute_input.epochs_trained == 1


def test_rates_of_the_official_code():
    groups = grouped_names(small_method("paenet", "official"))
    slow = {name for name in groups[0.1] if not name.startswith("host.backbone.")}
    assert slow == {"region.norm.weight", "host.neck.weight"}
    modules = {name.split(".")[0] for name in groups[1.0]}
    assert modules == {"host", "feature_neck", "embedding", "auxiliary"}
    assert {name for name in groups[1.0] if name.startswith("host.")} == {"host.classifier.weight"}
    assert "auxiliary.fuse.weight" in grouped_names(small_method("paenet"))[0.1]


def test_the_attributes_given_decide(batch):
    method = small_method("paenet").eval()
    images = batch.images[:6]
    with torch.no_grad():
        nn.init.normal_(method.attribute_head.weight, 0.0, 0.02)
        predicted = method.embed(images, "visible")
        given = method.embed_with_attributes(images, "visible", predicted["attributes"])
        other = method.embed_with_attributes(images, "visible", batch.attributes[:6])
    assert all(torch.equal(predicted[key], given[key]) for key in predicted)
    assert torch.equal(other["attributes"], batch.attributes[:6])
    assert (other["embedding"] - given["embedding"]).abs().max() > 1e-6
    assert ((predicted["attributes"] > 0) & (predicted["attributes"] < 1)).all()
    assert method.test_attributes == ("pred", "const", "gt", "shuffle")


def test_without_a_head_the_mean_stands_in(batch):
    method = small_method("paenet", "official")
    method.train().losses(batch)
    mean = batch.attributes.mean(dim=0)
    torch.testing.assert_close(method.mean_attributes, mean)
    with torch.no_grad():
        features = method.eval().embed(batch.images[:6], "visible")
    torch.testing.assert_close(features["attributes"], mean.expand(6, -1))
    assert method.test_attributes == ("const", "gt", "shuffle")


@pytest.mark.parametrize(
    ("variant", "switches", "supervises"),
    [("", [], True), ("pae", [], False), ("gt", [], False), ("aal", [], True), ("", ["attr_input=pred"], True)],
)
def test_where_the_head_supervises_the_features(variant, switches, supervises, batch):
    method = small_method("paenet", variant, switches).train()
    losses = method.losses(batch)
    losses["prediction" if "prediction" in losses else "attributes"].backward()
    reached = method.feature_neck.weight.grad is not None
    assert reached == supervises


def test_losses_of_the_description(batch):
    """The host's losses on the gated map, and the cross-entropies of both classifiers, with images without label."""
    method = small_method("paenet", "", ["gt_until=1", "pred_from=1"]).eval()
    batch = with_attributes(small_batch(), unknown=(0, 7))
    known = batch.attributes_known
    with torch.no_grad():
        actual = method.losses(batch)
        maps = method.host.batch_maps(batch)
        f = ((maps**3).mean(dim=(2, 3)) + 1e-12) ** (1 / 3)
        neck = method.feature_neck(f)
        scores = method.attribute_head(neck)
        code = torch.where(known[:, None], batch.attributes, scores.sigmoid())
        gates = method.embedding(neck, maps, code)
        region = method.region.norm(maps * gates.mean(dim=1)[:, :, None, None]).sigmoid() * maps
        expected = method.host.map_losses(region, batch)
        bits = batch.attributes[known]
        expected["prediction"] = F.binary_cross_entropy(scores[known].sigmoid(), bits)
        auxiliary = method.auxiliary(gates, f)[known].sigmoid()
        expected["attributes"] = F.binary_cross_entropy(auxiliary, bits)
    assert set(actual) == set(expected) == {"identity", "metric", "mmd", "attributes", "prediction"}
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("switches", "sentence"),
    [
        (["host=mpanet"], "'pool' must be avg with host = mpanet"),
        (["attribute_head=false"], "'attribute_head' = false needs attr_input = gt"),
        (["gt_until=0.5"], "'pred_from' must be at least 'gt_until'"),
        (["freeze_after=2"], "'freeze_after' is a share of the epochs"),
        (["model.host_model={margn = 1.0}"], "unknown key 'margn' .did you mean 'margin'"),
        (["host=caj"], "'host' must be one of"),
        (["emb=4"], "'emb' must be one of"),
    ],
)
def test_bad_switches_are_named(switches, sentence):
    with pytest.raises(UsageError, match=sentence):
        load_recipe("paenet", "", overrides=switches)


def test_a_batch_without_attributes_is_refused():
    with pytest.raises(UsageError, match="batches with attributes"):
        small_method("paenet").losses(small_batch())


@pytest.mark.parametrize(("variant", "amp"), [("", "bf16"), ("hct-pae-aal", "off")])
def test_trains_two_steps(variant, amp):
    check_two_steps("paenet", variant, amp=amp)
