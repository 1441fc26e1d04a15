"""cm-SSFT from its equations: Lu et al., CVPR 2020. R is visible, I infrared; rows are [R; I] everywhere.

What the paper leaves open follows the project's specification, each time with the word "open". Names of weights:

``Conv1^R.*``, ``Conv1^I.*``, ``Conv2^S.*``, ``Conv2^R.*``, ``Conv2^I.*`` (a ResNet-18 in place of ResNet-50),
``Feat^S.*``, ``Feat^R.*``, ``Feat^I.*``, ``Feat^t.*`` (a batch norm or a linear layer), ``C_H``, ``C_PR``, ``C_PI``,
``C_T`` (classifiers), ``W``, ``Theta_D.*``, ``Theta^R``, ``Theta^I``, ``De^R.*``, ``De^I.*``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor

from tests.methods.literal.network import Weights, batch_norm, cross_entropy, length, linear, resnet18_stages

DISCRIMINATORS = ("Theta_D", "Theta^R", "Theta^I")


@dataclass(frozen=True)
class Options:
    """Ablations of Table 3 and 4, and what the paper leaves open."""

    spl: bool = True
    moa: bool = True
    pa: bool = True
    re: bool = True
    sht: bool = True
    spt: bool = True
    bnneck: bool = True
    k: int = 4
    graph_feature: str = "g"
    """Open: g behind the neck enters the graph, as Eq. (1) names the block's output; or f before it."""
    affinity_grad: bool = True
    """Open: whether gradients pass through A."""
    cross_margin: float = 0.3
    same_margin: float = 0.3
    """Open: rho_1 and rho_2."""
    mining: str = "hard"
    """Open: the hardest positive and negative of every anchor, or ``all`` triplets."""
    pa_grad_to_shared: bool = False
    """Open: whether -L_pa moves H too."""


@dataclass
class Features:
    """Features of a batch, rows [R; I]."""

    shared_map: Tensor
    specific_map: Tensor
    shared_f: Tensor
    shared_g: Tensor
    specific_f: Tensor
    specific_g: Tensor


# --- Sec. 3.1: two streams -------------------------------------------------------------------------------------------


def feature_block(pooled: Tensor, weights: Weights, name: str, training: bool, bnneck: bool) -> tuple[Tensor, Tensor]:
    """f, for triplets, and g, for everything else (Sec. 4.1: BNNeck with augmentation, one linear layer without)."""
    if bnneck:
        return pooled, batch_norm(pooled, weights, name, training)
    out = linear(pooled, weights, name)
    return out, out


def two_streams(visible: Tensor, infrared: Tensor, weights: Weights, training: bool, options: Options) -> Features:
    """Eq. (1). What the modalities share sees both as one batch."""
    conv1 = [
        resnet18_stages(visible, weights, "Conv1^R", range(3), training),
        resnet18_stages(infrared, weights, "Conv1^I", range(3), training),
    ]
    shared_map = resnet18_stages(torch.cat(conv1), weights, "Conv2^S", range(3, 5), training)
    shared_f, shared_g = feature_block(shared_map.mean(dim=(2, 3)), weights, "Feat^S", training, options.bnneck)
    if not options.spl:
        nothing = shared_f[:0]
        return Features(shared_map, nothing, shared_f, shared_g, nothing, nothing)
    maps, fs, gs = [], [], []
    for m, through in zip("RI", conv1, strict=True):
        specific = resnet18_stages(through, weights, f"Conv2^{m}", range(3, 5), training)
        f, g = feature_block(specific.mean(dim=(2, 3)), weights, f"Feat^{m}", training, options.bnneck)
        maps.append(specific)
        fs.append(f)
        gs.append(g)
    return Features(shared_map, torch.cat(maps), shared_f, shared_g, torch.cat(fs), torch.cat(gs))


def same_modality_triplet(rows: Tensor, labels: list[int], margin: float, mining: str) -> Tensor:
    """Eq. (3), the R and the I term added. Open: each term is a mean, over anchors (hard) or over all triplets."""
    half = len(rows) // 2
    first, second = range(half), range(half, len(rows))
    return _triplets(rows, labels, first, first, margin, mining) + _triplets(
        rows, labels, second, second, margin, mining
    )


def cross_modality_triplet(rows: Tensor, labels: list[int], margin: float, mining: str) -> Tensor:
    """Eq. (4): anchor in one modality, positive and negative in the other, both directions added; means as above."""
    half = len(rows) // 2
    first, second = range(half), range(half, len(rows))
    return _triplets(rows, labels, first, second, margin, mining) + _triplets(
        rows, labels, second, first, margin, mining
    )


def _triplets(rows: Tensor, labels: list[int], anchors: range, others: range, margin: float, mining: str) -> Tensor:
    terms = []
    for i in anchors:
        positives = [length(rows[i] - rows[j]) for j in others if labels[j] == labels[i] and j != i]
        negatives = [length(rows[i] - rows[k]) for k in others if labels[k] != labels[i]]
        if mining == "hard":
            terms.append(_hinge(margin + max(positives) - min(negatives)))
        else:
            terms += [_hinge(margin + near - far) for near in positives for far in negatives]
    return sum(terms) / len(terms)


def _hinge(value: Tensor) -> Tensor:
    return value if value > 0 else 0.0 * value


# --- Sec. 3.2: transfer ----------------------------------------------------------------------------------------------


def closeness(a: Tensor, b: Tensor) -> Tensor:
    """d of Eq. (7)."""
    return 1.0 - 0.5 * length(a / length(a) - b / length(b))


def nearest(block: Tensor, k: int) -> Tensor:
    """T(., k) of Eq. (8): the k largest values of every row stay, the others become 0."""
    out = torch.zeros_like(block)
    for i in range(block.shape[0]):
        order = sorted(range(block.shape[1]), key=lambda j: -float(block[i, j].detach()))
        for j in order[:k]:
            out[i, j] = block[i, j]
    return out


def block_of(a: Tensor, b: Tensor, same: bool, apart: Tensor | None = None) -> Tensor:
    """A block of Eq. (6). An image's affinity to itself is 1; pairs that are kept apart (ours) have none."""
    out = torch.zeros(len(a), len(b), dtype=a.dtype)
    for i in range(len(a)):
        for j in range(len(b)):
            if apart is not None and bool(apart[i, j]):
                continue
            out[i, j] = 1.0 if same and i == j else closeness(a[i], b[j])
    return out


def affinity(shared: Tensor, specific: Tensor, first: int, k: int, apart: Tensor | None = None) -> Tensor:
    """A of Eq. (8), the ``first`` rows of one modality; P within a modality and H across them, Eq. (6).

    ``apart``: (first, rest) pairs that must exchange nothing, taken out before the nearest are chosen.
    """
    h1, h2, p1, p2 = shared[:first], shared[first:], specific[:first], specific[first:]
    top = [nearest(block_of(p1, p1, True), k), nearest(block_of(h1, h2, False, apart), k)]
    other_way = None if apart is None else apart.T
    bottom = [nearest(block_of(h2, h1, False, other_way), k), nearest(block_of(p2, p2, True), k)]
    return torch.cat([torch.cat(top, dim=1), torch.cat(bottom, dim=1)])


def padded(shared: Tensor, specific: Tensor, visible: list[bool], options: Options) -> Tensor:
    """Z of Eq. (5) and (9). An ablation of Table 3 that does not transfer H or P has zeros in its place."""
    rows = []
    for h, p, is_visible in zip(shared, specific, visible, strict=True):
        h = h if options.sht else torch.zeros_like(h)
        p = p if options.spt else torch.zeros_like(p)
        empty = torch.zeros_like(p)
        rows.append(torch.cat([p, h, empty] if is_visible else [empty, h, p]))
    return torch.stack(rows)


def propagate(a: Tensor, z: Tensor, w: Tensor) -> Tensor:
    """Eq. (10): ReLU(D^-1/2 A D^-1/2 Z W) with the row sums of A in D; ``w`` is (3 d, d_t)."""
    degree = [a[i].sum() for i in range(len(a))]
    out = []
    for i in range(len(a)):
        row = sum(a[i, j] / torch.sqrt(degree[i]) / torch.sqrt(degree[j]) * z[j] for j in range(len(a)))
        out.append((row @ w).relu())
    return torch.stack(out)


# --- Sec. 3.3: complementary learning --------------------------------------------------------------------------------


def discriminate(shared: Tensor, weights: Weights, layers: int, training: bool) -> Tensor:
    """Logits of the modality. Open: batch norm and LeakyReLU(0.2) between the layers of Theta_D."""
    for layer in range(layers - 1):
        shared = linear(shared, weights, f"Theta_D.{layer}")
        shared = functional.leaky_relu(batch_norm(shared, weights, f"Theta_D.{layer}.norm", training), 0.2)
    return linear(shared, weights, f"Theta_D.{layers - 1}")


def modality_loss(shared: Tensor, weights: Weights, layers: int = 3) -> Tensor:
    """L_ma, Eq. (14); class 0 is R."""
    half = len(shared) // 2
    return cross_entropy(discriminate(shared, weights, layers, True), [0] * half + [1] * half)


def projection_loss(specific: Tensor, shared: Tensor, weights: Weights) -> Tensor:
    """L_pa, Eq. (15): the distance is not squared."""
    half = len(shared) // 2
    errors = []
    for i in range(len(shared)):
        theta = weights["Theta^R" if i < half else "Theta^I"]
        errors.append(length(theta @ specific[i] - shared[i]))
    return sum(errors) / len(errors)


def decode(specific_map: Tensor, shared_map: Tensor, weights: Weights, m: str) -> Tensor:
    """Eq. (16) on feature maps: four sub-pixel layers of 64 channels (Sec. 4.1); open: ReLU, and a last convolution."""
    x = torch.cat([specific_map, shared_map], dim=1)
    for layer in range(4):
        x = functional.conv2d(x, weights[f"De^{m}.{layer}.weight"], weights[f"De^{m}.{layer}.bias"], padding=1)
        x = sub_pixels(x).relu()
    return functional.conv2d(x, weights[f"De^{m}.4.weight"], weights[f"De^{m}.4.bias"], padding=1)


def sub_pixels(x: Tensor) -> Tensor:
    """Shi et al., CVPR 2016, Eq. (4), in PyTorch's order of channels: (B, 4 c, h, w) to (B, c, 2 h, 2 w)."""
    b, c, h, w = x.shape
    out = torch.zeros(b, c // 4, 2 * h, 2 * w, dtype=x.dtype)
    for dy in (0, 1):
        for dx in (0, 1):
            out[:, :, dy::2, dx::2] = x[:, 2 * dy + dx :: 4]
    return out


def reconstruction_loss(features: Features, images: Tensor, weights: Weights) -> Tensor:
    """L_re, Eq. (17). Open: the mean over images, channels and pixels of the squared error of the network's input."""
    half = len(images) // 2
    errors = []
    for m, rows in (("R", slice(0, half)), ("I", slice(half, None))):
        decoded = decode(features.specific_map[rows], features.shared_map[rows], weights, m)
        errors += [((image - again) ** 2).mean() for image, again in zip(images[rows], decoded, strict=True)]
    return sum(errors) / len(errors)


# --- Sec. 3.4: optimisation ------------------------------------------------------------------------------------------


def transferred(features: Features, weights: Weights, options: Options) -> tuple[Tensor, Tensor]:
    """f and g of T in training, Eq. (6) to (11)."""
    shared, specific = features.shared_g, features.specific_g
    if options.graph_feature == "f":
        shared, specific = features.shared_f, features.specific_f
    half = len(shared) // 2
    a = affinity(shared, specific, half, options.k)
    if not options.affinity_grad:
        a = a.detach()
    z = padded(shared, specific, [True] * half + [False] * half, options)
    return feature_block(propagate(a, z, weights["W"]), weights, "Feat^t", True, options.bnneck)


def training_losses(
    visible: Tensor, infrared: Tensor, labels: list[int], weights: Weights, options: Options
) -> tuple[dict[str, Tensor], Features]:
    """Every term of Eq. (18) to (20), without a weight; ``labels`` are of [R; I]."""
    half = len(labels) // 2
    features = two_streams(visible, infrared, weights, True, options)
    h, p = features.shared_g, features.specific_g
    losses = {
        "shared_identity": cross_entropy(h @ weights["C_H"].T, labels),
        "shared_triplet": cross_modality_triplet(features.shared_f, labels, options.cross_margin, options.mining),
    }
    if options.spl:
        losses["specific_identity"] = cross_entropy(p[:half] @ weights["C_PR"].T, labels[:half]) + cross_entropy(
            p[half:] @ weights["C_PI"].T, labels[half:]
        )
        losses["specific_triplet"] = same_modality_triplet(
            features.specific_f, labels, options.same_margin, options.mining
        )
    if options.moa:
        losses["modality"] = modality_loss(h, weights)
    if options.pa:
        aim = h if options.pa_grad_to_shared else h.detach()
        losses["projection"] = projection_loss(p, aim, weights)
    if options.re:
        losses["reconstruction"] = reconstruction_loss(features, torch.cat([visible, infrared]), weights)
    if options.sht or options.spt:
        f, g = transferred(features, weights, options)
        losses["transferred_identity"] = cross_entropy(g @ weights["C_T"].T, labels)
        # Eq. (13): both triplet losses.
        losses["transferred_triplet"] = cross_modality_triplet(
            f, labels, options.cross_margin, options.mining
        ) + same_modality_triplet(f, labels, options.same_margin, options.mining)
    return losses, features


FEATURE_WEIGHTS = {
    "shared_identity": 1.0,
    "shared_triplet": 0.5,
    "specific_identity": 0.5,
    "specific_triplet": 0.5,
    "transferred_identity": 1.0,
    "transferred_triplet": 0.25,
}
"""Eq. (18)."""
LAMBDA = {"reconstruction": 1.0, "modality": 0.2, "projection": 0.2}
"""Sec. 4.1."""


def network_objective(losses: dict[str, Tensor]) -> Tensor:
    """L_min of Eq. (20), which all weights but those of the discriminators descend."""
    total = sum(weight * losses[name] for name, weight in FEATURE_WEIGHTS.items() if name in losses)
    for name, sign in (("reconstruction", 1.0), ("modality", -1.0), ("projection", -1.0)):
        if name in losses:
            total = total + sign * LAMBDA[name] * losses[name]
    return total


def discriminator_objective(losses: dict[str, Tensor]) -> Tensor:
    """What the discriminators descend: they maximise L_max = -lambda_2 L_ma - lambda_3 L_pa of Eq. (20).

    Open: without the lambdas, which are the strength of the pull on the network; Adam does not see them.
    """
    return sum(losses[name] for name in ("modality", "projection") if name in losses)


def is_discriminator(name: str) -> bool:
    """Whether a weight is one of Theta_D, Theta^R, Theta^I."""
    return name.startswith(DISCRIMINATORS)


def gradients(losses: dict[str, Tensor], weights: Weights, trainable: list[str]) -> Weights:
    """Eq. (21): the gradient that each weight descends, of its own objective; weights that no loss reads have none."""
    out = {}
    sides = [(network_objective(losses), False)]
    if "modality" in losses or "projection" in losses:
        sides.append((discriminator_objective(losses), True))
    for objective, side in sides:
        names = [name for name in trainable if is_discriminator(name) == side]
        found = torch.autograd.grad(objective, [weights[name] for name in names], retain_graph=True, allow_unused=True)
        out.update({name: value for name, value in zip(names, found, strict=True) if value is not None})
    return out


# --- Sec. 3.4 and 4.5: testing ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Images:
    """What testing knows of some images of one modality: their H and P (n, d)."""

    shared: Tensor
    specific: Tensor
    visible: bool

    def rows(self, chosen: list[int]) -> Images:
        """Some of them."""
        return Images(self.shared[chosen], self.specific[chosen], self.visible)


def group_affinity(queries: Images, gallery: Images, k: int, apart: Tensor | None = None) -> Tensor:
    """A of a graph of some queries and the gallery, queries first.

    With k queries or more it is Eq. (8), with one query Eq. (22); for a number a between them (Fig. 4), open, the
    blocks of the queries' columns are amplified k / min(k, a) times. K in the lower left of Eq. (22) is k (Sec. 4.5).
    """
    count = len(queries.shared)
    a = affinity(
        torch.cat([queries.shared, gallery.shared]), torch.cat([queries.specific, gallery.specific]), count, k, apart
    ).clone()
    a[:, :count] = a[:, :count] * (k / min(k, count))
    return a


def ranking_distances(
    queries: Images,
    gallery: Images,
    weights: Weights,
    group_size: int,
    options: Options,
    apart: Tensor | None = None,
) -> Tensor:
    """Euclidean distances (q, n) of L2-normalised T behind the neck (Sec. 3.4), a graph per group of queries.

    All queries are one group, a single query (Sec. 4.5) is a group of 1.
    """
    out = torch.zeros(len(queries.shared), len(gallery.shared), dtype=queries.shared.dtype)
    for start in range(0, len(queries.shared), group_size):
        chosen = list(range(start, min(start + group_size, len(queries.shared))))
        group = queries.rows(chosen)
        a = group_affinity(group, gallery, options.k, None if apart is None else apart[chosen])
        z = padded(
            torch.cat([group.shared, gallery.shared]),
            torch.cat([group.specific, gallery.specific]),
            [group.visible] * len(chosen) + [gallery.visible] * len(gallery.shared),
            options,
        )
        _, t = feature_block(propagate(a, z, weights["W"]), weights, "Feat^t", False, options.bnneck)
        for row, i in enumerate(chosen):
            for j in range(len(gallery.shared)):
                query, image = t[row], t[len(chosen) + j]
                out[i, j] = length(query / length(query) - image / length(image))
    return out
