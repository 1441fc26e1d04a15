"""PAENet once more, from its equations: Zheng et al., "Progressive Attribute Embedding for Accurate Cross-modality
Person Re-identification", ACM MM 2022, on its host MMD-ReID (Jambigi, Rawal, Chakraborty, BMVC 2021).

Where the paper leaves an embedding's layers open they are the official code's. Equation numbers are the paper's.
Names of weights: ``backbone``, ``neck`` (of f), ``head`` (predicts attributes), ``fusion``, ``spatial`` and
``channel`` (Embeddings I to III), ``region``, ``id_neck``, ``classifier``, ``attribute`` (AAL).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from tests.methods.literal.numerics import (
    Network,
    batch_norm,
    conv,
    cross_entropy,
    hetero_centre_terms,
    linear,
    relu,
    shared_layer,
    sigmoid,
    softmax,
    specific_stages,
    unit,
)

ATTRIBUTES = 8


@dataclass(frozen=True)
class Switches:
    """The paper's method and the rows of its ablation; defaults as far as possible those of the paper."""

    pae: bool = True
    emb: Literal[1, 2, 3] = 3
    emb2_input: Literal["map", "vector"] = "map"
    gates: Literal["per_attr", "shared"] = "per_attr"
    id_sigmoid2: bool = False
    aal: Literal["paper", "code", "off"] = "paper"
    attr_input: Literal["gt", "mixed", "pred"] = "mixed"
    attribute_head: bool = True
    margin: float = 0.3
    mmd_margin: float = 1.4
    gem_p: float = 3.0


@dataclass
class Outputs:
    """What the network makes of a batch."""

    f: Tensor
    """Pooled feature of the host (B, C)."""
    neck: Tensor
    """f behind its batch norm."""
    predicted: Tensor | None
    """Probabilities (B, 8) of the attributes, from the image alone."""
    r: Tensor
    """f_id of Sec. 3.4, the pooled gated map; f itself without PAE."""
    r_neck: Tensor
    """r behind its batch norm: what is ranked."""
    attributes: Tensor | None
    """p^ (B, 8) of Eq. 9."""


def gem(maps: Tensor, p: float) -> Tensor:
    """Generalised mean over the positions: (mean x^p + 1e-12)^(1/p)."""
    return ((maps**p).mean(dim=(2, 3)) + 1e-12) ** (1.0 / p)


def layer_norm(net: Network, name: str, rows: Tensor) -> Tensor:
    """Ba, Kiros, Hinton 2016: a row's numbers to mean 0 and (biased) variance 1."""
    mean = rows.mean(dim=1, keepdim=True)
    var = ((rows - mean) ** 2).mean(dim=1, keepdim=True)
    return (rows - mean) / torch.sqrt(var + 1e-5) * net.weights[f"{name}.weight"] + net.weights[f"{name}.bias"]


def switchable_norm(net: Network, name: str, rows: Tensor) -> Tensor:
    """Luo et al., "Differentiable Learning-to-Normalize via Switchable Normalization", ICLR 2019.

    Means and variances (unbiased) over a row and over the batch, mixed by a softmax of learned weights.
    """
    mean_row, var_row = rows.mean(dim=1, keepdim=True), rows.var(dim=1, keepdim=True, unbiased=True)
    if net.training:
        mean_batch, var_batch = rows.mean(dim=0, keepdim=True), rows.var(dim=0, keepdim=True, unbiased=True)
        for key, now in (("running_mean", mean_batch), ("running_var", var_batch)):
            net.statistics[f"{name}.{key}"] = 0.997 * net.weights[f"{name}.{key}"] + 0.003 * now.detach()
    else:
        mean_batch, var_batch = net.weights[f"{name}.running_mean"], net.weights[f"{name}.running_var"]
    of_mean, of_var = softmax(net.weights[f"{name}.mean_weight"]), softmax(net.weights[f"{name}.var_weight"])
    mean = of_mean[0] * mean_row + of_mean[1] * mean_batch
    var = of_var[0] * var_row + of_var[1] * var_batch
    return (rows - mean) / torch.sqrt(var + 1e-5) * net.weights[f"{name}.weight"] + net.weights[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    """x times the standard normal distribution function of x."""
    return x * 0.5 * (1.0 + torch.erf(x / 2.0**0.5))


def fusion(net: Network, neck: Tensor, bits: Tensor) -> Tensor:
    """Embedding I, e1: Eq. 3 and 4 in the form of the official code, whose tokens are single numbers.

    2048 queries from the image, 2056 keys and values from image and attributes, head size 1, so that sqrt(d) is 1.
    """
    x = layer_norm(net, "fusion.norm1", neck)
    both = torch.cat([x, switchable_norm(net, "fusion.attribute_norm", bits)], dim=1)
    queries = linear(net, "fusion.query", x)
    keys_values = linear(net, "fusion.key_value", both)
    keys, values = keys_values[:, 0::2], keys_values[:, 1::2]  # K0, V0, K1, V1, ...
    attention = torch.stack([softmax(q[:, None] * k[None, :]) for q, k in zip(queries, keys, strict=True)])
    attention = net.dropout(attention, 0.1)
    attended = torch.stack([a @ v for a, v in zip(attention, values, strict=True)])
    projected = net.dropout(linear(net, "fusion.projection", attended + x), 0.1)
    x = x + net.dropout(projected, 0.3)
    hidden = net.dropout(gelu(linear(net, "fusion.mlp.0", layer_norm(net, "fusion.norm2", x))), 0.3)
    out = net.dropout(linear(net, "fusion.mlp.1", hidden), 0.3)
    return x + net.dropout(out, 0.1)


def spatial(net: Network, e1: Tensor, maps: Tensor, bits: Tensor, form: str) -> Tensor:
    """Embedding II, e2: Eq. 5, summed over the positions.

    ``vector``: e1 repeated at every position, as printed, which leaves e1 as it is; ``map``: e1 times F.
    """
    e1_at = e1[:, :, None, None]
    x = e1_at * maps if form == "map" else e1_at.expand_as(maps)
    image = torch.tanh(conv(net, "spatial.image", x))
    attribute = torch.tanh(linear(net, "spatial.attribute", bits))[:, :, None, None]
    scores = torch.tanh(conv(net, "spatial.attention", image * attribute))
    weights = softmax(scores.flatten(2))
    return (weights * x.flatten(2)).sum(dim=2)


def channel_gates(net: Network, e2: Tensor, bits: Tensor, gates: str) -> list[Tensor]:
    """Embedding III, w_1 to w_8 of Eq. 6, of length 1: one head per attribute, or one for all of them."""
    x = torch.cat([e2, relu(linear(net, "channel.attribute", bits))], dim=1)
    heads = range(ATTRIBUTES) if gates == "per_attr" else [0] * ATTRIBUTES
    found = []
    for i in heads:
        hidden = relu(linear(net, f"channel.head.{i}.0", x))
        found.append(unit(sigmoid(linear(net, f"channel.head.{i}.1", hidden))))
    return found


def gates_of(net: Network, neck: Tensor, maps: Tensor, bits: Tensor, switches: Switches) -> list[Tensor]:
    """Sec. 3.2; with fewer embeddings (Table 5) the sigmoid of the last one is every attribute's gate."""
    e = fusion(net, neck, bits)
    if switches.emb == 1:
        return [unit(sigmoid(e))] * ATTRIBUTES
    e = spatial(net, e, maps, bits, switches.emb2_input)
    if switches.emb == 2:
        return [unit(sigmoid(e))] * ATTRIBUTES
    return channel_gates(net, e, bits, switches.gates)


def person_feature(net: Network, maps: Tensor, gates: list[Tensor], switches: Switches) -> Tensor:
    """r: Eq. 7 and 10, and the text behind it. The code normalises the mean of the F_i first."""
    gated = [w[:, :, None, None] * maps for w in gates]
    w2 = sigmoid(batch_norm(net, "region", torch.stack(gated).mean(dim=0)))
    x = w2 * maps
    return gem(sigmoid(x) if switches.id_sigmoid2 else x, switches.gem_p)


def attribute_probabilities(
    net: Network, f: Tensor, maps: Tensor, gates: list[Tensor], switches: Switches
) -> Tensor | None:
    """p^: Eq. 8 and the text behind it (``paper``), or classifiers that read the gate itself (``code``)."""
    if switches.aal == "off":
        return None
    if switches.aal == "code":
        read = gates
    else:
        w1 = sigmoid(torch.cat([gem(w[:, :, None, None] * maps, switches.gem_p) for w in gates], dim=1))
        f_atr = linear(net, "attribute.fc", w1 * torch.cat([f] * ATTRIBUTES, dim=1))
        read = [f_atr] * ATTRIBUTES
    return torch.cat([sigmoid(linear(net, f"attribute.{i}", x)) for i, x in enumerate(read)], dim=1)


def predicted_attributes(net: Network, neck: Tensor, switches: Switches) -> Tensor:
    """The image-only head on f-bar. It shapes the features only where it is what AAL has to go by."""
    shapes = switches.aal != "off" and switches.attr_input != "gt"
    return sigmoid(linear(net, "head", neck if shapes else neck.detach()))


def outputs(
    net: Network, shared_input: Tensor, labelled: Tensor | None, from_image: Tensor, switches: Switches
) -> Outputs:
    """Of the outputs of the modality-specific stages; A is what the image-only head says where ``from_image`` (B,)."""
    maps = shared_layer(net, 4, shared_layer(net, 3, shared_input))
    f = gem(maps, switches.gem_p)
    neck = batch_norm(net, "neck", f)
    predicted = predicted_attributes(net, neck, switches) if switches.attribute_head else None
    if not switches.pae:
        # The paper does not define AAL without PAE: here it is the image-only head.
        return Outputs(f, neck, None, f, neck, predicted if switches.aal != "off" else None)
    rows = []
    for i, from_head in enumerate(from_image.tolist()):
        if from_head:
            assert predicted is not None
            rows.append(predicted[i].detach())
        else:
            assert labelled is not None
            rows.append(labelled[i])
    bits = torch.stack(rows)
    gates = gates_of(net, neck, maps, bits, switches)
    r = person_feature(net, maps, gates, switches)
    r_neck = batch_norm(net, "id_neck", r)
    return Outputs(f, neck, predicted, r, r_neck, attribute_probabilities(net, f, maps, gates, switches))


def batch_outputs(
    net: Network, visible: Tensor, infrared: Tensor, labelled: Tensor, from_image: Tensor, switches: Switches
) -> Outputs:
    """Of a training batch, visible rows first; stem, layer1 and layer2 exist once per modality."""
    streams = [specific_stages(net, m, x, 2) for m, x in (("visible", visible), ("infrared", infrared))]
    return outputs(net, torch.cat(streams), labelled, from_image, switches)


def hetero_centre_loss(r: Tensor, labels: Tensor, visible: Tensor, margin: float) -> Tensor:
    """L_Hc-Tri of Eq. 2: the mean over the centres."""
    return torch.stack(hetero_centre_terms(r, labels, visible, margin)).mean()


def squared_mmd(rgb: Tensor, ir: Tensor) -> Tensor:
    """Squared MMD between the rows of one identity: a sum of five Gaussian kernels, each pair of rows included.

    Bandwidths are 1/4, 1/2, 1, 2 and 4 times the mean squared distance of two distinct rows, a constant.
    """
    rows = [*rgb, *ir]
    table = {(i, j): ((a - b) ** 2).sum() for i, a in enumerate(rows) for j, b in enumerate(rows)}
    mean = sum(d.detach() for (i, j), d in table.items() if i != j) / (len(rows) * (len(rows) - 1))

    def kernel(i: int, j: int) -> Tensor:
        return torch.stack([torch.exp(-table[i, j] / (mean * 2.0**k / 4.0 + 1e-9)) for k in range(5)]).sum()

    first, second = range(len(rgb)), range(len(rgb), len(rows))

    def block(some: range, others: range) -> Tensor:
        return torch.stack([kernel(i, j) for i in some for j in others]).mean()

    return block(first, first) + block(second, second) - 2.0 * block(first, second)


def mmd_loss(r: Tensor, labels: Tensor, visible: Tensor, margin: float) -> Tensor:
    """Margin MMD-ID: an identity's MMD where it exceeds the margin, else 0; the mean over the identities."""
    terms = []
    for i in sorted(set(labels.tolist())):
        found = squared_mmd(r[(labels == i) & visible], r[(labels == i) & ~visible])
        terms.append(found if found > margin else found * 0.0)
    return torch.stack(terms).mean()


def binary_cross_entropy(probabilities: Tensor, bits: Tensor, known: Tensor) -> Tensor:
    """Eq. 9 with both terms, the mean over the attributes of the images that have labels."""
    terms = []
    for p, q, k in zip(probabilities, bits, known.tolist(), strict=True):
        if k:
            terms += [-(q[i] * torch.log(p[i]) + (1.0 - q[i]) * torch.log(1.0 - p[i])) for i in range(ATTRIBUTES)]
    return torch.stack(terms).mean() if terms else probabilities.sum() * 0.0


def losses(
    net: Network,
    result: Outputs,
    labels: Tensor,
    visible: Tensor,
    bits: Tensor,
    known: Tensor,
    switches: Switches,
) -> dict[str, Tensor]:
    """The terms of Eq. 11 by the names of the recipe's weights, unweighted."""
    terms = {
        "identity": cross_entropy(linear(net, "classifier", result.r_neck), labels),
        "metric": hetero_centre_loss(result.r, labels, visible, switches.margin),
        "mmd": mmd_loss(result.r, labels, visible, switches.mmd_margin),
    }
    if result.attributes is not None:
        terms["attributes"] = binary_cross_entropy(result.attributes, bits, known)
    if result.predicted is not None:
        terms["prediction"] = binary_cross_entropy(result.predicted, bits, known)
    return terms


def embedding(net: Network, images: Tensor, modality: str, given: Tensor | None, switches: Switches) -> Tensor:
    """r-bar in testing, of length 1. ``given`` (B, 8): labels (gt) or the training mean (const); None: predicted."""
    from_image = torch.full((len(images),), given is None)
    result = outputs(net, specific_stages(net, modality, images, 2), given, from_image, switches)
    return unit(result.r_neck)


def distances(query: Tensor, gallery: Tensor) -> Tensor:
    """One minus the cosine."""
    rows = [[1.0 - (q @ g) / torch.sqrt((q @ q) * (g @ g)) for g in gallery] for q in query]
    return torch.stack([torch.stack(row) for row in rows])


def share_from_image(epoch: int, epochs: int, gt_until: float = 0.164, pred_from: float = 0.328) -> float:
    """The share of images that get what the head predicts: 0 in the first 10 of 61 epochs, 1 from the 20th on."""
    start, stop = gt_until * epochs, pred_from * epochs
    return min(max((epoch - start) / (stop - start), 0.0), 1.0)


def learning_rate(epoch: int, base: float = 0.1) -> float:
    """Warm-up from a tenth over 10 epochs, a tenth from epoch 20 on, a hundredth from epoch 50 on."""
    if epoch < 10:
        return base * (epoch + 1) / 10
    return base if epoch < 20 else base * 0.1 if epoch < 50 else base * 0.01


def rate_factor(name: str) -> float:
    """0.1 for the backbone and the two side modules (region, attribute feature), 1 for everything else."""
    return 0.1 if name.startswith(("backbone.", "region.", "attribute.fc.")) else 1.0
