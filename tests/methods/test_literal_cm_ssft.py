"""cm-SSFT against its literal version, `tests.methods.literal.cm_ssft`: losses, gradients, graphs, training steps."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor

from tests.methods.double import (
    check_close,
    double_batches,
    double_method,
    gradients_of,
    shares,
    train_epoch,
    trainable,
    weighted,
)
from tests.methods.literal import cm_ssft as literal
from tests.methods.literal.network import Weights, adam_step
from vibench.data.batch import Batch
from vibench.methods.base import Method
from vibench.methods.cm_ssft.method import CmSSFT
from vibench.methods.cm_ssft.transfer import TransferNetwork, segments
from vibench.methods.cm_ssft.triplet import Mining, cross_modality_triplet, same_modality_triplet

# Small widths of what has none of its own in the paper, and of the decoder.
SMALL = ("model.transfer_dim=24", "model.discriminator_dims=[16,8]", "model.decoder_channels=6")
K = 3
"""Neighbours: of the six images that a modality has in a batch not all are kept."""

ADVERSARIAL = ("modality", "projection")

NAMES = (
    (r"backbone\.visible\.", "Conv1^R."),
    (r"backbone\.infrared\.", "Conv1^I."),
    (r"backbone\.shared\.", "Conv2^S."),
    (r"specific\.visible\.", "Conv2^R."),
    (r"specific\.infrared\.", "Conv2^I."),
    (r"shared_block\.layer\.", "Feat^S."),
    (r"specific_block\.visible\.layer\.", "Feat^R."),
    (r"specific_block\.infrared\.layer\.", "Feat^I."),
    (r"transfer\.block\.layer\.", "Feat^t."),
    (r"transfer\.mix\.weight$", "W"),
    (r"classifier_shared\.weight$", "C_H"),
    (r"classifier_specific\.visible\.weight$", "C_PR"),
    (r"classifier_specific\.infrared\.weight$", "C_PI"),
    (r"classifier_transferred\.weight$", "C_T"),
    (r"projection\.theta\.visible\.weight$", "Theta^R"),
    (r"projection\.theta\.infrared\.weight$", "Theta^I"),
    *((rf"discriminator\.layers\.{3 * layer}\.", f"Theta_D.{layer}.") for layer in range(3)),
    *((rf"discriminator\.layers\.{3 * layer + 1}\.", f"Theta_D.{layer}.norm.") for layer in range(2)),
    *((rf"decoder\.visible\.{3 * layer}\.", f"De^R.{layer}.") for layer in range(5)),
    *((rf"decoder\.infrared\.{3 * layer}\.", f"De^I.{layer}.") for layer in range(5)),
)
"""Our names, and those of the literal version."""


def theirs(tensors: dict[str, Tensor]) -> Weights:
    """``tensors`` under the literal names; W has its columns where a linear layer has its rows."""
    out = {}
    for name, value in tensors.items():
        pattern, name_there = next(pair for pair in NAMES if re.match(pair[0], name))
        out[re.sub(f"^{pattern}", name_there, name)] = value.T if name_there == "W" else value
    return out


def literal_weights(method: Method) -> Weights:
    """Copies of all weights and statistics; those that train take a gradient."""
    copies = theirs({name: value.detach().clone() for name, value in method.state_dict().items()})
    for name in theirs(trainable(method)):
        copies[name].requires_grad_()
    return copies


def literal_options(method: Method) -> literal.Options:
    """The literal version's options of the same name."""
    model = method.recipe.model
    return literal.Options(**{name: getattr(model, name) for name in literal.Options.__dataclass_fields__})


def literal_losses(method: Method, batch: Batch, weights: Weights) -> dict[str, Tensor]:
    visible, infrared = batch.images.chunk(2)
    return literal.training_losses(visible, infrared, batch.labels.tolist(), weights, literal_options(method))[0]


def made(variant: str = "", *switches: str) -> CmSSFT:
    method = double_method("cm-ssft", variant, [*SMALL, f"k={K}", *switches])
    assert isinstance(method, CmSSFT)
    return method


@pytest.mark.parametrize(
    ("variant", "switches"),
    [
        ("", []),
        ("wo-aug", []),
        ("shl", []),
        ("shl-spl-moa-pa-re", []),
        ("shl-spl-sht-spt", ["mining=all", "cross_margin=0.5"]),
        ("shl-spl-moa-pa-re-sht", ["affinity_grad=false"]),
        ("shl-spl-moa-pa-re-spt", ["graph_feature=f", "pa_grad_to_shared=true"]),
    ],
)
def test_losses_and_their_gradients(variant: str, switches: list[str]) -> None:
    """Every loss, and the gradient in all weights: the network is pulled up the adversaries' losses by their lambda.

    cm-SSFT itself shows the gradients by loss, a variant that of a weighted sum.
    """
    method, batch = made(variant, *switches), double_batches()[0]
    weights = literal_weights(method)
    ours, expected = method.train().losses(batch), literal_losses(method, batch, weights)
    ours.pop("projection_ratio", None)
    check_close(ours, expected, "losses")
    taking = {name: value for name, value in weights.items() if value.requires_grad}
    for name, share in shares(ours, apart=variant == "").items():
        wanted = gradients_of(weighted(expected, share), taking)
        against = {
            key: weight * -literal.LAMBDA[key] if key in ADVERSARIAL else weight for key, weight in share.items()
        }
        network_side = gradients_of(weighted(expected, against), taking)
        wanted = {key: value if literal.is_discriminator(key) else network_side[key] for key, value in wanted.items()}
        check_close(theirs(gradients_of(weighted(ours, share), trainable(method))), wanted, f"gradient of {name}")


def test_the_ratio_that_watches_the_projection() -> None:
    method, batch = made(), double_batches()[0]
    losses = method.train().losses(batch)
    visible, infrared = batch.images.chunk(2)
    options, weights = literal_options(method), literal_weights(method)
    features = literal.two_streams(visible, infrared, weights, True, options)
    lengths = features.shared_g.detach().norm(dim=1)
    expected = literal.projection_loss(features.specific_g, features.shared_g, weights) / lengths.mean()
    check_close({"ratio": losses["projection_ratio"]}, {"ratio": expected}, "ratio")
    assert not losses["projection_ratio"].requires_grad


def nodes(count: int, seed: int = 0, width: int = 6) -> tuple[Tensor, Tensor]:
    """H and P of ``count`` images."""
    draw = torch.Generator().manual_seed(seed)
    shared, specific = torch.randn(2, count, width, generator=draw, dtype=torch.float64)
    return shared.requires_grad_(), specific.requires_grad_()


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize("switches", [[], ["sht=false"], ["spt=false"], ["bnneck=false"], ["affinity_grad=false"]])
def test_transfer_and_its_gradient_in_the_features(k: int, switches: list[str]) -> None:
    """T of a batch, Eq. (5) to (11), with gradients in H, P, W and Feat^t."""
    off = {switch.removesuffix("=false"): False for switch in switches}
    torch.manual_seed(0)
    flags = {"bnneck": True, "sht": True, "spt": True, "affinity_grad": True, **off}
    network = TransferNetwork(6, 5, k, **flags).double().train()
    options = literal.Options(k=k, **flags)
    shared, specific = nodes(12)
    modality = torch.tensor([0] * 6 + [1] * 6)
    f, g = network(segments(shared, specific, modality), modality)
    weights = theirs_of_transfer(network)
    features = literal.Features(shared, specific, shared, shared, specific, specific)
    f_there, g_there = literal.transferred(features, weights, options)
    check_close({"f": f, "g": g}, {"f": f_there, "g": g_there}, "transferred")
    inputs = {"H": shared, "P": specific, **dict(network.named_parameters())}
    inputs = {name: value for name, value in inputs.items() if value.requires_grad}
    pull = torch.randn(g.shape, generator=torch.Generator().manual_seed(3), dtype=g.dtype)
    for ours, there in ((f, f_there), (g, g_there)):
        check_close(gradients_of((ours * pull).sum(), inputs), gradients_of((there * pull).sum(), inputs), "gradient")


def theirs_of_transfer(network: TransferNetwork) -> Weights:
    """The transfer network's own tensors, so that gradients reach them, under the literal names."""
    own = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return theirs({f"transfer.{name}": value for name, value in own.items()})


@pytest.mark.parametrize("mining", ["hard", "all"])
def test_triplets_and_their_gradients_in_the_features(mining: Mining) -> None:
    labels, modality = torch.tensor([3, 3, 0, 0, 7, 7] * 2), torch.tensor([0] * 6 + [1] * 6)
    rows, _ = nodes(12, seed=4)
    # Far enough apart for half of the hardest triplets to be beyond the margin.
    places = 0.5 * labels[:, None]
    for ours, there in (
        (cross_modality_triplet, literal.cross_modality_triplet),
        (same_modality_triplet, literal.same_modality_triplet),
    ):
        loss = ours(rows + places, labels, modality, 0.3, mining)
        expected = there(rows + places, labels.tolist(), 0.3, mining)
        check_close({"loss": loss}, {"loss": expected}, "triplets")
        check_close(gradients_of(loss, {"x": rows}), gradients_of(expected, {"x": rows}), "gradient of triplets")


@pytest.mark.parametrize("query_modality", ["visible", "infrared"])
@pytest.mark.parametrize(
    ("size", "switches"),
    [(1, []), (7, []), (2, []), (4, []), (1, ["bnneck=false"]), (7, ["sht=false"]), (1, ["spt=false"]), (3, ["k=1"])],
)
def test_distances_of_groups_of_queries(size: int, switches: list[str], query_modality: str) -> None:
    """Seven queries against nine images: single, all and between; with and without pairs that are kept apart."""
    method = made("", *switches).eval()
    options = literal_options(method)
    weights = literal_weights(method)
    width = weights["W"].shape[0] // 3
    visible_query = query_modality == "visible"
    queries, gallery = (
        literal.Images(*(rows.detach() for rows in nodes(count, count, width)), visible=visible)
        for count, visible in ((7, visible_query), (9, not visible_query))
    )
    query, images = (
        segments(side.shared, side.specific, torch.full((len(side.shared),), int(not side.visible)))
        for side in (queries, gallery)
    )
    apart = torch.rand(7, 9, generator=torch.Generator().manual_seed(5)) < 0.3
    for hidden in (None, apart):
        distances = method.group_distances(query, images, size, hidden)
        euclidean = literal.ranking_distances(queries, gallery, weights, size, options, hidden)
        # Of rows of length 1 half the square of the distance is one minus the cosine.
        check_close({"d": distances}, {"d": (euclidean**2 / 2).detach()}, "distances")
    mode = {1: "single", 7: "all"}.get(size)
    if mode is not None:
        euclidean = literal.ranking_distances(queries, gallery, weights, size, options)
        check_close({"d": method.distances(query, images, mode)}, {"d": (euclidean**2 / 2).detach()}, mode)


@pytest.mark.parametrize("graph_feature", ["g", "f"])
def test_what_testing_ranks_by(graph_feature: str) -> None:
    """From images to distances in both query modes, with the statistics of training in the norms."""
    method, batch = made("", f"graph_feature={graph_feature}").eval(), double_batches()[0]
    visible, infrared = batch.images.chunk(2)
    options, weights = literal_options(method), literal_weights(method)
    with torch.no_grad():
        gallery, query = (
            method.embed(images, m)["embedding"] for images, m in ((visible, "visible"), (infrared, "infrared"))
        )
        features = literal.two_streams(visible, infrared, weights, False, options)
        shared = features.shared_g if graph_feature == "g" else features.shared_f
        specific = features.specific_g if graph_feature == "g" else features.specific_f
        gallery_there = literal.Images(shared[:6], specific[:6], True)
        query_there = literal.Images(shared[6:], specific[6:], False)
        padded = literal.padded(shared, specific, [True] * 6 + [False] * 6, options)
        check_close({"Z": torch.cat([gallery, query])}, {"Z": padded}, "embeddings")
        for mode, size in (("single", 1), ("all", 6)):
            euclidean = literal.ranking_distances(query_there, gallery_there, weights, size, options)
            check_close({"d": method.distances(query, gallery, mode)}, {"d": euclidean**2 / 2}, mode)


@pytest.mark.parametrize("variant", ["shl", "shared-feature"])
def test_h_is_ranked_by_the_same_order(variant: str) -> None:
    method, batch = made(variant).eval(), double_batches()[0]
    weights, options = literal_weights(method), literal_options(method)
    visible, infrared = batch.images.chunk(2)
    with torch.no_grad():
        gallery, query = (
            method.embed(images, m)["embedding"] for images, m in ((visible, "visible"), (infrared, "infrared"))
        )
        h = literal.two_streams(visible, infrared, weights, False, options).shared_g
        h = h / h.norm(dim=1, keepdim=True)
        expected = torch.cdist(h[6:], h[:6]) ** 2 / 2
    for mode in ("single", "all"):
        check_close({"d": method.distances(query, gallery, mode)}, {"d": expected}, mode)


RATES = {0: 3.5e-4, 39: 3.5e-4, 40: 3.5e-5, 119: 3.5e-6}
"""Sec. 4.1: divided by 10 at epochs 40 and 70."""


@pytest.mark.parametrize(
    ("epoch", "variant", "switches"),
    [
        (0, "", []),
        (39, "", ["adv=alternate"]),
        (40, "", ["pa_grad_to_shared=true", "adv=alternate"]),
        (119, "wo-aug", []),
    ],
)
def test_training_steps(epoch: int, variant: str, switches: list[str]) -> None:
    """Two steps of the trainer: L_min for the network, L_ma and L_pa for their adversaries, Adam with decay."""
    method, batches = made(variant, *switches), double_batches()
    weights, start = literal_weights(method), literal_weights(method)
    taking = [name for name, value in weights.items() if value.requires_grad]
    state: dict[str, Weights] = {"m": {}, "v": {}}
    for step, batch in enumerate(batches, start=1):
        found = literal.gradients(literal_losses(method, batch, weights), weights, taking)
        assert set(found) == set(taking)
        moved = adam_step(weights, found, state, step, RATES[epoch], 5e-4)
        weights = {name: value.detach().requires_grad_(name in taking) for name, value in moved.items()}
    train_epoch(method, batches, epoch)
    ours = theirs(trainable(method))
    steps = {name: weights[name] - start[name] for name in taking}
    # Adam divides by a gradient's size, so that the rounding of the smallest counts.
    check_close({name: value - start[name] for name, value in ours.items()}, steps, "step", tolerance=1e-7)
    # The adversaries learn from the features of the network's own step: its norms meet a batch once.
    adversary = [layer for module in method.adversaries() for layer in module.modules()]
    for layer in method.modules():
        if isinstance(layer, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d) and layer not in adversary:
            assert int(layer.num_batches_tracked) == len(batches)
