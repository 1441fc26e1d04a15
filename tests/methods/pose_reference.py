"""The authors' network of Pose, written out operation by operation over weights under their names, at test time.

The refinement stage, which their repository lacks, is that of the pose estimator which it was taken from.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.methods.literal.official import Weights, bottleneck, norm


def conv(x: Tensor, w: Weights, name: str, relu: bool = True, **how: int) -> Tensor:
    """Convolution ``name.0`` and its norm ``name.1``."""
    x = norm(F.conv2d(x, w[f"{name}.0.weight"], w.get(f"{name}.0.bias"), **how), w, f"{name}.1")
    return x.relu() if relu else x


def layer(x: Tensor, w: Weights, name: str, blocks: int, stride: int) -> Tensor:
    for block in range(blocks):
        x = bottleneck(x, w, f"{name}.{block}", stride if block == 0 else 1)
    return x


def refinement(x: Tensor, w: Weights) -> tuple[Tensor, Tensor]:
    """Refined features and heatmaps of ``x``."""
    stage = "shared.refinement_stages.0"
    unet = f"{stage}.trunk.0"
    e1 = conv(conv(x, w, f"{unet}.encoder1.0", stride=2, padding=1), w, f"{unet}.encoder1.1", padding=1)
    e2 = conv(conv(e1, w, f"{unet}.encoder2.0", stride=2, padding=1), w, f"{unet}.encoder2.1", padding=1)
    e2 = F.interpolate(e2, size=e1.shape[2:], mode="bilinear", align_corners=False)
    d2 = conv(torch.cat([e1, e2], 1), w, f"{unet}.decoder2.0", padding=1)
    d2 = conv(d2, w, f"{unet}.decoder2.1", padding=1)
    d2 = F.interpolate(d2, size=x.shape[2:], mode="bilinear", align_corners=False)
    x = conv(conv(torch.cat([x, d2], 1), w, f"{unet}.decoder1.0", padding=1), w, f"{unet}.decoder1.1", padding=1)
    for block in (1, 2, 3):
        name = f"{stage}.trunk.{block}"
        start = F.conv2d(x, w[f"{name}.initial.0.weight"], w[f"{name}.initial.0.bias"]).relu()
        trunk = conv(start, w, f"{name}.trunk.0", padding=1)
        x = start + conv(trunk, w, f"{name}.trunk.1", padding=2, dilation=2)
    hidden = F.conv2d(x, w[f"{stage}.heatmaps.0.0.weight"], w[f"{stage}.heatmaps.0.0.bias"]).relu()
    return x, F.conv2d(hidden, w[f"{stage}.heatmaps.1.0.weight"], w[f"{stage}.heatmaps.1.0.bias"])


def feature_block(x: Tensor, w: Weights, name: str) -> Tensor:
    x = x @ w[f"{name}.feat_block.0.weight"].T + w[f"{name}.feat_block.0.bias"]
    return norm(x, w, f"{name}.feat_block.1")


def class_block(x: Tensor, w: Weights, name: str) -> Tensor:
    x = torch.where(x > 0, x, 0.1 * x)
    return x @ w[f"{name}.classifier.1.weight"].T + w[f"{name}.classifier.1.bias"]


def outputs(w: Weights, images: Tensor, modality: str) -> dict[str, Tensor]:
    """``id`` and ``all`` features, ``logits`` (12, B, classes), ``teacher`` logits and ``heatmaps``."""
    stream = "visible_net" if modality == "visible" else "thermal_net"
    x = F.conv2d(images, w[f"{stream}.b1.0.weight"], stride=2, padding=3)
    x = F.max_pool2d(norm(x, w, f"{stream}.b1.1").relu(), 3, stride=2, padding=1)
    shared = layer(layer(x, w, f"{stream}.b2", 3, 1), w, "shared.b1", 4, 2)

    low = conv(shared, w, "shared.conv4", padding=1)
    high = F.conv_transpose2d(low, w["shared.dconv4.deconv.0.weight"], stride=2, padding=1, output_padding=1)
    high = norm(high, w, "shared.dconv4.deconv.1").relu()
    refined, heatmaps = refinement(torch.cat([high, conv(high, w, "shared.reduce", padding=1)], 1), w)
    back = conv(refined, w, "shared.conv1", stride=2, padding=1)
    pose = conv(conv(back + low, w, "shared.conv2", stride=2, padding=1), w, "shared.conv3", relu=False)

    identity = layer(layer(shared, w, "shared.b2", 6, 2), w, "shared.b3", 3, 1)
    pooled = torch.cat([identity, pose], 1).mean(dim=(2, 3))
    teacher = class_block(feature_block(pooled, w, "shared.t_fc"), w, "shared.t_cla")
    masked = identity / (1 + torch.exp(-pose))

    features, logits = [], []
    for branch, maps in enumerate((masked, pose)):
        rows = maps.shape[2] // 6
        for part in range(6):
            number = 6 * branch + part + 1
            stripe = maps[:, :, part * rows : (part + 1) * rows].mean(dim=(2, 3))
            feature = feature_block(stripe, w, f"feature{number}")
            logits.append(class_block(feature, w, f"classifier{number}"))
            features.append(5 * feature / feature.square().sum(dim=1, keepdim=True).sqrt())
    return {
        "id": torch.cat(features[:6], dim=1),
        "all": torch.cat(features, dim=1),
        "logits": torch.stack(logits),
        "teacher": teacher,
        "heatmaps": heatmaps,
    }
