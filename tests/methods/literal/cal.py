"""CAL from its equations: Wu et al., ICCV 2023. V is visible, I infrared; T is a map's tokens (positions, channels).

What the paper leaves open follows the project's specification, each time with the word "open". Names of weights:

``DRM^V``, ``DRM^I`` (parts, 3 channels), ``Phi^V.*``, ``Phi^I.*`` (a list of linear layers by part), ``theta1.0``,
``theta1.1``, ``theta2.0``, ``theta2.1``, ``theta3.0``, ``theta3.1`` (linear layers of the three MLPs), ``neck``,
``classifier`` (identity head of the refined features).
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from tests.methods.literal.network import Weights, batch_norm, cross_entropy, length, linear

Matching = tuple[int, ...]
"""The infrared part that belongs to each visible part."""


@dataclass(frozen=True)
class Options:
    """Ablations of Table 4 and 5, and what the paper leaves open."""

    parts: int = 4
    drm: str = "mined"
    """``stripes``: horizontal chunks in place of mined regions; shared prototypes are the same under both names."""
    alpha: float = 0.6
    sigma: float = 0.6
    scores: str = "mlp"
    """``dot``: Eq. (6) in place of Eq. (9)."""
    channel_gate: bool = True
    cqm: bool = True
    """Whether parts are matched (Sec. 3.3) or paired by their index."""
    kd_mutual: bool = False
    """Open: whether the cross-refined teacher of Eq. (19) takes a gradient."""
    kd_temperature: float = 1.0
    """Open."""
    mask_similarity: str = "product"
    """``cosine`` (ours) in place of the inner product of Eq. (16)."""


# --- Sec. 3.2.1: discriminative region mining ------------------------------------------------------------------------


def tokens(x: Tensor) -> Tensor:
    """T (h w, C) of a map (C, h, w)."""
    return x.reshape(x.shape[0], -1).T


def max_pool(x: Tensor, size: int) -> Tensor:
    """Open: windows do not overlap, and the last ones may be smaller."""
    channels, height, width = x.shape
    rows = []
    for top in range(0, height, size):
        row = []
        for left in range(0, width, size):
            window = x[:, top : top + size, left : left + size].reshape(channels, -1)
            row.append(torch.stack([window[c].max() for c in range(channels)]))
        rows.append(torch.stack(row, dim=1))
    return torch.stack(rows, dim=1)


def upsample(x: Tensor, height: int, width: int) -> Tensor:
    """Open: bilinear, pixel centres at half-integers, constant beyond the outermost."""

    def sources(size: int, wanted: int) -> list[tuple[int, int, float]]:
        out = []
        for place in range(wanted):
            at = min(max((place + 0.5) * size / wanted - 0.5, 0.0), size - 1.0)
            low = math.floor(at)
            out.append((low, min(low + 1, size - 1), at - low))
        return out

    rows = []
    for y0, y1, fy in sources(x.shape[1], height):
        row = []
        for x0, x1, fx in sources(x.shape[2], width):
            upper = (1 - fx) * x[:, y0, x0] + fx * x[:, y0, x1]
            lower = (1 - fx) * x[:, y1, x0] + fx * x[:, y1, x1]
            row.append((1 - fy) * upper + fy * lower)
        rows.append(torch.stack(row, dim=1))
    return torch.stack(rows, dim=1)


def part_scores(x: Tensor, prototypes: Tensor) -> Tensor:
    """S (h w, parts) of a map (C, h, w): three scales, a 1x1 convolution without bias, softmax over the positions."""
    height, width = x.shape[1:]
    scales = [x, upsample(max_pool(x, 3), height, width), upsample(max_pool(x, 5), height, width)]
    scores = tokens(torch.cat(scales)) @ prototypes.T
    return torch.stack([softmax(scores[:, part]) for part in range(scores.shape[1])], dim=1)


def softmax(values: Tensor) -> Tensor:
    """Of a vector."""
    exponentials = torch.exp(values - values.max())
    return exponentials / exponentials.sum()


def select(scores: Tensor, alpha: float) -> Tensor:
    """S^ of Eq. (3): of every part the N_k largest scores, else 0."""
    positions, parts = scores.shape
    count = math.ceil(alpha * positions / parts)
    out = torch.zeros_like(scores)
    for part in range(parts):
        order = sorted(range(positions), key=lambda at: -float(scores[at, part].detach()))
        for at in order[:count]:
            out[at, part] = scores[at, part]
    return out


def part_vectors(selected: Tensor, t: Tensor) -> Tensor:
    """P (parts, C) of Eq. (3)."""
    return torch.stack([(s[:, None] * t).sum(dim=0) / s.sum() for s in selected.T])


def discriminability(p: Tensor, weights: Weights, m: str, label: int) -> Tensor:
    """L_dis of one image, Eq. (4); open: the classifiers exist once per modality."""
    terms = [cross_entropy(linear(p[i], weights, f"Phi^{m}.{i}")[None], [label]) for i in range(len(p))]
    return sum(terms)


def diversity(selected: Tensor) -> Tensor:
    """L_div of one image, Eq. (5)."""
    product = selected.T @ selected
    parts = len(product)
    return sum(product[i, j] for i in range(parts) for j in range(i + 1, parts))


# --- Sec. 3.2.2: target-aware style-agnostic attention ---------------------------------------------------------------


def style(t: Tensor) -> tuple[Tensor, Tensor]:
    """mu and sigma of Eq. (7), per channel over an image's tokens; open: biased variance, and 1e-5 added to it."""
    mean = t.mean(dim=0)
    return mean, torch.sqrt(((t - mean) ** 2).mean(dim=0) + 1e-5)


def mlp(x: Tensor, weights: Weights, name: str) -> Tensor:
    """M(x; theta); open: two layers, ReLU between them."""
    return linear(linear(x, weights, f"{name}.0").relu(), weights, f"{name}.1")


def mask(t: Tensor, p: Tensor, t_of_p: Tensor, weights: Weights, options: Options) -> Tensor:
    """S(T, P) (parts, positions) of Eq. (9) and (10); ``t_of_p`` are the tokens that P was taken from, Eq. (7)."""
    if options.scores == "mlp":
        (mean, deviation), (mean_of_p, deviation_of_p) = style(t), style(t_of_p)
        t_hat = mlp((t - mean) / deviation, weights, "theta1")
        p_hat = mlp((p - mean_of_p) / deviation_of_p, weights, "theta2")
    else:
        t_hat, p_hat = t, p
    scores = p_hat @ t_hat.T / math.sqrt(t_hat.shape[1])
    return torch.stack([softmax(row) for row in scores])


def refine(t: Tensor, p: Tensor, s: Tensor, weights: Weights, options: Options) -> Tensor:
    """A(T; P) (parts, C) of Eq. (8) under the mask ``s``; open: the gate ends in a sigmoid."""
    attended = s @ t
    return attended * torch.sigmoid(mlp(p, weights, "theta3")) if options.channel_gate else attended


# --- Sec. 3.2.3 and 3.3: a batch -------------------------------------------------------------------------------------


@dataclass
class Refined:
    """Of one image: what its parts find in its own map and in that of its partner in the other modality."""

    own_mask: Tensor
    own: Tensor
    """f^{V,V} or f^{I,I} (parts, C), Eq. (12)."""
    cross_mask: Tensor
    cross: Tensor
    """f^{I,V} of a visible image, f^{V,I} of an infrared one, Eq. (11)."""


@dataclass
class Image:
    """An image of the batch with all that its own map gives."""

    m: str
    label: int
    t: Tensor
    selected: Tensor | None
    """S^; nothing for stripes."""
    p: Tensor


def stripes(x: Tensor, count: int) -> Tensor:
    """Horizontal chunks of a map (C, h, w), averaged, as parts (count, C): HS of Table 4; the height divides."""
    rows = x.shape[1] // count
    return torch.stack([x[:, i * rows : (i + 1) * rows].mean(dim=(1, 2)) for i in range(count)])


def read_image(x: Tensor, m: str, label: int, weights: Weights, options: Options) -> Image:
    """Parts of a map (C, h, w)."""
    if options.drm == "stripes":
        return Image(m, label, tokens(x), None, stripes(x, options.parts))
    selected = select(part_scores(x, weights[f"DRM^{m}"]), options.alpha)
    return Image(m, label, tokens(x), selected, part_vectors(selected, tokens(x)))


def refine_image(image: Image, partner: Image, weights: Weights, options: Options) -> Refined:
    """Eq. (11) and (12); ``partner`` is of the same identity and the other modality."""
    own_mask = mask(image.t, image.p, image.t, weights, options)
    cross_mask = mask(partner.t, image.p, image.t, weights, options)
    return Refined(
        own_mask,
        refine(image.t, image.p, own_mask, weights, options),
        cross_mask,
        refine(partner.t, image.p, cross_mask, weights, options),
    )


def unit(vector: Tensor) -> Tensor:
    """At length 1."""
    return vector / length(vector)


def centres(rows: list[Tensor], labels: list[int]) -> dict[int, Tensor]:
    """Eq. (13) by identity, of one part's features; open: features have length 1, and centres again."""
    out = {}
    for label in dict.fromkeys(labels):
        members = [row for row, other in zip(rows, labels, strict=True) if other == label]
        out[label] = unit(sum(members) / len(members))
    return out


def part_aligned_centre_loss(
    images: list[Image], refined: list[Refined], matching: Matching, options: Options
) -> Tensor:
    """L_pcl, Eq. (14) and (15). Open: every term is a mean over its pairs, the loss a mean over the parts.

    Visible part v and infrared part ``matching[v]`` are compared across the modalities; open, as the parts of both
    modalities have no common order.
    """
    of = {m: [i for i, image in enumerate(images) if image.m == m] for m in "VI"}
    labels = {m: [images[i].label for i in of[m]] for m in "VI"}
    total = 0.0
    for v in range(options.parts):
        part = {"V": v, "I": matching[v]}
        c = {m: centres([unit(refined[i].own[part[m]]) for i in of[m]], labels[m]) for m in "VI"}
        for m in "VI":
            # f^{V,I} belongs to an infrared image and meets the infrared centre.
            pulls = [length(unit(refined[i].cross[part[m]]) - c[m][images[i].label]) for i in of[m]]
            total = total + sum(pulls) / len(pulls)
        for first, second in (("I", "V"), ("I", "I"), ("V", "V")):
            pushes = []
            for y, centre in c[first].items():
                pushes += [_hinge(options.sigma - length(centre - other)) for z, other in c[second].items() if y != z]
            total = total + sum(pushes) / len(pushes)
    return total / options.parts


def _hinge(value: Tensor) -> Tensor:
    return value if value > 0 else 0.0 * value


def edge_weights(cross_mask: Tensor, own_mask: Tensor, options: Options) -> Tensor:
    """w[u, v] of Eq. (16): both masks lie on one map, u the part of the visitor, v that of the map's image."""
    parts = len(own_mask)
    out = torch.zeros(parts, parts, dtype=own_mask.dtype)
    for u in range(parts):
        for v in range(parts):
            w = (cross_mask[u] * own_mask[v]).sum()
            if options.mask_similarity == "cosine":
                w = w / (length(cross_mask[u]) * length(own_mask[v]))
            out[u, v] = w
    return out


def best_matching(w: Tensor, options: Options) -> Matching:
    """M of Eq. (17) by trying all: for every u the v it is matched with."""
    if not options.cqm:
        return tuple(range(len(w)))
    return max(permutations(range(len(w))), key=lambda m: float(sum(w[u, v] for u, v in enumerate(m)).detach()))


def kl_divergence(teacher: Tensor, student: Tensor) -> Tensor:
    """D_kl(teacher || student) of two distributions."""
    return (teacher * (torch.log(teacher) - torch.log(student))).sum()


def as_visible_to_infrared(m: Matching, visitor: str) -> Matching:
    """A matching u -> v as visible -> infrared, where u are the parts of the modality ``visitor``."""
    if visitor == "V":
        return m
    out = [0] * len(m)
    for infrared, visible in enumerate(m):
        out[visible] = infrared
    return tuple(out)


@dataclass
class Step:
    """What a training step gives."""

    losses: dict[str, Tensor]
    """Terms of Eq. (20), without a weight."""
    matchings: list[Matching]
    """Of every pair, visible -> infrared."""


def training_step(
    visible: Tensor,
    infrared: Tensor,
    labels: list[int],
    partners: list[int],
    weights: Weights,
    options: Options,
    centre_matching: Matching | None = None,
) -> Step:
    """All losses of maps (b, C, h, w) of either modality; ``labels`` and ``partners`` are of [V; I].

    ``partners``: for each image one of the same identity in the other modality, by its place in [V; I].
    ``centre_matching``: the matching that L_pcl compares centres by; paired by index if None.
    """
    maps = [*visible, *infrared]
    ms = ["V"] * len(visible) + ["I"] * len(infrared)
    images = [read_image(x, m, y, weights, options) for x, m, y in zip(maps, ms, labels, strict=True)]
    for i, j in enumerate(partners):
        assert labels[i] == labels[j] and ms[i] != ms[j]
    refined = [refine_image(image, images[j], weights, options) for image, j in zip(images, partners, strict=True)]

    # Open: one identity head for all parts, modalities and kinds, whose norm sees them all together.
    rows = torch.cat([r.own for r in refined] + [r.cross for r in refined])
    logits = batch_norm(rows, weights, "neck", True) @ weights["classifier"].T
    own_logits, cross_logits = logits.view(2, len(images), options.parts, -1)
    row_labels = [y for y in labels for _ in range(options.parts)]
    identity = cross_entropy(logits, row_labels + row_labels)

    kd1, kd2, matchings = [], [], []
    for i, j in enumerate(partners):
        # i visits the map of j; Eq. (16) to (19) are on the visible side where i is infrared.
        w = edge_weights(refined[i].cross_mask, refined[j].own_mask, options)
        m = best_matching(w, options)
        matchings.append(as_visible_to_infrared(m, images[i].m))
        kd1.append(-sum(w[u, v] for u, v in enumerate(m)))
        terms = []
        for u, v in enumerate(m):
            teacher = softmax(cross_logits[i, u] / options.kd_temperature)
            student = softmax(own_logits[j, v] / options.kd_temperature)
            terms.append(kl_divergence(teacher if options.kd_mutual else teacher.detach(), student))
        kd2.append(sum(terms))

    losses = {
        "identity": identity,
        "metric": part_aligned_centre_loss(images, refined, centre_matching or tuple(range(options.parts)), options),
        "kd1": sum(kd1) / len(kd1),
        "kd2": sum(kd2) / len(kd2),
        "dis": sum(discriminability(i.p, weights, i.m, i.label) for i in images) / len(images),
    }
    if options.drm == "mined":
        losses["div"] = sum(diversity(i.selected) for i in images) / len(images)
    return Step(losses, matchings)


LAMBDA = {"identity": 1.0, "metric": 1.0, "kd1": 1.0, "kd2": 1.0, "dis": 0.1, "div": 0.1}
"""Eq. (20) and Sec. 4.1."""


# --- Sec. 3.3 and 3.4: testing ---------------------------------------------------------------------------------------


def most_frequent(matchings: list[Matching]) -> Matching:
    """M^ of Sec. 3.3. Open: whole permutations are counted."""
    return Counter(matchings).most_common(1)[0][0]


def reordered(prototypes: Tensor, matching: Matching) -> Tensor:
    """Rows of the infrared DRM so that part p means the same in both modalities (Sec. 3.4)."""
    return torch.stack([prototypes[matching[p]] for p in range(len(prototypes))])


def embed(x: Tensor, m: str, weights: Weights, options: Options) -> Tensor:
    """Self-refined parts (parts, C) of a map (C, h, w)."""
    image = read_image(x, m, -1, weights, options)
    return refine(image.t, image.p, mask(image.t, image.p, image.t, weights, options), weights, options)


def similarity(first: Tensor, second: Tensor) -> Tensor:
    """Sum over the parts of the cosine (Sec. 3.4)."""
    return sum((a * b).sum() / (length(a) * length(b)) for a, b in zip(first, second, strict=True))


def learning_rate(epoch: int) -> float:
    """Sec. 4.1, epochs from 0: 0.01 to 0.1 over the first 10, then half a cosine to 1e-3 in the 100th."""
    if epoch < 10:
        return 0.01 * (epoch + 1)
    return 1e-3 + (0.1 - 1e-3) * (1 + math.cos(math.pi * (epoch - 9) / 90)) / 2
