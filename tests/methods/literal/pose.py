"""Pose once more, from its equations: Miao et al., "On Exploring Pose Estimation as an Auxiliary Learning Task for
Visible-Infrared Person Re-identification", Neurocomputing 2023. Equation numbers are the paper's.

Names of weights: ``backbone``, ``pose`` (the branch, by the paper's names of its blocks), ``part.id.3``,
``part.pose.3`` and ``teacher`` (PCB models).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor

from tests.methods.literal.numerics import (
    Network,
    batch_norm,
    conv,
    cross_entropy,
    euclidean,
    hetero_centre_terms,
    leaky_relu,
    linear,
    relu,
    shared_layer,
    sigmoid,
    softmax,
    specific_stages,
    unit,
)

WEIGHTS = {"identity": 1.0, "triplet": 0.1, "pose": 5.0, "distillation": 1.0, "teacher_identity": 1.0}
"""1, beta, lambda and gamma of Eq. 21; the teacher's own loss is the variant's."""


@dataclass(frozen=True)
class Switches:
    """The paper's constants, and the rows of its ablation."""

    parts: int = 6
    scale: float = 5.0
    """Length of a part's feature; of the official code."""
    margin: float = 0.3
    temperature: float = 1.0
    peb: bool = True
    pose_loss: bool = True
    hfc: bool = True
    tri: Literal["hetero-centre", "midcontrast"] = "hetero-centre"
    teacher: Literal["joint", "ce_detach"] = "joint"


@dataclass
class Outputs:
    """What the network makes of a batch."""

    features: list[Tensor]
    """f (B, d) of every part: the re-ID branch's from top to bottom, then the pose branch's (Eq. 11)."""
    logits: list[Tensor]
    """Of every part, in the same order."""
    heatmaps: Tensor | None
    """H^ (B, C, H/4, W/4), Eq. 4, where something learns from it."""
    teacher_logits: Tensor | None
    """y_T of Eq. 14."""


def conv_norm_relu(net: Network, name: str, x: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """Convolution, batch norm, ReLU."""
    return relu(batch_norm(net, f"{name}.norm", conv(net, name, x, stride, dilation)))


def conv_relu(net: Network, name: str, x: Tensor) -> Tensor:
    """Convolution and ReLU, no norm."""
    return relu(conv(net, name, x))


def doubled(net: Network, name: str, x: Tensor) -> Tensor:
    """A transposed 3x3 convolution of stride 2 that doubles height and width, batch norm, ReLU."""
    weight, bias = net.weights[f"{name}.weight"], net.weights.get(f"{name}.bias")
    out = functional.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)
    return relu(batch_norm(net, f"{name}.norm", out))


def interpolation(small: int, large: int) -> Tensor:
    """(large, small): linear interpolation along one side, pixels taken as areas (corners not aligned)."""
    matrix = torch.zeros(large, small, dtype=torch.float64)
    for target in range(large):
        place = max((target + 0.5) * small / large - 0.5, 0.0)
        low = math.floor(place)
        high = min(low + 1, small - 1)
        matrix[target, low] += 1.0 - (place - low)
        matrix[target, high] += place - low
    return matrix


def upsampled(x: Tensor, like: Tensor) -> Tensor:
    """Bilinear enlargement of a map to the size of another."""
    rows, columns = interpolation(x.shape[2], like.shape[2]), interpolation(x.shape[3], like.shape[3])
    return torch.einsum("yh,bchw,xw->bcyx", rows, x, columns)


def u_block(net: Network, name: str, x: Tensor) -> Tensor:
    """U-shaped block of Osokin, arXiv:1906.04104: two levels down, two levels up with skips."""
    first = conv_norm_relu(net, f"{name}.encoder1.1", conv_norm_relu(net, f"{name}.encoder1.0", x, stride=2))
    second = conv_norm_relu(net, f"{name}.encoder2.1", conv_norm_relu(net, f"{name}.encoder2.0", first, stride=2))
    up = torch.cat([first, upsampled(second, first)], dim=1)
    up = conv_norm_relu(net, f"{name}.decoder2.1", conv_norm_relu(net, f"{name}.decoder2.0", up))
    up = torch.cat([x, upsampled(up, x)], dim=1)
    return conv_norm_relu(net, f"{name}.decoder1.1", conv_norm_relu(net, f"{name}.decoder1.0", up))


def refine_block(net: Network, name: str, x: Tensor) -> Tensor:
    """1x1 convolution without norm, plus two 3x3 convolutions of it, the second dilated by 2."""
    x = conv_relu(net, f"{name}.initial", x)
    inner = conv_norm_relu(net, f"{name}.trunk.0", x)
    return x + conv_norm_relu(net, f"{name}.trunk.1", inner, dilation=2)


def refined_features(net: Network, high_level: Tensor) -> Tensor:
    """F_R of Eq. 3: the trunk reads F_p2 beside a first map made from it."""
    first_map = conv_norm_relu(net, "pose.initial", high_level)
    x = u_block(net, "pose.u", torch.cat([high_level, first_map], dim=1))
    for block in range(3):
        x = refine_block(net, f"pose.refine.{block}", x)
    return x


def estimated_heatmaps(net: Network, refined: Tensor) -> Tensor:
    """H^ of Eq. 4."""
    return conv(net, "pose.heatmap.1", conv_relu(net, "pose.heatmap.0", refined))


def stripes(maps: Tensor, parts: int) -> list[Tensor]:
    """Eq. 10: average-pooled horizontal stripes (B, C); where the height does not divide they overlap by a row."""
    height = maps.shape[2]
    rows = [(i * height // parts, -(-(i + 1) * height // parts)) for i in range(parts)]
    return [maps[:, :, top:bottom].mean(dim=(2, 3)) for top, bottom in rows]


def pcb(net: Network, name: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """A PCB model: feature f (Eq. 11, linear and batch norm), and logits behind a leaky ReLU of slope 0.1."""
    feature = batch_norm(net, f"{name}.norm", linear(net, f"{name}.linear", x))
    return feature, linear(net, f"{name}.classifier", leaky_relu(feature, 0.1))


def outputs(net: Network, shared_input: Tensor, switches: Switches) -> Outputs:
    """Eq. 1 from layer2 on, to Eq. 14, of the outputs of the modality-specific blocks."""
    f_s = shared_layer(net, 2, shared_input)
    # Eq. 8 prints the image as the input of Block 4; it is F_S.
    f_id2 = shared_layer(net, 4, shared_layer(net, 3, f_s))
    if not switches.peb:
        pairs = [pcb(net, f"part.id.{i}", x) for i, x in enumerate(stripes(f_id2, switches.parts))]
        return Outputs([f for f, _ in pairs], [y for _, y in pairs], None, None)
    f_p1 = conv_norm_relu(net, "pose.conv1", f_s)  # Eq. 2
    f_p2 = doubled(net, "pose.dconv2", f_p1)  # Eq. 2
    f_r = refined_features(net, f_p2)  # Eq. 3
    down = conv_norm_relu(net, "pose.conv3", f_r, stride=2)  # Eq. 5
    # Eq. 6. No ReLU behind the last convolution: it would confine the mask to [0.5, 1).
    inner = conv_norm_relu(net, "pose.block6.0", down + f_p1, stride=2)
    f_p = batch_norm(net, "pose.block6.1.norm", conv(net, "pose.block6.1", inner))
    f_id = f_id2 * sigmoid(f_p)  # Eq. 7 and 9
    pairs = [pcb(net, f"part.id.{i}", x) for i, x in enumerate(stripes(f_id, switches.parts))]
    pairs += [pcb(net, f"part.pose.{i}", x) for i, x in enumerate(stripes(f_p, switches.parts))]
    teacher = None
    if switches.hfc:
        # The features before the mask.
        _, teacher = pcb(net, "teacher", torch.cat([f_id2, f_p], dim=1).mean(dim=(2, 3)))
    heatmaps = estimated_heatmaps(net, f_r) if switches.pose_loss else None
    return Outputs([f for f, _ in pairs], [y for _, y in pairs], heatmaps, teacher)


def batch_outputs(net: Network, visible: Tensor, infrared: Tensor, switches: Switches) -> Outputs:
    """Of a training batch, visible rows first: each modality through its own stem and layer1, then all together."""
    streams = [specific_stages(net, m, x, 1) for m, x in (("visible", visible), ("infrared", infrared))]
    return outputs(net, torch.cat(streams), switches)


def identity_loss(logits: list[Tensor], labels: Tensor) -> Tensor:
    """Eq. 17: the mean over the batch of the sum over the parts."""
    return torch.stack([cross_entropy(part, labels) for part in logits]).sum()


def hetero_centre_loss(metric_features: list[Tensor], labels: Tensor, visible: Tensor, margin: float) -> Tensor:
    """Eq. 18 to 20: sums over the identities, both modalities and all parts."""
    terms = [t for part in metric_features for t in hetero_centre_terms(part, labels, visible, margin)]
    return torch.stack(terms).sum()


def mid_contrast_loss(metric_features: list[Tensor], labels: Tensor, visible: Tensor, margin: float) -> Tensor:
    """The official code's loss in the place of Eq. 19: every modality's centres against the mid centres.

    Mean over the pairs of d^2 for one identity, of max(margin - sqrt(d), 0)^2 for two, d their Euclidean distance;
    summed over the modalities and the parts.
    """
    identities = sorted(set(labels.tolist()))
    total = torch.zeros((), dtype=torch.float64)
    for part in metric_features:
        centres = {m: [part[(labels == i) & (visible == m)].mean(dim=0) for i in identities] for m in (True, False)}
        mids = [(a + b) / 2.0 for a, b in zip(centres[True], centres[False], strict=True)]
        for modality in (True, False):
            terms = []
            for i, centre in enumerate(centres[modality]):
                for j, mid in enumerate(mids):
                    d = euclidean(centre, mid)
                    terms.append(d**2 if i == j else relu(margin - torch.sqrt(d)) ** 2)
            total = total + torch.stack(terms).mean()
    return total


def pose_loss(estimated: Tensor, truth: Tensor, known: Tensor) -> Tensor:
    """Eq. 16, with the mean over the pixels in place of its sum; images without a known joint do not count."""
    errors = [((h - t) ** 2).mean() for h, t, k in zip(estimated, truth, known.tolist(), strict=True) if k]
    return torch.stack(errors).mean() if errors else estimated.sum() * 0.0


def distillation_loss(logits: list[Tensor], teacher_logits: Tensor, temperature: float) -> Tensor:
    """Eq. 14 and 15: the mean over the images of the sum over the parts of KL(p_T, p_part), times T^2."""
    total = torch.zeros((), dtype=torch.float64)
    for i, taught in enumerate(teacher_logits):
        p_t = softmax(taught / temperature)
        for part in logits:
            p = softmax(part[i] / temperature)
            total = total + sum(p_t[k] * torch.log(p_t[k] / p[k]) for k in range(len(p)))
    return temperature**2 * total / len(teacher_logits)


def losses(
    result: Outputs, labels: Tensor, visible: Tensor, heatmaps: Tensor, known: Tensor, switches: Switches
) -> dict[str, Tensor]:
    """The terms of Eq. 21 by the names of the recipe's weights, unweighted."""
    metric_features = [switches.scale * unit(f) for f in result.features]
    metric_loss = hetero_centre_loss if switches.tri == "hetero-centre" else mid_contrast_loss
    terms = {
        "identity": identity_loss(result.logits, labels),
        "triplet": metric_loss(metric_features, labels, visible, switches.margin),
    }
    if result.heatmaps is not None:
        terms["pose"] = pose_loss(result.heatmaps, heatmaps, known)
    if result.teacher_logits is not None:
        # As published, nothing but agreeing with its students teaches the teacher.
        teacher = result.teacher_logits
        if switches.teacher == "ce_detach":
            terms["teacher_identity"] = cross_entropy(teacher, labels)
            teacher = teacher.detach()
        terms["distillation"] = distillation_loss(result.logits, teacher, switches.temperature)
    return terms


def embedding(net: Network, images: Tensor, modality: str, feature: Literal["id", "all"], switches: Switches) -> Tensor:
    """Eq. 12 and 13 in testing: f_ID or f_ALL, every part of length ``scale``."""
    result = outputs(net, specific_stages(net, modality, images, 1), switches)
    parts = result.features[: switches.parts] if feature == "id" else result.features
    return torch.cat([switches.scale * unit(f) for f in parts], dim=1)


def distances(query: Tensor, gallery: Tensor, parts: int) -> Tensor:
    """One minus the mean over the parts of their cosine: what the inner product of f_ID or f_ALL ranks by."""
    table = torch.zeros(len(query), len(gallery), dtype=torch.float64)
    for i, q in enumerate(query):
        for j, g in enumerate(gallery):
            cosines = [
                (a @ b) / torch.sqrt((a @ a) * (b @ b)) for a, b in zip(q.chunk(parts), g.chunk(parts), strict=True)
            ]
            table[i, j] = 1.0 - sum(cosines) / parts
    return table


def learning_rate(epoch: int, base: float = 0.01) -> float:
    """Sec. IV-A: halved every 20 epochs; no warm-up."""
    return base * 0.5 ** (epoch // 20)


def rate_factor(name: str) -> float:
    """0.1 for the modality-specific blocks (0.001 in the official code), 1 for everything else."""
    return 0.1 if name.startswith(("backbone.visible.", "backbone.infrared.")) else 1.0
