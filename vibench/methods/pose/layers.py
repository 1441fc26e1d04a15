"""Convolutions with norm and ReLU, and how the parts outside the ResNet start."""

from __future__ import annotations

from typing import Literal

from torch import nn

Initialisation = Literal["xavier", "code"]


def convolution(inputs: int, outputs: int, stride: int = 1, dilation: int = 1, bias: bool = False) -> nn.Sequential:
    """3x3 convolution that keeps the size (stride 2: halves it), batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=bias),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def feature_block(inputs: int, outputs: int, initialisation: Initialisation) -> nn.Sequential:
    """Linear layer with bias and batch norm; for ``code``, Kaiming-normal by fan-out and a scale from N(1, 0.01)."""
    linear, norm = nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs)
    if initialisation == "code":
        nn.init.kaiming_normal_(linear.weight, mode="fan_out")
        nn.init.zeros_(linear.bias)
        nn.init.normal_(norm.weight, 1.0, 0.01)
    else:
        xavier(linear)
    return nn.Sequential(linear, norm)


def part_classifier(inputs: int, num_classes: int, initialisation: Initialisation) -> nn.Sequential:
    """LeakyReLU of slope 0.1 and a linear layer with bias; for ``code``, weights from N(0, 0.001)."""
    linear = nn.Linear(inputs, num_classes)
    if initialisation == "code":
        nn.init.normal_(linear.weight, 0.0, 0.001)
        nn.init.zeros_(linear.bias)
    else:
        xavier(linear)
    return nn.Sequential(nn.LeakyReLU(0.1), linear)


def xavier(module: nn.Module) -> None:
    """Draw the weights of all convolutions and linear layers Xavier-uniformly, with biases of 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
