"""PAENet's network of the official code, and its losses, written out operation by operation from their description.

Slow and obvious on purpose: nothing here is shared with the package. Weights go by the authors' names.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.methods.official_resnet import norm, two_stream_maps

Weights = Mapping[str, Tensor]


def layer_norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    mean = x.mean(dim=1, keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=1, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt() * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def switchable_norm(weights: Weights, name: str, a: Tensor) -> Tensor:
    """In test mode: layer statistics (the variance unbiased) and running ones, mixed by a softmax of two numbers."""
    count = a.shape[1]
    layer_mean = a.sum(dim=1, keepdim=True) / count
    layer_variance = ((a - layer_mean) ** 2).sum(dim=1, keepdim=True) / (count - 1)
    mixed = []
    for own, running, logits in (
        (layer_mean, "running_mean", "mean_weight"),
        (layer_variance, "running_var", "var_weight"),
    ):
        first, second = (weights[f"{name}.{logits}"].exp() / weights[f"{name}.{logits}"].exp().sum()).tolist()
        mixed.append(first * own + second * weights[f"{name}.{running}"])
    mean, variance = mixed
    return (a - mean) / (variance + 1e-5).sqrt() * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Image by image and query by query; (B, M), (B, N), (B, N) -> (B, M)."""
    rows = []
    for q, k, v in zip(query, key, value, strict=True):
        rows.append(torch.stack([((one * k).softmax(dim=0) * v).sum() for one in q]))
    return torch.stack(rows)


def embedding_one(weights: Weights, feature: Tensor, attributes: Tensor) -> Tensor:
    """Cross attention among single numbers, and an MLP; without dropout."""
    name = "cross_transformer1"
    x = layer_norm(weights, f"{name}.x_norm1", feature)
    a = switchable_norm(weights, f"{name}.c_norm1", attributes)
    q = x @ weights[f"{name}.attn.to_q.weight"].T
    kv = torch.cat([x, a], dim=1) @ weights[f"{name}.attn.to_kv.weight"].T
    attended = attend(q, kv[:, 0::2], kv[:, 1::2]) + x
    x = x + attended @ weights[f"{name}.attn.proj.weight"].T + weights[f"{name}.attn.proj.bias"]
    hidden = layer_norm(weights, f"{name}.x_norm2", x) @ weights[f"{name}.mlp.fc1.weight"].T
    hidden = F.gelu(hidden + weights[f"{name}.mlp.fc1.bias"])
    return x + hidden @ weights[f"{name}.mlp.fc2.weight"].T + weights[f"{name}.mlp.fc2.bias"]


def embedding_two(weights: Weights, x: Tensor, attributes: Tensor, height: int, width: int) -> Tensor:
    """Of x (B, C, 1, 1) or (B, C, height, width)."""
    image = F.conv2d(x, weights["ASENet.conv1.weight"], weights["ASENet.conv1.bias"]).tanh()
    mask = (attributes @ weights["ASENet.mask_fc1.weight"].T).tanh()[:, :, None, None]
    mask = mask.expand(-1, -1, height, width)
    scores = F.conv2d(mask * image, weights["ASENet.conv2.weight"], weights["ASENet.conv2.bias"]).tanh()
    attention = scores.flatten(2).softmax(dim=2).view(*scores.shape)
    return (x * attention).sum(dim=(2, 3))


def embedding_three(weights: Weights, e2: Tensor, attributes: Tensor) -> Tensor:
    joined = torch.cat([e2, (attributes @ weights["ASENet.mask_fc2.weight"].T).relu()], dim=1)
    hidden = (joined @ weights["ASENet.fc1.weight"].T + weights["ASENet.fc1.bias"]).relu()
    gate = (hidden @ weights["ASENet.fc2.weight"].T + weights["ASENet.fc2.bias"]).sigmoid()
    return gate / gate.square().sum(dim=1, keepdim=True).sqrt()


def official_features(
    weights: Weights, images: Tensor, modality: str, attributes: Tensor, emb2: bool = True
) -> dict[str, Tensor]:
    """Pooled and neck feature, the gate and the logits of identities and attributes, in test mode.

    ``emb2``: whether Embedding II is carried out, which changes nothing.
    """
    maps = two_stream_maps(weights, images, modality, specific_stages=3)
    height, width = maps.shape[2:]
    pooled = ((maps**3).mean(dim=(2, 3)) + 1e-12) ** (1 / 3)
    e1 = embedding_one(weights, norm(weights, "bottleneck", pooled), attributes)
    e2 = embedding_two(weights, e1[:, :, None, None], attributes, height, width) if emb2 else e1
    gate = embedding_three(weights, e2, attributes)
    gated = torch.stack([maps * gate[:, :, None, None] for _ in range(8)]).mean(dim=0)
    region = (maps * norm(weights, "region.bn", gated).sigmoid()).sigmoid()
    r = ((region**3).mean(dim=(2, 3)) + 1e-12) ** (1 / 3)
    neck = norm(weights, "region.bottleneck", r)
    return {
        "pooled": r,
        "neck": neck,
        "gate": gate,
        "identities": neck @ weights["class_8.classifier.0.weight"].T,
        "attributes": torch.cat([gate @ weights[f"class_{at}.classifier.0.weight"].T for at in range(8)], dim=1),
    }
