"""Intra-modality weighted-part aggregation (IWPA), the part branch of DDAG."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from vibench.nn.neck import bn_neck
from vibench.nn.precision import at_least_float32
from vibench.nn.stripes import stripe_means

Aggregation = Literal["avg", "concat", "weight"]
Gate = Literal["softmax", "free"]
Normalisation = Literal["keys", "queries"]


class WeightedPartAttention(nn.Module):
    """Parts of a feature map look at one another and are aggregated onto a residual.

    Rows of the map are averaged into ``parts`` parts x_i; alpha_ij = softmax of u(x_i).v(x_j), unscaled, and
    xbar_i = sum_j alpha_ij z(x_j), with 1x1 convolutions u, v, z; the output is BN(residual + aggregate of the xbar_i).
    DDAG (Ye et al., ECCV 2020), Eq. (2) to (5).

    Official code, the defaults: alpha is normalised over the keys j, the weights of the parts are a softmax of ``gate``
    (which starts uniform), and a batch norm closes the sum. The paper's other forms: Eq. (2) normalises over the
    queries i (``normalisation``), Eq. (5) weighs by ``gate`` itself (``free``) and has no closing norm
    (``final_bn``).
    """

    def __init__(
        self,
        channels: int,
        parts: int = 3,
        aggregation: Aggregation = "weight",
        gate: Gate = "softmax",
        final_bn: bool = True,
        normalisation: Normalisation = "keys",
    ) -> None:
        super().__init__()
        self.parts = parts
        self.aggregation = aggregation
        self.gate_form = gate
        self.normalised_dim = 2 if normalisation == "keys" else 1
        self.u, self.v, self.z = (nn.Conv2d(channels, channels, 1) for _ in range(3))
        if aggregation == "weight":
            self.gate = nn.Parameter(torch.full((parts,), 1.0 / parts))
        self.out_features = channels * parts if aggregation == "concat" else channels
        self.norm: nn.Module = bn_neck(self.out_features) if final_bn else nn.Identity()

    def forward(self, maps: Tensor, residual: Tensor | None = None) -> Tensor:
        """Maps (B, C, H, W) and residual (B, C) -> x* (B, C), or (B, parts * C) with ``concat``.

        Concatenated parts are ordered from top to bottom, each with the residual added.
        """
        attention, values = self.attend(maps)
        with torch.autocast(maps.device.type, enabled=False):
            aggregated = self._aggregate(attention @ values.transpose(1, 2))
        if residual is not None:
            copies = self.parts if self.aggregation == "concat" else 1
            aggregated = aggregated + residual.repeat(1, copies)
        return self.norm(aggregated)

    def attend(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (B, C, H, W) -> alpha (B, parts, parts), row i what part i looks at, and values z (B, C, parts)."""
        pooled = stripe_means(at_least_float32(maps), self.parts)[:, :, :, None]
        queries, keys, values = (conv(pooled).squeeze(3) for conv in (self.u, self.v, self.z))
        # Unscaled products of thousands of channels saturate the softmax in half precision.
        with torch.autocast(maps.device.type, enabled=False):
            queries, keys, values = (at_least_float32(each) for each in (queries, keys, values))
            return (queries.transpose(1, 2) @ keys).softmax(dim=self.normalised_dim), values

    def part_weights(self) -> Tensor:
        """(parts,): how much each attended part counts; equal where they are averaged or concatenated."""
        if self.aggregation != "weight":
            return self.u.weight.new_full((self.parts,), 1.0 / self.parts)
        return self.gate.softmax(dim=0) if self.gate_form == "softmax" else self.gate

    def _aggregate(self, enhanced: Tensor) -> Tensor:
        """(B, parts, C) -> (B, out_features)."""
        if self.aggregation == "avg":
            return enhanced.mean(dim=1)
        if self.aggregation == "concat":
            return enhanced.flatten(1)
        return (self.part_weights()[:, None] * enhanced).sum(dim=1)
