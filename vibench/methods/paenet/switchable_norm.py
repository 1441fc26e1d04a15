"""Switchable normalisation of the attribute code."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vibench.nn.precision import at_least_float32

EPSILON = 1e-5
MOMENTUM = 0.997


class SwitchableNorm(nn.Module):
    """Normalises rows by a learnt mix of the row's own statistics and the batch's; (B, D) -> (B, D).

    Luo et al., "Differentiable Learning-to-Normalize via Switchable Normalization", ICLR 2019, for vectors: the
    weights of layer and batch mean, and of layer and batch variance, are a softmax each. In eval mode running means
    of the batch's statistics take their place.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, features))
        self.bias = nn.Parameter(torch.zeros(1, features))
        self.mean_weight = nn.Parameter(torch.ones(2))
        self.var_weight = nn.Parameter(torch.ones(2))
        self.register_buffer("running_mean", torch.zeros(1, features))
        self.register_buffer("running_var", torch.zeros(1, features))

    def forward(self, rows: Tensor) -> Tensor:
        """(B, D) -> (B, D), float32 at least; in training B is at least 2."""
        rows = at_least_float32(rows)
        batch_mean, batch_var = self._batch_statistics(rows) if self.training else (self.running_mean, self.running_var)
        of_means, of_vars = self.mean_weight.softmax(dim=0), self.var_weight.softmax(dim=0)
        mean = of_means[0] * rows.mean(dim=1, keepdim=True) + of_means[1] * batch_mean
        var = of_vars[0] * rows.var(dim=1, keepdim=True) + of_vars[1] * batch_var
        return (rows - mean) / (var + EPSILON).sqrt() * self.weight + self.bias

    def _batch_statistics(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = rows.mean(dim=0, keepdim=True), rows.var(dim=0, keepdim=True)
        self.running_mean.lerp_(mean.detach(), 1.0 - MOMENTUM)
        self.running_var.lerp_(var.detach(), 1.0 - MOMENTUM)
        return mean, var
