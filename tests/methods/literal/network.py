"""What every literal method needs below its equations: ResNet-18, norms, classification loss, Adam and SGD.

Weights are a dict of tensors by name. A batch norm without running statistics is that of training: it takes those of
the rows that it sees.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

Weights = dict[str, Tensor]


def batch_norm(x: Tensor, weights: Weights, name: str, training: bool) -> Tensor:
    """Ioffe, Szegedy, ICML 2015: per channel, over rows and positions; the variance is the biased one."""
    others = [axis for axis in range(x.ndim) if axis != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    if training:
        mean = x.mean(dim=others)
        var = ((x - mean.view(shape)) ** 2).mean(dim=others)
    else:
        mean, var = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    scale, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return (x - mean.view(shape)) / torch.sqrt(var.view(shape) + 1e-5) * scale.view(shape) + bias.view(shape)


def linear(x: Tensor, weights: Weights, name: str) -> Tensor:
    """x W^T, plus a bias where there is one."""
    product = x @ weights[f"{name}.weight"].T
    return product + weights[f"{name}.bias"] if f"{name}.bias" in weights else product


def resnet18_stages(x: Tensor, weights: Weights, name: str, stages: range, training: bool) -> Tensor:
    """Stages of ResNet-18 (He et al., CVPR 2016): 0 is the stem, 1 to 4 its layers; layer4 keeps the resolution."""
    for stage in stages:
        if stage == 0:
            x = functional.conv2d(x, weights[f"{name}.conv1.weight"], stride=2, padding=3)
            x = batch_norm(x, weights, f"{name}.bn1", training).relu()
            x = functional.max_pool2d(x, 3, stride=2, padding=1)
            continue
        for block in (0, 1):
            stride = 2 if stage in (2, 3) and block == 0 else 1
            x = _basic_block(x, weights, f"{name}.layer{stage}.{block}", stride, training)
    return x


def _basic_block(x: Tensor, weights: Weights, name: str, stride: int, training: bool) -> Tensor:
    out = functional.conv2d(x, weights[f"{name}.conv1.weight"], stride=stride, padding=1)
    out = batch_norm(out, weights, f"{name}.bn1", training).relu()
    out = functional.conv2d(out, weights[f"{name}.conv2.weight"], padding=1)
    out = batch_norm(out, weights, f"{name}.bn2", training)
    if f"{name}.downsample.0.weight" in weights:
        x = functional.conv2d(x, weights[f"{name}.downsample.0.weight"], stride=stride)
        x = batch_norm(x, weights, f"{name}.downsample.1", training)
    return (out + x).relu()


def cross_entropy(logits: Tensor, labels: list[int]) -> Tensor:
    """-log of the softmax at the label, mean over the rows."""
    terms = []
    for row, label in zip(logits, labels, strict=True):
        exponentials = torch.exp(row - row.max())
        terms.append(-torch.log(exponentials[label] / exponentials.sum()))
    return sum(terms) / len(terms)


def length(vector: Tensor) -> Tensor:
    """Euclidean length, not squared."""
    return torch.sqrt((vector * vector).sum())


def adam_step(
    weights: Weights, gradients: Weights, state: dict[str, Weights], step: int, lr: float, decay: float
) -> Weights:
    """Kingma, Ba, ICLR 2015, Algorithm 1, with the decay added to the gradient; ``step`` counts from 1.

    ``state`` holds the moments m and v and is changed. Weights without gradient stay.
    """
    moved = dict(weights)
    for name, gradient in gradients.items():
        g = gradient + decay * weights[name]
        m = 0.9 * state["m"].get(name, torch.zeros_like(g)) + 0.1 * g
        v = 0.999 * state["v"].get(name, torch.zeros_like(g)) + 0.001 * g * g
        state["m"][name], state["v"][name] = m, v
        m_hat, v_hat = m / (1 - 0.9**step), v / (1 - 0.999**step)
        moved[name] = weights[name] - lr * m_hat / (torch.sqrt(v_hat) + 1e-8)
    return moved


def sgd_step(weights: Weights, gradients: Weights, buffers: Weights, rates: dict[str, float], decay: float) -> Weights:
    """SGD with Nesterov momentum 0.9 (Sutskever et al., ICML 2013, in PyTorch's form: the rate is not in the buffer).

    ``rates``: learning rate of every weight. ``buffers`` is changed.
    """
    moved = dict(weights)
    for name, gradient in gradients.items():
        g = gradient + decay * weights[name]
        buffers[name] = 0.9 * buffers[name] + g if name in buffers else g
        moved[name] = weights[name] - rates[name] * (g + 0.9 * buffers[name])
    return moved
