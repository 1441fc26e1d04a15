"""DDAG against the goldens, a literal transcription of its description, and its ablation tables."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
from vibench.errors import UsageError
from vibench.losses import hard_triplet
from vibench.methods.ddag.graph import IdentityGraph, identity_neighbours
from vibench.methods.ddag.official import KEYS, OPTIONAL, UNUSED, unused
from vibench.methods.ddag.part_attention import WeightedPartAttention
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, method_entry

VARIANTS = ("", *method_entry("ddag").recipe_file.variants)
SWITCHES = [
    ["residual=none", "final_bn=false", "gate=free"],
    ["part_normalisation=queries", "parts=2", "test_feature=g"],
    ["graph_weight=constant", "heads=2", "graph_dim=16"],
    ["graph_output_elu=false", "graph_reduction=sum"],
    ["neck=false", "test_feature=f"],
    ["share_classifier=false", "part_aggregation=concat"],
]
CASES = [(variant, []) for variant in VARIANTS] + [("", switches) for switches in SWITCHES]


@pytest.fixture(scope="module")
def batch():
    return small_batch()


# The authors' network under the goldens' weights.


@pytest.fixture(scope="module")
def official(shared):
    weights = official_weights(shared, "ddag", UNUSED)
    method = build_method(load_recipe("ddag"), 395)
    assert set(OPTIONAL) <= set(method.state_dict())
    return load_official(method, weights, KEYS), weights


@pytest.mark.parametrize(("modality", "seed"), [("visible", 7), ("infrared", 8)])
def test_features_of_the_official_network(official, shared, modality, seed):
    method, _ = official
    expected = np.load(shared / "golden" / "models" / "ddag.npz", allow_pickle=False)
    with torch.no_grad():
        features = method.embed(golden_fill(shared).images(seed), modality)
    neck = F.normalize(features["neck"], dim=1)
    torch.testing.assert_close(features["embedding"], F.normalize(features["part"], dim=1))
    for actual, key in ((neck, modality), (features["embedding"], f"{modality}_att")):
        np.testing.assert_allclose(actual.numpy(), expected[key], atol=2e-5, rtol=0)
        difference = np.linalg.norm((actual[0] - actual[1]).numpy() - (expected[key][0] - expected[key][1]))
        assert difference < 1e-3 * np.linalg.norm(expected[key][0] - expected[key][1])


def test_graph_of_the_official_network(official):
    """The training-only branch under the authors' names: pairs concatenated, as the description has it."""
    method, weights = official
    nodes = torch.rand(8, 2048, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([3, 3, 9, 9, 3, 3, 9, 9])

    def head(x: Tensor, name: str) -> Tensor:
        h = x @ weights[f"{name}.W"]
        rows = []
        for i in range(len(x)):
            members = [j for j in range(len(x)) if labels[j] == labels[i]]
            pairs = torch.stack([torch.cat([h[i], h[j]]) for j in members])
            alpha = F.leaky_relu(pairs @ weights[f"{name}.a"], 0.2).softmax(dim=0)
            rows.append((alpha * h[members]).sum(dim=0))
        return torch.stack(rows)

    hidden = torch.cat([F.elu(head(nodes, f"attention_{i}")) for i in range(4)], dim=1)
    expected = F.log_softmax(F.elu(head(hidden, "out_att")), dim=1)
    with torch.no_grad():
        actual = method.graph(nodes, identity_neighbours(labels))
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("variant", "dropped"), [("", 0), ("b-p", 10), ("b-g", 12), ("b", 22)])
def test_files_hold_both_branches_whatever_the_variant(shared, variant, dropped):
    shapes = json.loads((shared / "checkpoints" / "ddag.json").read_text())["keys"]
    used = [key for key in shapes if not key.startswith(UNUSED)]
    names = unused(load_recipe("ddag", variant))
    assert len([key for key in used if key.startswith(names)]) == dropped


# Part attention by its equations, one part after the other.


def slow_part_attention(module: WeightedPartAttention, maps: Tensor, residual: Tensor | None) -> Tensor:
    rows_per_part = maps.shape[2] // module.parts
    bands = [maps[:, :, i * rows_per_part : (i + 1) * rows_per_part].mean(dim=(2, 3)) for i in range(module.parts)]
    u, v, z = (
        [band @ conv.weight[:, :, 0, 0].T + conv.bias for band in bands] for conv in (module.u, module.v, module.z)
    )
    enhanced = []
    for i in range(module.parts):
        weights = []
        for j in range(module.parts):
            others = [(i, k) for k in range(module.parts)]
            if module.normalised_dim == 1:
                others = [(k, j) for k in range(module.parts)]
            total = sum((u[a] * v[b]).sum(dim=1).exp() for a, b in others)
            weights.append((u[i] * v[j]).sum(dim=1).exp() / total)
        enhanced.append(sum(w[:, None] * value for w, value in zip(weights, z, strict=True)))
    if module.aggregation == "concat":
        out = torch.cat([part if residual is None else part + residual for part in enhanced], dim=1)
        return module.norm(out)
    if module.aggregation == "avg":
        out = sum(enhanced) / module.parts
    else:
        gates = [math.exp(g) / sum(math.exp(h) for h in module.gate) for g in module.gate]
        if module.gate_form == "free":
            gates = [float(g) for g in module.gate]
        out = sum(g * part for g, part in zip(gates, enhanced, strict=True))
    return module.norm(out if residual is None else out + residual)


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"aggregation": "avg"},
        {"aggregation": "concat"},
        {"gate": "free", "final_bn": False},
        {"normalisation": "queries", "parts": 2},
    ],
)
@pytest.mark.parametrize("with_residual", [True, False])
def test_part_attention_equals_its_equations(switches, with_residual):
    torch.manual_seed(0)
    module = WeightedPartAttention(8, **switches).double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    maps = torch.rand(3, 8, 6, 4, dtype=torch.float64)
    residual = torch.randn(3, 8, dtype=torch.float64) if with_residual else None
    with torch.no_grad():
        torch.testing.assert_close(module(maps, residual), slow_part_attention(module, maps, residual))


def test_the_gate_starts_uniform():
    gate = WeightedPartAttention(4, parts=5).gate
    torch.testing.assert_close(gate.data, torch.full((5,), 0.2))


# Neighbourhoods.


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_a_neighbourhood_is_the_node_and_others_of_its_identity(count):
    labels = torch.tensor([7] * 4 + [2] * 4).repeat(2)
    neighbours = identity_neighbours(labels, count)
    assert (neighbours.sum(dim=1) == count).all() and neighbours.diagonal().all()
    assert not (neighbours & (labels[:, None] != labels[None, :])).any()
    if count == 8:
        assert torch.equal(neighbours, identity_neighbours(labels))


def test_neighbours_are_drawn_evenly():
    torch.manual_seed(0)
    labels = torch.zeros(4, dtype=torch.int64)
    chosen = torch.stack([identity_neighbours(labels, 2) for _ in range(1500)]).float().mean(dim=0)
    torch.testing.assert_close(chosen, (torch.ones(4, 4) + 2 * torch.eye(4)) / 3, atol=0.06, rtol=0)


def test_scarce_identities_keep_all_they_have():
    neighbours = identity_neighbours(torch.tensor([0, 0, 1]), 8)
    assert neighbours.sum(dim=1).tolist() == [2, 2, 1]


# The whole method.


def slow_losses(method, batch) -> dict[str, Tensor]:
    """Losses of a method in eval mode, from the description."""
    maps = method.batch_maps(batch)
    f = maps.mean(dim=(2, 3))
    g = method.neck(f)
    options = method.recipe.model
    losses = {
        "identity": F.cross_entropy(g @ method.classifier.weight.T, batch.labels),
        "triplet": hard_triplet(f, batch.labels, 0.3),
    }
    if options.part_attention:
        x = slow_part_attention(method.part_attention, maps, f if options.residual == "identity" else g)
        classifier = method.part_classifier or method.classifier
        losses["part_identity"] = F.cross_entropy(x @ classifier.weight.T, batch.labels)
    if method.graph is not None:
        log_probabilities = method.graph(f, batch.labels[:, None] == batch.labels[None, :])
        picked = [log_probabilities[row, label] for row, label in enumerate(batch.labels)]
        losses["graph"] = -method.graph_weight * sum(picked) / len(picked)
    return losses


@pytest.mark.parametrize("variant", ["", "b", "b-p", "b-g", "part-avg-res", "part-concat-res", "part-weight-res"])
def test_losses_of_the_description(variant):
    batch = small_batch(height=96)  # six rows of the map, two for each part
    method = small_method("ddag", variant).eval()
    method.end_of_epoch(0, {"identity": 1.0})
    with torch.no_grad():
        actual, expected = method.losses(batch), slow_losses(method, batch)
    assert set(actual) == set(expected)
    for name, loss in expected.items():
        torch.testing.assert_close(actual[name], loss, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("variant", "switches"), CASES)
def test_trains_and_embeds(variant, switches, batch):
    method = small_method("ddag", variant, switches)
    method.end_of_epoch(0, {"identity": 1.0, "graph": 3.0})
    check_losses_and_gradients(method, batch)
    concatenated = method.recipe.model.part_aggregation == "concat"
    check_embeddings(method, batch, MAP_WIDTH * (3 if concatenated else 1))


@pytest.mark.parametrize("variant", ["", "b", "part-concat-res"])
def test_the_head_trains_at_the_full_rate(variant):
    groups = grouped_names(small_method("ddag", variant))
    assert set(groups) == {0.1, 1.0}
    assert all(name.startswith("backbone.") for name in groups[0.1])
    assert not [name for name in groups[1.0] if name.startswith("backbone.")]


def test_the_graph_weight_follows_the_other_losses_of_the_epoch_before():
    method = small_method("ddag", "", ["loss_weights.triplet=0.5"])
    assert method.graph_weight == 0
    method.end_of_epoch(0, {"identity": 6.0, "triplet": 2.0, "part_identity": 6.0, "graph": 100.0})
    torch.testing.assert_close(method.graph_weight, torch.tensor(1 / 14))
    again = small_method("ddag")
    again.load_state_dict(method.state_dict())
    assert again.graph_weight == method.graph_weight


def test_a_constant_graph_weight_is_the_recipes(batch):
    method = small_method("ddag", "", ["graph_weight=constant"]).eval()
    dynamic = small_method("ddag").eval()
    method.end_of_epoch(0, {"identity": 6.0})
    assert "graph_weight" not in method.state_dict()
    dynamic.load_state_dict(method.state_dict(), strict=False)
    dynamic.graph_weight.fill_(1.0)
    with torch.no_grad():
        torch.testing.assert_close(method.losses(batch)["graph"], dynamic.losses(batch)["graph"])


def test_the_graph_is_silent_in_the_first_epoch_and_heard_in_the_second(batch):
    trainer = check_two_steps("ddag", overrides=["weight_decay=0", "graph_dim=16", "graph_dropout=0"])
    fresh = dict(small_method("ddag", overrides=["graph_dim=16"]).graph.named_parameters())
    graph = dict(trainer.method.graph.named_parameters())
    assert all(torch.equal(graph[name], fresh[name]) for name in graph)
    weight = trainer.method.graph_weight.item()
    assert 0 < weight < 1
    report = trainer.train_epoch(lambda: False, lambda count, status="": None)
    assert report.losses["graph"] > 0
    assert not all(torch.equal(graph[name], fresh[name]) for name in graph)
    assert trainer.method.graph_weight.item() != weight


@pytest.mark.parametrize("variant", ["b-g", "part-concat-res", "ng-2"])
def test_trains_two_steps(variant):
    check_two_steps("ddag", variant, amp="bf16")


def test_variants_that_are_said_to_be_equal_are():
    for one, other in (("", "b-p-g"), ("b-p", "part-weight-rbn")):
        assert load_recipe("ddag", one).model == load_recipe("ddag", other).model
    eight = small_batch()
    for one, other in (("b-g", "ng-8"), ("b", "ng-0")):
        first, second = (small_method("ddag", variant).eval() for variant in (one, other))
        second.load_state_dict(first.state_dict())
        expected = first.losses(eight)
        for name, loss in second.losses(eight).items():
            torch.testing.assert_close(loss, expected[name])


def test_b_is_the_baseline(batch):
    b, baseline = small_method("ddag", "b").eval(), small_method("baseline").eval()
    baseline.load_state_dict(b.state_dict())
    expected = baseline.losses(batch)
    assert {name: loss.item() for name, loss in b.losses(batch).items()} == pytest.approx(
        {name: loss.item() for name, loss in expected.items()}
    )
    ranked = (method.embed(batch.images[:2], "visible")["embedding"] for method in (b, baseline))
    torch.testing.assert_close(*ranked)


def test_the_ranked_feature_is_the_one_asked_for(batch):
    for switch, key in (("part", "part"), ("g", "neck"), ("f", "pooled")):
        method = small_method("ddag", "", [f"test_feature={switch}"]).eval()
        with torch.no_grad():
            features = method.embed(batch.images[:2], "visible")
        torch.testing.assert_close(features["embedding"], F.normalize(features[key], dim=1))
        assert set(features) == {"embedding", "pooled", "neck", "part"}


def test_the_output_may_skip_its_elu():
    torch.manual_seed(0)
    nodes, labels = torch.randn(4, 6), torch.tensor([0, 0, 1, 1])
    with_elu, without = (IdentityGraph(6, 3, 2, 5, 0.0, output_elu).eval() for output_elu in (True, False))
    without.load_state_dict(with_elu.state_dict())
    scores = without.output(
        torch.cat([F.elu(head(nodes, identity_neighbours(labels))) for head in without.heads], dim=1),
        identity_neighbours(labels),
    )
    torch.testing.assert_close(without(nodes, identity_neighbours(labels)), scores.log_softmax(dim=1))
    torch.testing.assert_close(with_elu(nodes, identity_neighbours(labels)), F.elu(scores).log_softmax(dim=1))


@pytest.mark.parametrize("override", ["parts=0", "heads=0", "graph_dim=0", "graph_neighbours=-2", "graph_dropout=1"])
def test_impossible_settings_are_refused(override):
    with pytest.raises(UsageError, match=override.partition("=")[0]):
        load_recipe("ddag", overrides=[override])
