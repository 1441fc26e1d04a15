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

WEIGHTS = {"identity": 1.0, "metric": 2.0, "mmd": 0.25, "attributes": 1.0, "prediction": 1.0}
"""Of MMD-ReID's official code, and lambda = 1 (Fig. 7); that of the image-only head is the method's choice."""

FROZEN = ("neck.bias", "id_neck.bias", "region.bias")
"""Shifts of batch norms that do not train."""


@dataclass(frozen=True)
class Switches:
    """The paper's method and the rows of its ablation; defaults as far as possible those of the paper."""

    pae: bool = True
    emb: Literal[1, 2, 3] = 3
    fusion: Literal["scalar-tokens", "token-pair"] = "scalar-tokens"
    emb2_input: Literal["map", "vector"] = "map"
    gates: Literal["per_attr", "shared"] = "per_attr"
    normalise_gates: bool = True
    region_norm: bool = True
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


def pooled_gated(w: Tensor, maps: Tensor, p: float) -> Tensor:
    """Generalised mean of F_i = w_i F. The method scales the guard of the pooling with the map, as is done here.

    Left alone, it would be the pooled value where a channel of F is zero everywhere: 1e-4 in place of 1e-4 w.
    """
    gated = w[:, :, None, None] * maps
    return ((gated**p).mean(dim=(2, 3)) + 1e-12 * w**p) ** (1.0 / p)


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


def token_pair_fusion(net: Network, neck: Tensor, bits: Tensor) -> Tensor:
    """Embedding I, e1, as the paper has it: Q = f, K = V = [f, f_a], Eq. 3 and 4.

    That f and f_a are two tokens, and that the FFN is two layers with GELU, is the method's reading of the paper.
    """
    own = linear(net, "fusion.attribute_feature", bits)
    attended = []
    for f, f_a in zip(neck, own, strict=True):
        shares = softmax(torch.stack([f @ f, f @ f_a]) / len(f) ** 0.5)
        attended.append(shares[0] * f + shares[1] * f_a)
    f_ca = layer_norm(net, "fusion.norms.0", torch.stack(attended) + neck)
    z1 = layer_norm(net, "fusion.norms.1", f_ca + neck)
    ffn = linear(net, "fusion.mlp.1", gelu(linear(net, "fusion.mlp.0", z1)))
    return layer_norm(net, "fusion.norms.2", z1 + ffn)


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
    """Embedding III, w_1 to w_8 of Eq. 6: one head per attribute, or one for all of them."""
    x = torch.cat([e2, relu(linear(net, "channel.attribute", bits))], dim=1)
    heads = range(ATTRIBUTES) if gates == "per_attr" else [0] * ATTRIBUTES
    found = []
    for i in heads:
        hidden = relu(linear(net, f"channel.head.{i}.0", x))
        found.append(sigmoid(linear(net, f"channel.head.{i}.1", hidden)))
    return found


def gates_of(net: Network, neck: Tensor, maps: Tensor, bits: Tensor, switches: Switches) -> list[Tensor]:
    """Sec. 3.2; with fewer embeddings (Table 5) the sigmoid of the last one is every attribute's gate.

    Length 1 is the official code's.
    """
    e = (fusion if switches.fusion == "scalar-tokens" else token_pair_fusion)(net, neck, bits)
    if switches.emb >= 2:
        e = spatial(net, e, maps, bits, switches.emb2_input)
    gates = channel_gates(net, e, bits, switches.gates) if switches.emb == 3 else [sigmoid(e)] * ATTRIBUTES
    return [unit(w) for w in gates] if switches.normalise_gates else gates


def person_feature(net: Network, maps: Tensor, gates: list[Tensor], switches: Switches) -> Tensor:
    """r: Eq. 7 and 10, and the text behind it. The norm of the mean of the F_i is the official code's."""
    mean = torch.stack([w[:, :, None, None] * maps for w in gates]).mean(dim=0)
    w2 = sigmoid(batch_norm(net, "region", mean) if switches.region_norm else mean)
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
        w1 = sigmoid(torch.cat([pooled_gated(w, maps, switches.gem_p) for w in gates], dim=1))
        f_atr = linear(net, "attribute.fc", w1 * torch.cat([f] * ATTRIBUTES, dim=1))
        read = [f_atr] * ATTRIBUTES
    return torch.cat([sigmoid(linear(net, f"attribute.{i}", x)) for i, x in enumerate(read)], dim=1)


def predicted_attributes(net: Network, neck: Tensor, switches: Switches) -> Tensor:
    """The image-only head on f-bar. It shapes the features only where it is what AAL has to go by."""
    # Else the head would change what the row of the table, or the training on labels, is to measure.
    shapes = not switches.pae or (switches.aal != "off" and switches.attr_input != "gt")
    return sigmoid(linear(net, "head", neck if shapes else neck.detach()))


def outputs(
    net: Network, shared_input: Tensor, given: Tensor | None, from_image: Tensor, switches: Switches
) -> Outputs:
    """Of the outputs of the modality-specific stages; A is the head's where ``from_image`` (B,), else ``given``."""
    maps = shared_layer(net, 4, shared_layer(net, 3, shared_input))
    f = gem(maps, switches.gem_p)
    if not switches.pae and switches.aal == "off":
        return Outputs(None, f, batch_norm(net, "id_neck", f), None)
    neck = batch_norm(net, "neck", f)
    predicted = predicted_attributes(net, neck, switches) if switches.attribute_head else None
    if not switches.pae:
        # The paper does not define AAL without PAE: here it is the image-only head, on a norm of its own.
        return Outputs(None, f, batch_norm(net, "id_neck", f), predicted)
    rows = []
    for i, from_head in enumerate(from_image.tolist()):
        rows.append(predicted[i].detach() if from_head else given[i])
    bits = torch.stack(rows)
    gates = gates_of(net, neck, maps, bits, switches)
    r = person_feature(net, maps, gates, switches)
    r_neck = batch_norm(net, "id_neck", r)
    return Outputs(predicted, r, r_neck, attribute_probabilities(net, f, maps, gates, switches))


def batch_outputs(
    net: Network, visible: Tensor, infrared: Tensor, given: Tensor, from_image: Tensor, switches: Switches
) -> Outputs:
    """Of a training batch, visible rows first; stem, layer1 and layer2 exist once per modality."""
    streams = [specific_stages(net, m, x, 2) for m, x in (("visible", visible), ("infrared", infrared))]
    return outputs(net, torch.cat(streams), given, from_image, switches)


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


def codes(bits: Tensor, known: Tensor, draws: Tensor, share: float, mean: Tensor, source: str) -> tuple[Tensor, Tensor]:
    """The given codes (B, 8), and which images (B,) take the head's instead: those whose draw is below ``share``.

    An image without label takes the head's, or, where labels alone are given (``gt``), the mean code: the method's
    choice.
    """
    given, from_image = [], []
    for i, is_known in enumerate(known.tolist()):
        from_image.append(source != "gt" and (not is_known or draws[i].item() < share))
        given.append(bits[i] if is_known else mean)
    return torch.stack(given), torch.tensor(from_image)


def share_from_image(epoch: int, epochs: int = 61, gt_until: float = 0.164, pred_from: float = 0.328) -> float:
    """The share of images that get what the head predicts: 0 in the first 10 of 61 epochs, 1 from epoch 20 on.

    Equal steps in between, from an eleventh in epoch 10 (counted from 0): the method's choice.
    """
    first, last = round(gt_until * epochs), round(pred_from * epochs)
    return min(max((epoch - first + 1) / (last - first + 1), 0.0), 1.0)


def learning_rate(epoch: int, base: float = 0.1) -> float:
    """Warm-up from a tenth over 10 epochs, a tenth from epoch 20 on, a hundredth from epoch 50 on."""
    if epoch < 10:
        return base * (epoch + 1) / 10
    return base if epoch < 20 else base * 0.1 if epoch < 50 else base * 0.01


def rate_factor(name: str, pae: bool = True) -> float:
    """0.1 for the backbone and the two side modules (region, attribute feature), 1 for everything else.

    With PAE the norm of r belongs to the region's module in the official code, and takes its rate.
    """
    slow = ("backbone.", "region.", "attribute.fc.") + (("id_neck.",) if pae else ())
    return 0.1 if name.startswith(slow) else 1.0
