"""CAL from its equations: Wu et al., ICCV 2023. V is visible, I infrared; T is a map's tokens (positions, channels).

What the paper leaves open follows the project's specification, each time with the word "open"; where that is silent
too, the method's own documentation, with the word "ours". Names of weights:

``Conv^V.*``, ``Conv^I.*`` (stems), ``Conv.*`` (layers of a ResNet-18 in place of ResNet-50), ``DRM^V``, ``DRM^I``
(parts, 3 channels), ``Phi^V.*``, ``Phi^I.*`` (a list of linear layers by part), ``theta1.0``, ``theta1.1``,
``theta2.0``, ``theta2.1``, ``theta3.0``, ``theta3.1`` (linear layers of the three MLPs), ``neck``, ``classifier``
(identity head of the refined features, or ``neck.0``, ``classifier.0``, ... by part), ``Queries^V``, ``Queries^I``
(learnt vectors), ``centres`` (of the centre loss). What both modalities share has no modality in its name.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import permutations

import torch
from torch import Tensor

from tests.methods.literal.network import Weights, batch_norm, cross_entropy, length, linear, resnet18_stages

Matching = tuple[int, ...]
"""The infrared part that belongs to each visible part."""


@dataclass(frozen=True)
class Options:
    """Ablations of Table 4 and 5, and what the paper leaves open."""

    parts: int = 4
    drm: str = "modality"
    """Mined regions, ``shared`` by the modalities or not; or ``stripes`` or learnt ``vectors`` in their place."""
    alpha: float = 0.6
    sigma: float = 0.6
    pooling: str = "strided"
    """Open: pooling windows that do not overlap, or ``sliding`` ones without upsampling."""
    identity_on: str = "all"
    """Open: whether L_id meets cross-refined features too, or ``self``-refined ones alone."""
    metric_loss: str = "pcl"
    """Or what Table 4 has in its place: ``triplet``, ``centre``, ``ica-cca``."""
    metric_normalise: bool = True
    """Open: whether L_pcl meets part features and centres of length 1."""
    pcl_reduction: str = "mean"
    """Open: the mean of every term of Eq. (14) over its pairs, or the printed ``sum``."""
    margin: float = 0.3
    """Ours: of the triplet loss."""
    scores: str = "mlp"
    """``dot``: Eq. (6) in place of Eq. (9)."""
    channel_gate: bool = True
    cqm: str = "match"
    """Whether parts are matched (Sec. 3.3) or paired by their index, ``identity``."""
    kd_mutual: bool = False
    """Open: whether the cross-refined teacher of Eq. (19) takes a gradient."""
    kd_temperature: float = 1.0
    """Open."""
    mask_similarity: str = "product"
    """``cosine`` (ours) in place of the inner product of Eq. (16)."""


def shared_or_own(weights: Weights, name: str, m: str) -> str:
    """The name of what both modalities share or each has for itself."""
    shared = any(key == name or key.startswith(f"{name}.") for key in weights)
    return name if shared else f"{name}^{m}"


def feature_maps(visible: Tensor, infrared: Tensor, weights: Weights, training: bool) -> Tensor:
    """X of [V; I]. Open: each modality has its own stem, the layers see both as one batch."""
    stems = [
        resnet18_stages(images, weights, f"Conv^{m}", range(1), training)
        for m, images in (("V", visible), ("I", infrared))
    ]
    return resnet18_stages(torch.cat(stems), weights, "Conv", range(1, 5), training)


def baseline_loss(maps: Tensor, labels: list[int], weights: Weights) -> Tensor:
    """L_id alone, of the baseline of Table 3; open: average pooling and a neck in front of the classifier."""
    return cross_entropy(batch_norm(maps.mean(dim=(2, 3)), weights, "neck", True) @ weights["classifier"].T, labels)


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
            row.append(window.max(dim=1).values)
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


def sliding_pool(x: Tensor, size: int) -> Tensor:
    """The maximum around every position, of what of the window lies on the map."""
    channels, height, width = x.shape
    out = torch.zeros_like(x)
    reach = size // 2
    for top in range(height):
        for left in range(width):
            rows = slice(max(top - reach, 0), top + reach + 1)
            window = x[:, rows, max(left - reach, 0) : left + reach + 1].reshape(channels, -1)
            out[:, top, left] = window.max(dim=1).values
    return out


def part_scores(x: Tensor, prototypes: Tensor, pooling: str = "strided") -> Tensor:
    """S (h w, parts) of a map (C, h, w): three scales, a 1x1 convolution without bias, softmax over the positions."""
    height, width = x.shape[1:]
    if pooling == "sliding":
        scales = [x, sliding_pool(x, 3), sliding_pool(x, 5)]
    else:
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
    phi = shared_or_own(weights, "Phi", m)
    return sum(cross_entropy(linear(p[i], weights, f"{phi}.{i}")[None], [label]) for i in range(len(p)))


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
    """S(T, P) (parts, positions) of Eq. (9) and (10); ``t_of_p`` are the tokens that P was taken from, Eq. (7).

    Ours: learnt vectors come from no map, and are not normalised.
    """
    if options.scores == "mlp":
        (mean, deviation), (mean_of_p, deviation_of_p) = style(t), style(t_of_p)
        t_hat = mlp((t - mean) / deviation, weights, "theta1")
        p_hat = mlp(p if options.drm == "vectors" else (p - mean_of_p) / deviation_of_p, weights, "theta2")
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
    """S^, of mined regions."""
    p: Tensor


def stripes(x: Tensor, count: int) -> Tensor:
    """Horizontal chunks of a map (C, h, w), averaged, as parts (count, C): HS of Table 4; the height divides."""
    rows = x.shape[1] // count
    return torch.stack([x[:, i * rows : (i + 1) * rows].mean(dim=(1, 2)) for i in range(count)])


def read_image(x: Tensor, m: str, label: int, weights: Weights, options: Options) -> Image:
    """Parts of a map (C, h, w)."""
    if options.drm == "stripes":
        return Image(m, label, tokens(x), None, stripes(x, options.parts))
    if options.drm == "vectors":
        return Image(m, label, tokens(x), None, weights[shared_or_own(weights, "Queries", m)])
    prototypes = weights[shared_or_own(weights, "DRM", m)]
    selected = select(part_scores(x, prototypes, options.pooling), options.alpha)
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


def centres(rows: list[Tensor], groups: list[int]) -> dict[int, Tensor]:
    """The mean of the rows of each group, Eq. (13) with identities as groups."""
    out = {}
    for group in dict.fromkeys(groups):
        members = [row for row, other in zip(rows, groups, strict=True) if other == group]
        out[group] = sum(members) / len(members)
    return out


def part_aligned_centre_loss(own: list[Tensor], cross: list[Tensor], images: list[Image], options: Options) -> Tensor:
    """L_pcl, Eq. (14) and (15), of one part's features of all images.

    Open: features and centres have length 1, and every term is a mean over its pairs.
    """

    def at_length(row: Tensor) -> Tensor:
        return unit(row) if options.metric_normalise else row

    def reduced(terms: list[Tensor]) -> Tensor:
        return sum(terms) / len(terms) if options.pcl_reduction == "mean" else sum(terms)

    of = {m: [i for i, image in enumerate(images) if image.m == m] for m in "VI"}
    c: dict[str, dict[int, Tensor]] = {}
    total = torch.zeros(())
    for m in "VI":
        means = centres([at_length(own[i]) for i in of[m]], [images[i].label for i in of[m]])
        c[m] = {label: at_length(mean) for label, mean in means.items()}
        # f^{V,I} belongs to an infrared image and meets the infrared centre.
        total = total + reduced([length(at_length(cross[i]) - c[m][images[i].label]) for i in of[m]])
    for first, second in (("I", "V"), ("I", "I"), ("V", "V")):
        pushes = []
        for y, centre in c[first].items():
            pushes += [_hinge(options.sigma - length(centre - other)) for z, other in c[second].items() if y != z]
        total = total + reduced(pushes)
    return total


def triplet_loss(rows: list[Tensor], labels: list[int], margin: float) -> Tensor:
    """Hermans et al., arXiv 2017, Eq. (5), as a mean over the anchors, which may be of either modality."""
    terms = []
    for i, anchor in enumerate(rows):
        positives = [length(anchor - row) for j, row in enumerate(rows) if labels[j] == labels[i] and j != i]
        negatives = [length(anchor - row) for j, row in enumerate(rows) if labels[j] != labels[i]]
        terms.append(_hinge(margin + max(positives) - min(negatives)))
    return sum(terms) / len(terms)


def centre_aggregation(rows: list[Tensor], groups: list[int], margin: float) -> Tensor:
    """Ours, after Hao et al., ICCV 2021: squared distances to the group's centre beyond that of its nearest row, and
    a hinge on the mean over the rows of the squared distance from their centre to the nearest other one."""
    c = centres(rows, groups)
    away = [((row - c[group]) ** 2).sum() for row, group in zip(rows, groups, strict=True)]
    pulls, gaps = [], []
    for i, group in enumerate(groups):
        pulls.append(away[i] - min(away[j] for j, other in enumerate(groups) if other == group))
        gaps.append(min(((c[group] - centre) ** 2).sum() for other, centre in c.items() if other != group))
    return sum(pulls) / len(pulls) + _hinge(margin - sum(gaps) / len(gaps))


def metric_loss(
    images: list[Image],
    refined: list[Refined],
    cameras: list[int],
    matching: Matching,
    weights: Weights,
    options: Options,
) -> Tensor:
    """L_pcl or what Table 4 has in its place; open: the mean over the parts.

    Visible part v belongs to infrared part ``matching[v]``; open, as the parts of both modalities have no common order.
    Ours: what stands in for L_pcl meets self-refined features of length 1.
    """
    labels = [image.label for image in images]
    terms = []
    for v in range(options.parts):
        part = {"V": v, "I": matching[v]}
        own = [r.own[part[image.m]] for image, r in zip(images, refined, strict=True)]
        if options.metric_loss == "pcl":
            cross = [r.cross[part[image.m]] for image, r in zip(images, refined, strict=True)]
            terms.append(part_aligned_centre_loss(own, cross, images, options))
            continue
        rows = [unit(row) for row in own] if options.metric_normalise else own
        if options.metric_loss == "triplet":
            terms.append(triplet_loss(rows, labels, options.margin))
        elif options.metric_loss == "centre":
            # Wen et al., ECCV 2016, Eq. (2); ours: a mean over the rows, and centres that the optimiser trains.
            squares = [((row - weights["centres"][y, v]) ** 2).sum() for row, y in zip(rows, labels, strict=True)]
            terms.append(0.5 * sum(squares) / len(squares))
        else:
            by_identity = centre_aggregation(rows, labels, options.sigma)
            terms.append(by_identity + centre_aggregation(rows, cameras, options.sigma))
    return sum(terms) / len(terms)


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
    if options.cqm == "identity":
        return tuple(range(len(w)))
    table = w.tolist()
    return max(permutations(range(len(w))), key=lambda m: sum(table[u][v] for u, v in enumerate(m)))


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


def identity_logits(rows: Tensor, weights: Weights) -> Tensor:
    """Logits (rows, parts, classes) of part features (rows, parts, C); the norm sees all rows together.

    Open: one head for all parts, modalities and kinds, or one per part.
    """
    if "classifier" in weights:
        flat = batch_norm(rows.flatten(0, 1), weights, "neck", True) @ weights["classifier"].T
        return flat.view(*rows.shape[:2], -1)
    parts = [
        batch_norm(rows[:, i], weights, f"neck.{i}", True) @ weights[f"classifier.{i}"].T for i in range(rows.shape[1])
    ]
    return torch.stack(parts, dim=1)


def training_step(
    maps: Tensor, labels: list[int], cameras: list[int], partners: list[int], weights: Weights, options: Options
) -> Step:
    """All losses of maps (B, C, h, w) of [V; I] with their ``labels`` and ``cameras``.

    ``partners``: for each image one of the same identity in the other modality, by its place in [V; I].
    """
    ms = ["V"] * (len(maps) // 2) + ["I"] * (len(maps) // 2)
    images = [read_image(x, m, y, weights, options) for x, m, y in zip(maps, ms, labels, strict=True)]
    for i, j in enumerate(partners):
        assert labels[i] == labels[j] and ms[i] != ms[j]
    refined = [refine_image(image, images[j], weights, options) for image, j in zip(images, partners, strict=True)]

    logits = identity_logits(torch.stack([r.own for r in refined] + [r.cross for r in refined]), weights)
    own_logits, cross_logits = logits[: len(images)], logits[len(images) :]
    judged = logits if options.identity_on == "all" else own_logits
    row_labels = [y for y in labels for _ in range(options.parts)]
    identity = cross_entropy(judged.flatten(0, 1), row_labels * (len(judged) // len(images)))

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
        # Ours: a temperature's square makes up for the smaller gradient (Hinton et al., arXiv 2015, Sec. 2).
        kd2.append(options.kd_temperature**2 * sum(terms))

    losses = {
        "identity": identity,
        # Ours: L_pcl compares parts by the matching that most pairs of the batch have.
        "metric": metric_loss(images, refined, cameras, most_frequent(matchings), weights, options),
        "kd1": sum(kd1) / len(kd1),
        "kd2": sum(kd2) / len(kd2),
    }
    if options.drm != "vectors":
        losses["dis"] = sum(discriminability(i.p, weights, i.m, i.label) for i in images) / len(images)
    if options.drm not in ("vectors", "stripes"):
        losses["div"] = sum(diversity(i.selected) for i in images) / len(images)
    return Step(losses, matchings)


LAMBDA = {"identity": 1.0, "metric": 1.0, "kd1": 1.0, "kd2": 1.0, "dis": 0.1, "div": 0.1}
"""Eq. (20) and Sec. 4.1."""


# --- Sec. 3.3 and 3.4: testing ---------------------------------------------------------------------------------------


def most_frequent(matchings: list[Matching]) -> Matching:
    """M^ of Sec. 3.3. Open: whole permutations are counted; ours: of equally frequent ones the first in order."""
    counts = Counter(matchings)
    return min(counts, key=lambda matching: (-counts[matching], matching))


def most_frequent_by_edges(matchings: list[Matching]) -> Matching:
    """Open: the permutation whose pairs of parts were matched most often, each counted by itself."""
    counts = Counter((p, q) for matching in matchings for p, q in enumerate(matching))
    parts = len(matchings[0])
    return max(permutations(range(parts)), key=lambda m: sum(counts[p, q] for p, q in enumerate(m)))


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
