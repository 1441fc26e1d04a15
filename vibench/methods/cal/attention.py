"""Target-aware style-agnostic attention (TSAA): a feature map read with part vectors as queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vibench.nn.precision import at_least_float32

EPSILON = 1e-5
"""Added to the variance of a channel over the positions."""


@dataclass(frozen=True)
class Encoded:
    """What the attention needs to know of each image, as a map to read and as a source of queries."""

    tokens: Tensor
    """(B, L, C): T, the positions of the map."""
    keys: Tensor
    """(B, L, d): projected positions."""
    queries: Tensor
    """(B, N, d): projected part vectors."""
    gates: Tensor | None
    """(B, N, C): weights of the channels, made from the part vectors."""


class TargetAwareAttention(nn.Module):
    """A(T; P) = (S T) * gate(P), with S = softmax over the positions of p t / sqrt(d).

    Wu et al., CAL, ICCV 2023, Eq. (7) to (10). p and t are part vectors and positions after instance normalisation
    and an MLP each; P is normalised by the statistics of the map that it was taken from, which removes the style of
    the query's image. What is averaged are the positions as they are. ``scores="dot"`` is Eq. (6): p and t are P and
    T themselves, d = C.

    Modules: ``position_mlp`` and ``query_mlp`` (C -> d -> d, d = C / score_reduction), with ``mlp`` scores;
    ``gate_mlp`` (C -> C / gate_reduction -> C, sigmoid) with ``channel_gate``. The paper leaves their sizes open.
    """

    def __init__(
        self,
        channels: int,
        scores: Literal["mlp", "dot"] = "mlp",
        channel_gate: bool = True,
        score_reduction: int = 4,
        gate_reduction: int = 16,
    ) -> None:
        super().__init__()
        self.position_mlp: nn.Module | None = None
        self.query_mlp: nn.Module | None = None
        self.gate_mlp: nn.Module | None = None
        if scores == "mlp":
            width = max(channels // score_reduction, 1)
            self.position_mlp = _mlp(channels, width, width)
            self.query_mlp = _mlp(channels, width, width)
        if channel_gate:
            self.gate_mlp = nn.Sequential(*_mlp(channels, max(channels // gate_reduction, 1), channels), nn.Sigmoid())

    def encode(self, maps: Tensor, vectors: Tensor, of_the_map: bool = True) -> Encoded:
        """Maps (B, C, h, w) and the part vectors (B, N, C) of the same images.

        ``of_the_map``: the vectors were averaged from the map and have its style. Other vectors are not normalised.
        """
        tokens = at_least_float32(maps.flatten(2).transpose(1, 2))
        gates = None if self.gate_mlp is None else at_least_float32(self.gate_mlp(vectors))
        if self.position_mlp is None or self.query_mlp is None:
            return Encoded(tokens, tokens, vectors, gates)
        variance, mean = torch.var_mean(tokens, dim=1, keepdim=True, correction=0)
        # To add and to multiply takes half the passes over a map on the way back that to subtract and to divide takes.
        shift, scale = -mean, (variance + EPSILON).rsqrt()
        keys = self.position_mlp((tokens + shift) * scale)
        queries = self.query_mlp((vectors + shift) * scale if of_the_map else vectors)
        return Encoded(tokens, at_least_float32(keys), at_least_float32(queries), gates)

    def forward(self, encoded: Encoded, read: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Part features (B, N, C) and masks S (B, N, L), float32 at least: every image's parts on a map.

        On its own map, or row i on the map of image ``read[i]``, (B,).
        """
        tokens, keys = encoded.tokens, encoded.keys
        if read is not None:
            tokens, keys = tokens[read], keys[read]
        with torch.autocast(tokens.device.type, enabled=False):
            masks = (encoded.queries @ keys.transpose(1, 2) / keys.shape[2] ** 0.5).softmax(dim=2)
            features = masks @ tokens
            return (features if encoded.gates is None else features * encoded.gates), masks


def _mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
