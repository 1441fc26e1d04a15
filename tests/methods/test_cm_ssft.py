"""cm-SSFT against the paper's equations: network, graphs of both query modes, losses, and the signs of the game."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor

from tests.losses.test_losses import loop_distance
from tests.methods import cm_ssft_reference as reference
from tests.methods.checks import (
    HEIGHT,
    MAP_WIDTH,
    WIDTH,
    check_losses_and_gradients,
    check_two_steps,
    grouped_names,
    small_batch,
    small_method,
    two_step_trainer,
)
from tests.methods.literal.official import load_fill
from vibench.conformance.contract import check_contract
from vibench.data.batch import Batch
from vibench.errors import UsageError
from vibench.methods.cm_ssft import CmSSFT
from vibench.methods.cm_ssft import method as module
from vibench.methods.cm_ssft.query_graph import CHUNK_BYTES, TILE_BYTES, graph_distances, working_bytes
from vibench.methods.cm_ssft.transfer import TransferNetwork, affinity, segments, training_graph
from vibench.methods.cm_ssft.triplet import cross_modality_triplet, same_modality_triplet
from vibench.methods.recipe import load_recipe
from vibench.methods.registry import build_method, method_entry

DOUBLES = ("shl-spl-moa-pa-re-sht-spt", "baseline-w-aug", "w-aug")
"""Other names of variants that are tried already."""
VARIANTS = ("", *method_entry("cm-ssft").recipe_file.variants)
NAMES = ("visible", "infrared")
ADVERSARIES = ("discriminator.", "projection.")


@pytest.fixture(scope="module")
def batch() -> Batch:
    return small_batch()


# The network.


def test_features_of_the_paper(shared) -> None:
    recipe = load_recipe("cm-ssft", "shl-spl-sht-spt", overrides=["transfer_dim=32"])
    method = build_method(recipe, 5).eval()
    weights = load_fill(shared).fill_state_dict(method.state_dict())
    method.load_state_dict(weights)
    padded = {}
    for modality, seed in (("visible", 7), ("infrared", 8)):
        images = load_fill(shared).images(seed, batch=3, height=96, width=48)
        with torch.no_grad():
            h, p = reference.shared_and_specific(images, modality, weights)
            found = method.embed(images, modality)
        slots = [p, h, torch.zeros_like(h)] if modality == "visible" else [torch.zeros_like(h), h, p]
        expected = {"shared": h, "specific": p, "embedding": torch.cat(slots, dim=1)}
        assert set(found) == set(expected)
        for name, value in expected.items():
            lengths = value.norm(dim=1, keepdim=True)
            torch.testing.assert_close(found[name] / lengths, value / lengths, atol=2e-5, rtol=0)
            difference = (found[name][0] - found[name][1]) - (value[0] - value[1])
            assert difference.norm() < 1e-3 * (value[0] - value[1]).norm()
        padded[modality] = found["embedding"]
    with torch.no_grad():
        for mode, size in (("single", 1), ("all", 3)):
            found = method.distances(padded["infrared"], padded["visible"], mode)
            expected = reference.group_distances(padded["infrared"], padded["visible"], size, weights, k=4)
            np.testing.assert_allclose(found.numpy(), expected, atol=2e-5)


def test_parts_and_their_shapes() -> None:
    method = build_method(load_recipe("cm-ssft"), 7)
    assert isinstance(method, CmSSFT)
    shapes = {name: tuple(value.shape) for name, value in method.named_parameters()}
    assert shapes["transfer.mix.weight"] == (2048, 6144)
    assert shapes["projection.theta.visible.weight"] == (2048, 2048)
    linear = [shapes[f"discriminator.layers.{place}.weight"] for place in (0, 3, 6)]
    assert linear == [(512, 2048), (256, 512), (2, 256)]
    convolutions = [shapes[f"decoder.visible.{place}.weight"] for place in (0, 3, 6, 9, 12)]
    assert convolutions == [(256, 4096, 3, 3), *[(256, 64, 3, 3)] * 3, (3, 64, 3, 3)]
    classifiers = {name: shape for name, shape in shapes.items() if name.startswith("classifier_")}
    assert set(classifiers) == {
        "classifier_shared.weight",
        "classifier_specific.visible.weight",
        "classifier_specific.infrared.weight",
        "classifier_transferred.weight",
    }
    assert set(classifiers.values()) == {(7, 2048)}
    for name in ("specific.visible", "specific.infrared"):
        ours, theirs = method.get_submodule(name).state_dict(), method.backbone.shared.state_dict()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
        assert ours["layer3.0.conv1.weight"].data_ptr() != theirs["layer3.0.conv1.weight"].data_ptr()
    assert not method.shared_block.layer.bias.requires_grad
    assert method.backbone.shared.layer4[0].conv2.stride == (1, 1)


def test_the_decoder_draws_images_of_the_input_size(batch) -> None:
    method = small_method("cm-ssft")
    maps = torch.randn(2, 2 * MAP_WIDTH, HEIGHT // 16, WIDTH // 16)
    assert method.decoder["visible"](maps).shape == (2, 3, HEIGHT, WIDTH)


# Graphs.


def nodes(count: int, width: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Z and modality of as many visible as infrared images, float64."""
    generator = torch.Generator().manual_seed(seed)
    modality = torch.tensor([0] * count + [1] * count)
    h, p = torch.randn(2, 2 * count, width, generator=generator, dtype=torch.float64)
    return segments(h, p, modality), modality


def network(k: int = 4, bnneck: bool = True, width: int = 6, **changes: bool) -> TransferNetwork:
    torch.manual_seed(0)
    made = TransferNetwork(width, 5, k, bnneck, **{"sht": True, "spt": True, "affinity_grad": True, **changes})
    if bnneck:
        torch.nn.init.uniform_(made.block.layer.running_mean)
        torch.nn.init.uniform_(made.block.layer.running_var, 0.5, 2.0)
    return made.double().eval()


def weights_of(made: TransferNetwork) -> dict[str, Tensor]:
    return {f"transfer.{name}": value for name, value in made.state_dict().items()}


@pytest.mark.parametrize("k", [1, 3, 4, 9])
def test_training_graph(k: int) -> None:
    """The four blocks apart, one row at a time."""
    padded, modality = nodes(5)
    rows = padded.numpy()
    h, p = reference.split(rows)
    visible, infrared = range(5), range(5, 10)
    expected = np.zeros((10, 10))
    for ones, others in itertools.product((visible, infrared), repeat=2):
        features = p if ones is others else h
        table = reference.entries([features[i] for i in ones], [features[j] for j in others], ones is others)
        expected[np.ix_(ones, others)] = reference.top(table, k)
    found = training_graph(padded, modality, k)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    assert ((found > 0).sum(dim=1) == 2 * min(k, 5)).all()
    assert torch.equal(found.diagonal(), torch.ones(10, dtype=torch.float64))


def test_the_transfer_of_a_training_batch() -> None:
    made, (padded, modality) = network(), nodes(5)
    graph = training_graph(padded, modality, 4).numpy()
    spread = torch.from_numpy(reference.propagate(graph, padded.numpy(), made.mix.weight.detach().numpy()))
    f, g = made(padded, modality)
    torch.testing.assert_close(f, spread)
    torch.testing.assert_close(g, reference.feature(spread, weights_of(made)))


def test_affinity_of_equal_features_has_a_finite_gradient() -> None:
    rows = torch.ones(3, 4, requires_grad=True)
    affinity(rows, rows).sum().backward()
    assert torch.isfinite(rows.grad).all()
    torch.testing.assert_close(affinity(rows, rows).detach(), torch.ones(3, 3), atol=1e-3, rtol=0)
    assert affinity(rows, -rows).abs().max() < 1e-6


def test_gradients_of_the_graph_follow_its_kept_entries() -> None:
    """By finite differences, which see the choice of neighbours as constant unless it changes."""
    made, (padded, modality) = network(), nodes(4)
    assert torch.autograd.gradcheck(lambda z: made(z, modality)[1], padded.requires_grad_(True), atol=1e-6)


def test_the_gradient_of_the_affinities_can_be_switched_off() -> None:
    made, (padded, modality) = network(), nodes(4)
    padded.requires_grad_(True)
    frozen = training_graph(padded, modality, 4).detach()
    scale = frozen.sum(dim=1).rsqrt()
    expected = torch.autograd.grad(
        ((scale[:, None] * frozen * scale) @ made.mixed(padded)).relu().sum(), padded, retain_graph=True
    )[0]
    made.affinity_grad = False
    assert torch.allclose(torch.autograd.grad(made(padded, modality)[0].sum(), padded)[0], expected)
    made.affinity_grad = True
    assert not torch.allclose(torch.autograd.grad(made(padded, modality)[0].sum(), padded)[0], expected)


def test_slots_that_are_not_transferred_do_not_count() -> None:
    padded, modality = nodes(4)
    h, p = padded[:, 6:12], padded[:, :6] + padded[:, 12:]
    only_p, only_h = network(sht=False), network(spt=False)
    torch.testing.assert_close(only_p.mixed(padded), only_p.mixed(segments(2 * h, p, modality)))
    torch.testing.assert_close(only_h.mixed(padded), only_h.mixed(segments(h, 2 * p, modality)))
    assert not torch.allclose(only_p.mixed(padded), only_p.mixed(segments(h, 2 * p, modality)))
    assert not torch.allclose(only_h.mixed(padded), only_h.mixed(segments(2 * h, p, modality)))


# Testing: one graph per group of queries.


def sides(queries: int, images: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Z of infrared queries and a visible gallery, float64."""
    padded, modality = nodes(max(queries, images), seed=seed)
    return padded[modality == 1][:queries], padded[modality == 0][:images]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize(("bnneck", "k", "images"), [(True, 4, 11), (False, 3, 11), (True, 4, 3)])
def test_groups_of_queries_against_the_naive_loop(size: int, bnneck: bool, k: int, images: int) -> None:
    """Seven queries: groups of one are Eq. (22), a group of seven the joint graph; the last group may be smaller."""
    made, (query, gallery) = network(k, bnneck), sides(7, images)
    expected = reference.group_distances(query, gallery, size, weights_of(made), k)
    with torch.no_grad():
        found = graph_distances(made, query, gallery, size)
        in_float32 = graph_distances(made.float(), query.float(), gallery.float(), size)
    assert found.dtype == torch.float64 and in_float32.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(in_float32.numpy(), expected, atol=2e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("size", [1, 4, 40])
def test_groups_of_queries_on_a_gpu(size: int) -> None:
    made, (query, gallery) = network(), sides(40, 90)
    with torch.no_grad():
        expected = graph_distances(made, query, gallery, size)
        found = graph_distances(made.cuda(), query.cuda(), gallery.cuda(), size)
    torch.testing.assert_close(found.cpu(), expected, atol=1e-10, rtol=0)


@pytest.mark.parametrize(("free", "share"), [(80 << 30, 1 << 30), (6 << 30, (6 << 30) // 16), (0, 1)])
def test_graphs_take_a_part_of_what_a_gpu_has_free(monkeypatch: pytest.MonkeyPatch, free: int, share: int) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: asked.append(device) or (free, 80 << 30))
    for most in (CHUNK_BYTES, TILE_BYTES):
        assert working_bytes(most, torch.device("cuda:1")) == share
        assert working_bytes(most, torch.device("cpu")) == most["cpu"]
    assert asked == 2 * [torch.device("cuda:1")]


@pytest.mark.parametrize("size", [1, 3, 8])
def test_chunks_and_tiles_change_nothing(size: int) -> None:
    made, (query, gallery) = network(), sides(8, 13)
    with torch.no_grad():
        whole = graph_distances(made, query, gallery, size)
        for chunk, tile in ((1, 1), (1 << 14, 1 << 9), (1 << 30, 200)):
            found = graph_distances(made, query, gallery, size, chunk_bytes=chunk, tile_bytes=tile)
            torch.testing.assert_close(found, whole, atol=1e-12, rtol=0)


@pytest.mark.parametrize("size", [1, 3, 8])
def test_pairs_kept_apart_against_the_naive_loop(size: int) -> None:
    made, (query, gallery) = network(), sides(8, 13)
    apart = torch.rand(8, 13, generator=torch.Generator().manual_seed(3)) < 0.4
    with torch.no_grad():
        found = graph_distances(made, query, gallery, size, apart)
        unmasked = graph_distances(made, query, gallery, size)
    expected = reference.group_distances(query, gallery, size, weights_of(made), 4, apart)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
    assert not torch.allclose(found, unmasked)


def test_all_queries_are_the_graph_of_the_training() -> None:
    made, (query, gallery) = network(), sides(6, 6)
    padded = torch.cat([gallery, query])
    _, transferred = made(padded, torch.tensor([0] * 6 + [1] * 6))
    directions = functional.normalize(transferred, dim=1)
    expected = 1 - directions[6:] @ directions[:6].T
    torch.testing.assert_close(graph_distances(made, query, gallery, 6), expected)


def test_query_modes_of_the_method(batch) -> None:
    method = small_method("cm-ssft").eval()
    with torch.no_grad():
        gallery = method.embed(batch.images[:6], "visible")["embedding"]
        query = method.embed(batch.images[6:], "infrared")["embedding"]
        single, together = (method.distances(query, gallery, mode) for mode in ("single", "all"))
        alone = torch.cat([method.distances(row[None], gallery, "all") for row in query])
    weights = dict(method.state_dict())
    np.testing.assert_allclose(single, reference.group_distances(query, gallery, 1, weights, 4), atol=1e-5)
    np.testing.assert_allclose(together, reference.group_distances(query, gallery, 6, weights, 4), atol=1e-5)
    torch.testing.assert_close(alone, single)
    assert method.test_time_information == "gallery+queries" and method.has_own_distance()


@pytest.mark.parametrize("variant", ["shl", "shl-spl-moa-pa-re", "baseline-wo-aug", "shared-feature"])
def test_h_is_ranked_by_its_cosine(variant: str, batch) -> None:
    method = small_method("cm-ssft", variant).eval()
    with torch.no_grad():
        gallery, query = method.embed(batch.images[:6], "visible"), method.embed(batch.images[6:], "infrared")
        cosine = functional.cosine_similarity(query["shared"][:, None], gallery["shared"][None], dim=2)
        for mode in ("all", "single"):
            found = method.distances(query["embedding"], gallery["embedding"], mode)
            torch.testing.assert_close(found, 1 - cosine)
    assert method.test_time_information == "none" and not method.has_own_distance()
    assert CmSSFT.test_time_information == "gallery+queries"
    dropped = method.training_only()
    assert not [n for n, _ in method.named_parameters() if n.startswith("specific") and not n.startswith(dropped)]


# Losses.


def loop_triplet(x: Tensor, y: Tensor, m: Tensor, margin: float, across: bool, mining: str) -> float:
    """Eq. (3) and (4), the mean over every anchor modality's anchors or triplets."""
    total = 0.0
    for code in (0, 1):
        terms = []
        for i in range(len(y)):
            if m[i] != code:
                continue
            others = [j for j in range(len(y)) if (m[j] != code) == across]
            positives = [loop_distance(x[i], x[j]) for j in others if y[j] == y[i] and (j != i or mining == "hard")]
            negatives = [loop_distance(x[i], x[j]) for j in others if y[j] != y[i]]
            if mining == "hard":
                terms.append(max(0.0, margin + max(positives, default=0.0) - min(negatives)))
            else:
                terms += [max(0.0, margin + a - b) for a in positives for b in negatives]
        total += sum(terms) / max(len(terms), 1)
    return total


@pytest.mark.parametrize("mining", ["hard", "all"])
@pytest.mark.parametrize(("loss", "across"), [(cross_modality_triplet, True), (same_modality_triplet, False)])
@pytest.mark.parametrize("images", [1, 3])
def test_triplets_against_loops(loss, across: bool, mining: str, images: int) -> None:
    generator = torch.Generator().manual_seed(images)
    labels = torch.arange(4).repeat_interleave(images).repeat(2)
    modality = torch.tensor([0, 1]).repeat_interleave(4 * images)
    x = torch.randn(len(labels), 3, generator=generator, dtype=torch.float64)
    order = torch.randperm(len(labels), generator=generator)
    found = loss(x[order], labels[order], modality[order], 0.5, mining)
    assert found.item() == pytest.approx(loop_triplet(x, labels, modality, 0.5, across, mining), abs=1e-9)


def slow_losses(method: CmSSFT, batch: Batch) -> dict[str, float]:
    """The losses of a method in eval mode, from the equations and the outputs of its streams."""
    options, y, m = method.recipe.model, batch.labels, batch.modality
    half = len(batch) // 2
    low = [
        method.backbone.specific(visible=batch.images[:half]),
        method.backbone.specific(infrared=batch.images[half:]),
    ]
    empty = method.backbone.inserted
    h_maps = torch.cat([method.backbone.shared(part, empty) for part in low])
    p_maps = [method.specific[name](part, empty) for name, part in zip(NAMES, low, strict=True)]
    h, p = h_maps.mean(dim=(2, 3)), torch.cat(p_maps).mean(dim=(2, 3))
    h_g = method.shared_block.layer(h)
    p_g = [method.specific_block[NAMES[place]].layer(part) for place, part in enumerate(p.chunk(2))]
    if not options.bnneck:
        h, p = h_g, torch.cat(p_g)
    zeros = torch.zeros_like(p_g[0])
    z = torch.cat([torch.cat([p_g[0], h_g[:half], zeros], 1), torch.cat([zeros, h_g[half:], p_g[1]], 1)])
    t, t_g = method.transfer(z, m)
    images = [
        method.decoder[name](torch.cat([of_p, of_h], dim=1))
        for name, of_p, of_h in zip(NAMES, p_maps, h_maps.chunk(2), strict=True)
    ]
    errors = [(method.projection.theta[NAMES[m[i]]].weight @ torch.cat(p_g)[i] - h_g[i]).norm() for i in range(len(y))]
    logits = method.discriminator.layers(h_g)
    specific = [
        functional.cross_entropy(part @ method.classifier_specific[name].weight.T, label)
        for name, part, label in zip(NAMES, p_g, y.chunk(2), strict=True)
    ]
    mining, one, two = options.mining, options.cross_margin, options.same_margin
    losses = {
        "shared_identity": functional.cross_entropy(h_g @ method.classifier_shared.weight.T, y),
        "shared_triplet": loop_triplet(h, y, m, one, True, mining),
        "specific_identity": specific[0] + specific[1],
        "specific_triplet": loop_triplet(p, y, m, two, False, mining),
        "transferred_identity": functional.cross_entropy(t_g @ method.classifier_transferred.weight.T, y),
        "transferred_triplet": loop_triplet(t, y, m, one, True, mining) + loop_triplet(t, y, m, two, False, mining),
        "reconstruction": ((torch.cat(images) - batch.images) ** 2).mean(),
        "modality": -torch.stack([logits[i].log_softmax(0)[m[i]] for i in range(len(y))]).mean(),
        "projection": torch.stack(errors).mean(),
        "projection_ratio": torch.stack(errors).mean() / h_g.norm(dim=1).mean(),
    }
    return {name: float(value) for name, value in losses.items()}


@pytest.mark.parametrize("switches", [[], ["mining=all", "cross_margin=0.5", "same_margin=0.2"], ["bnneck=false"]])
def test_losses_of_the_equations(switches: list[str], batch) -> None:
    # In float64, for distances of nearly equal features keep few digits of float32.
    method, batch = small_method("cm-ssft", "", switches).eval().double(), replace(batch, images=batch.images.double())
    with torch.no_grad():
        found = {name: loss.item() for name, loss in method.losses(batch).items()}
        expected = slow_losses(method, batch)
    assert found == pytest.approx(expected, rel=1e-4)


def test_weights_of_the_losses() -> None:
    """L(H), L(P), L(T) of Eq. (18), lambda1, and 1 for the games, whose lambdas act on the reversed gradients."""
    assert load_recipe("cm-ssft").loss_weights == {
        "shared_identity": 1.0,
        "shared_triplet": 0.5,
        "specific_identity": 0.5,
        "specific_triplet": 0.5,
        "transferred_identity": 1.0,
        "transferred_triplet": 0.25,
        "reconstruction": 1.0,
        "modality": 1.0,
        "projection": 1.0,
        "projection_ratio": 0.0,
    }


# The game.


def gradients(method: CmSSFT, loss: Tensor) -> dict[str, Tensor]:
    """By name, of the parameters that ``loss`` reaches."""
    named = {name: value for name, value in method.named_parameters() if value.requires_grad}
    found = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
    return {name: gradient for name, gradient in zip(named, found, strict=True) if gradient is not None}


def weighed(method: CmSSFT, losses: dict[str, Tensor]) -> Tensor:
    weights = method.recipe.loss_weights
    return torch.stack([weights[name] * loss for name, loss in losses.items()]).sum()


@pytest.mark.parametrize("to_shared", ["false", "true"])
def test_signs_of_the_game(to_shared: str, batch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network descends on L_min of Eq. (20), the adversaries on L_ma + L_pa (they maximise the printed L_max)."""
    method = small_method("cm-ssft", "", [f"pa_grad_to_shared={to_shared}", "lambda_moa=0.3"]).train()
    found = gradients(method, weighed(method, method.losses(batch)))

    monkeypatch.setattr(module, "reverse_gradient", lambda features, factor: features)
    plain = method.losses(batch)
    ma, pa = plain["modality"], plain["projection"]
    rest = {name: loss for name, loss in plain.items() if name not in ("modality", "projection")}
    network = gradients(method, weighed(method, rest) - 0.3 * ma - 0.2 * pa)
    adversaries = gradients(method, ma + pa)
    assert set(found) == set(network)
    for name, gradient in found.items():
        expected = adversaries[name] if name.startswith(ADVERSARIES) else network[name]
        torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-3)
    # Who meets which game at all.
    assert {name.split(".")[0] for name in gradients(method, ma)} == {"backbone", "shared_block", "discriminator"}
    met = {"backbone", "specific", "specific_block", "projection"}
    assert {name.split(".")[0] for name in gradients(method, pa)} == (
        met | {"shared_block"} if to_shared == "true" else met
    )
    reaches_shared = any(name.startswith("backbone.shared") for name in gradients(method, pa))
    assert reaches_shared == (to_shared == "true")


def test_losses_of_the_adversaries_reach_nothing_else(batch) -> None:
    method = small_method("cm-ssft", "", ["adv=alternate"]).train()
    seen = method.losses(batch)
    losses = method.adversary_losses()
    assert set(losses) == {"modality", "projection"}
    assert all(losses[name].item() == pytest.approx(seen[name].item(), rel=1e-5) for name in losses)
    assert all(name.startswith(ADVERSARIES) for name in gradients(method, sum(losses.values())))
    assert not small_method("cm-ssft").adversaries()


STILL = ("augmentation.flip=0", "augmentation.pad=0", "augmentation.erasing=0", "decoder_channels=8")


def one_step(*overrides: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Parameters before and after one step of the trainer."""
    trainer = two_step_trainer("cm-ssft", "", [*STILL, *overrides])
    before = {name: value.detach().clone() for name, value in trainer.method.named_parameters()}
    stopped = iter([True])
    trainer.train_epoch(lambda: next(stopped), lambda count, status="": None)
    return before, dict(trainer.method.named_parameters())


def test_alternating_steps_move_as_reversed_gradients_do() -> None:
    """Both adversaries see the features of the same forward pass; only the norm that is clipped would differ."""
    before, reversal = one_step()
    _, alternate = one_step("adv=alternate")
    moved = [name for name, value in reversal.items() if not torch.equal(value, before[name])]
    assert any(name.startswith("discriminator.") for name in moved)
    assert any(name.startswith("projection.") for name in moved) and any(name.startswith("backbone.") for name in moved)
    for name, value in alternate.items():
        torch.testing.assert_close(value, reversal[name], atol=1e-5, rtol=1e-4)


def test_each_step_of_the_alternation_moves_its_own_side_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Descent for whom it concerns: L_ma + L_pa fall in the max step, L_min in the step of the network."""
    trainer = two_step_trainer("cm-ssft", "", [*STILL, "adv=alternate", "optimizer.lr=1e-4"])
    method, states, update = trainer.method, [], trainer._update

    def watched(*arguments, **keywords) -> None:
        before = {name: value.detach().clone() for name, value in method.named_parameters()}
        games = [sum(method.adversary_losses().values()).item()]
        update(*arguments, **keywords)
        games.append(sum(method.adversary_losses().values()).item())
        states.append(({n for n, value in method.named_parameters() if not torch.equal(value, before[n])}, games))

    monkeypatch.setattr(trainer, "_update", watched)
    stopped = iter([True])
    trainer.train_epoch(lambda: next(stopped), lambda count, status="": None)
    (network, _), (adversaries, (before, after)) = states
    assert network and not [name for name in network if name.startswith(ADVERSARIES)]
    assert adversaries and all(name.startswith(ADVERSARIES) for name in adversaries)
    assert after < before


def test_alternating_steps_resume() -> None:
    settings = [*STILL, "adv=alternate"]
    silent = lambda count, status="": None  # noqa: E731
    whole = two_step_trainer("cm-ssft", "", settings)
    whole.train_epoch(lambda: False, silent)
    first = two_step_trainer("cm-ssft", "", settings)
    stopped = iter([True])
    first.train_epoch(lambda: next(stopped), silent)
    second = two_step_trainer("cm-ssft", "", settings)
    second.method.load_state_dict(first.method.state_dict())
    second._optimizer.load_state_dict(first._optimizer.state_dict())
    second.step, second._loss_sums = first.step, first._loss_sums
    second.train_epoch(lambda: False, silent)
    for name, value in second.method.state_dict().items():
        assert torch.equal(value, whole.method.state_dict()[name]), name


# As a method.

SWITCHES = [
    ["graph_feature=f", "transfer_dim=40", "k=2", "affinity_grad=false"],
    ["adv=alternate", "mining=all", "pa_grad_to_shared=true", "discriminator_dims=[8]"],
    ["model.input=grey", "specific_stages=1", "decoder_channels=8"],
    ["shl=false", "re=false", "last_stride=2"],
]


@pytest.mark.parametrize(
    ("variant", "switches"), [*((v, []) for v in VARIANTS if v not in DOUBLES), *(("", s) for s in SWITCHES)]
)
def test_trains_and_embeds(variant: str, switches: list[str], batch) -> None:
    method = small_method("cm-ssft", variant, switches)
    check_losses_and_gradients(method, batch)
    method.eval()
    with torch.no_grad():
        visible = method.embed(batch.images[:6], "visible")["embedding"]
    assert (
        visible.shape == (6, 3 * MAP_WIDTH if method.ranks_transferred else MAP_WIDTH)
        and visible.dtype == torch.float32
    )


@pytest.mark.parametrize("variants", [("shl",), pytest.param(VARIANTS, marks=pytest.mark.slow)])
def test_keeps_the_contract(variants: tuple[str, ...]) -> None:
    findings = check_contract("cm-ssft", variants)
    assert all(finding.passed for finding in findings), findings


@pytest.mark.parametrize("amp", ["off", "bf16"])
def test_two_steps(amp: str) -> None:
    check_two_steps("cm-ssft", amp=amp)


def test_every_parameter_trains_at_one_rate() -> None:
    assert set(grouped_names(small_method("cm-ssft"))) == {1.0}


def test_variants_are_the_rows_of_the_tables() -> None:
    rows = {
        "shl": (),
        "shl-spl": ("spl",),
        "shl-spl-moa": ("spl", "moa"),
        "shl-spl-moa-pa": ("spl", "moa", "pa"),
        "shl-spl-moa-pa-re": ("spl", "moa", "pa", "re"),
        "shl-spl-sht-spt": ("spl", "sht", "spt"),
        "shl-spl-moa-sht-spt": ("spl", "moa", "sht", "spt"),
        "shl-spl-moa-pa-sht-spt": ("spl", "moa", "pa", "sht", "spt"),
        "shl-spl-moa-pa-re-sht": ("spl", "moa", "pa", "re", "sht"),
        "shl-spl-moa-pa-re-spt": ("spl", "moa", "pa", "re", "spt"),
        "shl-spl-moa-pa-re-sht-spt": ("spl", "moa", "pa", "re", "sht", "spt"),
        "baseline-w-aug": (),
        "w-aug": ("spl", "moa", "pa", "re", "sht", "spt"),
        "baseline-wo-aug": (),
        "wo-aug": ("spl", "moa", "pa", "re", "sht", "spt"),
    }
    for variant, parts in rows.items():
        recipe = load_recipe("cm-ssft", variant)
        assert recipe.model.shl
        assert [part for part in ("spl", "moa", "pa", "re", "sht", "spt") if getattr(recipe.model, part)] == list(parts)
        augmented = not variant.endswith("wo-aug")
        assert (recipe.model.bnneck, recipe.augmentation.erasing) == (augmented, 0.5 if augmented else 0.0)


@pytest.mark.parametrize(
    ("switches", "words"),
    [
        (["spl=false"], "'pa' needs the specific streams"),
        (["last_stride=2"], "'re' needs feature maps"),
        (["shl=false", "sht=false", "spt=false"], "'shl'"),
        (["k=0"], "'k' must be at least 1"),
        (["specific_stages=5"], "'specific_stages' must be 1 to 4"),
        (["lambda_pa=-1"], "'lambda_pa' must not be negative"),
        (["discriminator_dims=[0]"], "'discriminator_dims'"),
    ],
)
def test_options_that_do_not_fit(switches: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_recipe("cm-ssft", overrides=switches)
