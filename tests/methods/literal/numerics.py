"""What the literal networks are made of: layers that read a dict of weights, a two-stream ResNet, and SGD.

Everything is written out as the definitions have it; of PyTorch only convolution, max-pooling and elementwise
functions are used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as functional
from torch import Tensor

Weights = dict[str, Tensor]


def keep_all(values: Tensor, share: float) -> Tensor:
    """Dropout as in testing."""
    return values


@dataclass
class Network:
    """Weights by name, and whether batches are normalised by their own statistics."""

    weights: Weights
    training: bool = True
    dropout: Callable[[Tensor, float], Tensor] = keep_all
    """Drops the given share of the values."""
    statistics: Weights = field(default_factory=dict)
    """Running statistics after this pass in training, by name."""


def linear(net: Network, name: str, x: Tensor) -> Tensor:
    """x W^T + b of rows (B, D); no b where there is none."""
    out = x @ net.weights[f"{name}.weight"].T
    return out + net.weights[f"{name}.bias"] if f"{name}.bias" in net.weights else out


def conv(net: Network, name: str, x: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """A convolution that keeps the size at stride 1; no bias where there is none."""
    weight = net.weights[f"{name}.weight"]
    padding = dilation * (weight.shape[2] - 1) // 2
    return functional.conv2d(x, weight, net.weights.get(f"{name}.bias"), stride, padding, dilation)


def batch_norm(net: Network, name: str, x: Tensor) -> Tensor:
    """Ioffe, Szegedy, ICML 2015, Alg. 1 and 2: (x - mean) / sqrt(var + 1e-5) * scale + shift per channel.

    Batch statistics in training, with the biased variance; running statistics follow by a tenth, with the unbiased
    one.
    """
    shape = (1, -1) + (1,) * (x.ndim - 2)
    if net.training:
        channels = x.transpose(0, 1).flatten(1)
        count = channels.shape[1]
        mean = channels.sum(dim=1) / count
        var = ((channels - mean[:, None]) ** 2).sum(dim=1) / count
        unbiased = var * count / (count - 1)
        for key, now in (("running_mean", mean), ("running_var", unbiased)):
            net.statistics[f"{name}.{key}"] = 0.9 * net.weights[f"{name}.{key}"] + 0.1 * now.detach()
    else:
        mean, var = net.weights[f"{name}.running_mean"], net.weights[f"{name}.running_var"]
    normal = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + 1e-5)
    return normal * net.weights[f"{name}.weight"].view(shape) + net.weights[f"{name}.bias"].view(shape)


def relu(x: Tensor) -> Tensor:
    """max(x, 0)."""
    return torch.where(x > 0, x, torch.zeros_like(x))


def leaky_relu(x: Tensor, slope: float) -> Tensor:
    """x above 0, slope times x below."""
    return torch.where(x > 0, x, slope * x)


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + torch.exp(-x))


def softmax(x: Tensor) -> Tensor:
    """e^x_i / sum e^x_j over the last dimension."""
    powers = torch.exp(x - x.max(dim=-1, keepdim=True).values)
    return powers / powers.sum(dim=-1, keepdim=True)


def unit(rows: Tensor) -> Tensor:
    """Rows (B, D) of length 1."""
    return rows / torch.sqrt((rows * rows).sum(dim=1, keepdim=True))


def euclidean(a: Tensor, b: Tensor) -> Tensor:
    """Distance of two vectors (D,)."""
    return torch.sqrt(((a - b) ** 2).sum())


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the rows of -log softmax(logits)[label]."""
    losses = [-torch.log(softmax(row)[label]) for row, label in zip(logits, labels.tolist(), strict=True)]
    return torch.stack(losses).mean()


def hetero_centre_terms(features: Tensor, labels: Tensor, visible: Tensor, margin: float) -> list[Tensor]:
    """Liu, Tan, Zhou, TMM 2020: one hinge for each centre of an identity in a modality.

    [margin + |c_i^a - c_i^b| - min over j != i and both modalities of |c_i^a - c_j|]_+, ``visible`` (B,) bool.
    """
    identities = sorted(set(labels.tolist()))
    centres = {(i, m): features[(labels == i) & (visible == m)].mean(dim=0) for i in identities for m in (True, False)}
    terms = []
    for (i, m), centre in centres.items():
        across = euclidean(centre, centres[i, not m])
        nearest = min(euclidean(centre, other) for (j, _), other in centres.items() if j != i)
        terms.append(relu(margin + across - nearest))
    return terms


def resnet18_stage(net: Network, name: str, x: Tensor, stride: int) -> Tensor:
    """Two basic blocks of He et al., CVPR 2016, Fig. 5 left."""
    for block in (0, 1):
        here = f"{name}.{block}"
        step = stride if block == 0 else 1
        out = relu(batch_norm(net, f"{here}.bn1", conv(net, f"{here}.conv1", x, step)))
        out = batch_norm(net, f"{here}.bn2", conv(net, f"{here}.conv2", out))
        if f"{here}.downsample.0.weight" in net.weights:
            x = batch_norm(net, f"{here}.downsample.1", conv(net, f"{here}.downsample.0", x, step))
        x = relu(out + x)
    return x


def specific_stages(net: Network, modality: str, images: Tensor, layers: int) -> Tensor:
    """Stem and the first ``layers`` layers of one modality."""
    name = f"backbone.{modality}"
    x = relu(batch_norm(net, f"{name}.bn1", conv(net, f"{name}.conv1", images, stride=2)))
    x = functional.max_pool2d(x, 3, stride=2, padding=1)
    for layer in range(1, layers + 1):
        x = resnet18_stage(net, f"{name}.layer{layer}", x, 1 if layer == 1 else 2)
    return x


def shared_layer(net: Network, layer: int, x: Tensor) -> Tensor:
    """One of the shared layers; layer2 and layer3 halve the map, layer4 does not (last stride 1)."""
    return resnet18_stage(net, f"backbone.shared.layer{layer}", x, 2 if layer in (2, 3) else 1)


def nesterov_step(
    weight: Tensor, gradient: Tensor, momentum_buffer: Tensor | None, lr: float, momentum: float, decay: float
) -> tuple[Tensor, Tensor]:
    """A weight and its momentum after a step of SGD with weight decay and Nesterov's momentum (Sutskever et al. 2013).

    As PyTorch has it: g = gradient + decay * weight; v = momentum * v + g, at first g; weight - lr (g + momentum v).
    """
    g = gradient + decay * weight
    v = g if momentum_buffer is None else momentum * momentum_buffer + g
    return weight - lr * (g + momentum * v), v
