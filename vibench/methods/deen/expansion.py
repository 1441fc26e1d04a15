"""Diverse embedding expansion (DEE): further feature maps generated from each one."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

DILATIONS = (1, 2, 3)
REDUCTION = 4
DROPOUT = 0.01


class ExpansionBranch(nn.Module):
    """Generates one map: the mean of three dilated 3x3 convolutions to a quarter of the channels, ReLU, 1x1 back."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // REDUCTION
        self.dilated = nn.ModuleList(
            nn.Conv2d(channels, inner, 3, padding=dilation, dilation=dilation, bias=False) for dilation in DILATIONS
        )
        self.restore = nn.Conv2d(inner, channels, 1)
        for convolution in (*self.dilated, self.restore):
            nn.init.kaiming_normal_(convolution.weight, mode="fan_in")

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        total = sum(convolution(features) for convolution in self.dilated)
        return self.restore(functional.relu(total / len(self.dilated)))


class Expansion(nn.Module):
    """A batch becomes [the maps themselves; those of branch 1; those of branch 2; ...], then dropout.

    Zhang and Wang, CVPR 2023. It is part of the network in testing too, the dropout aside.
    """

    def __init__(self, channels: int, branches: int = 2) -> None:
        super().__init__()
        self.branches = nn.ModuleList(ExpansionBranch(channels) for _ in range(branches))
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> ((1 + branches) * B, C, H, W)."""
        return self.dropout(torch.cat([features, *(branch(features) for branch in self.branches)]))
