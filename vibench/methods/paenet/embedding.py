"""Progressive attribute embedding (PAE): from a feature, its map and an attribute code to gates over the channels.

Zheng et al., "Progressive Attribute Embedding for Accurate Cross-modality Person Re-identification", ACM MM 2022.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.methods.paenet.fusion import ScalarTokenFusion, TokenPairFusion

Fusion = Literal["scalar-tokens", "token-pair"]
SpatialInput = Literal["map", "vector"]
GateSharing = Literal["shared", "per_attr"]


class SpatialEmbedding(nn.Module):
    """Embedding II: positions that the attributes point at are pooled.

    W = softmax over the positions of tanh(conv(tanh(conv x) * tanh(W_a A))), e2 = sum of W * x. Where x has a single
    position, as in the official code, W is uniform and e2 = x: the module is the identity.
    """

    def __init__(self, channels: int, attributes: int) -> None:
        super().__init__()
        self.attribute_feature = nn.Linear(attributes, channels, bias=False)
        self.image = nn.Conv2d(channels, channels, 1)
        self.joint = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Tensor, attributes: Tensor, positions: int) -> Tensor:
        """Features (B, C, h, w) or, over ``positions`` places alike, (B, C, 1, 1); (B, n) -> e2 (B, C), float32."""
        code = self.attribute_feature(attributes).tanh()[:, :, None, None]
        scores = self.joint(self.image(features).tanh() * code).tanh().flatten(2).float()
        weights = scores.expand(-1, -1, positions).softmax(dim=2)
        return (weights * features.flatten(2)).sum(dim=2)


class ChannelGates(nn.Module):
    """Embedding III: w_i = sigmoid(fc(ReLU(fc [e2; ReLU(W_a A)]))), from ``count`` heads that share W_a."""

    def __init__(self, channels: int, attributes: int, count: int) -> None:
        super().__init__()
        self.attribute_feature = nn.Linear(attributes, channels, bias=False)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * channels, channels), nn.ReLU(), nn.Linear(channels, channels))
            for _ in range(count)
        )

    def forward(self, features: Tensor, attributes: Tensor) -> Tensor:
        """(B, C) and (B, n) -> (B, count, C) in [0, 1], float32."""
        joined = torch.cat([features, self.attribute_feature(attributes).relu()], dim=1)
        return torch.stack([head(joined) for head in self.heads], dim=1).float().sigmoid()


class ProgressiveEmbedding(nn.Module):
    """The three embeddings in a row, of which the first ``stages`` exist.

    Without Embedding III the gate is the sigmoid of what the last one gives (the paper does not say how its Table 5
    gates there). ``gates``: ``shared`` as in the official code, one gate for all attributes, or ``per_attr`` as in the
    paper. ``normalise_gates``: L2 normalisation of each gate, as in the official code alone.
    """

    def __init__(
        self,
        channels: int,
        attributes: int,
        stages: int = 3,
        fusion: Fusion = "scalar-tokens",
        spatial_input: SpatialInput = "map",
        gates: GateSharing = "per_attr",
        normalise_gates: bool = True,
    ) -> None:
        super().__init__()
        kind = ScalarTokenFusion if fusion == "scalar-tokens" else TokenPairFusion
        self.fusion = kind(channels, attributes)
        self.spatial = SpatialEmbedding(channels, attributes) if stages >= 2 else None
        heads = attributes if gates == "per_attr" else 1
        self.gates = ChannelGates(channels, attributes, heads) if stages >= 3 else None
        self.spatial_input = spatial_input
        self.normalise_gates = normalise_gates

    def forward(self, features: Tensor, maps: Tensor, attributes: Tensor) -> Tensor:
        """Features (B, C), maps (B, C, h, w) and code (B, n) -> gates (B, n, C) or (B, 1, C), float32."""
        embedded = self.fusion(features, attributes)
        if self.spatial is not None:
            vector = embedded[:, :, None, None]
            spatial = vector * maps if self.spatial_input == "map" else vector
            embedded = self.spatial(spatial, attributes, maps.shape[2] * maps.shape[3])
        gates = embedded.float().sigmoid()[:, None] if self.gates is None else self.gates(embedded, attributes)
        return functional.normalize(gates, dim=2) if self.normalise_gates else gates


class RegionGate(nn.Module):
    """What the gates make of the map F: F' = sigmoid(BN(mean_i w_i * F)) * F, the map that the host's head reads.

    The batch norm is the official code's, Eq. (10) of the paper has none (``norm``). ``second_sigmoid``: over the
    product, as in the official code alone. The norm's bias is frozen.
    """

    def __init__(self, channels: int, norm: bool = True, second_sigmoid: bool = False) -> None:
        super().__init__()
        self.norm: nn.Module = nn.Identity()
        if norm:
            self.norm = nn.BatchNorm2d(channels)
            self.norm.bias.requires_grad_(False)
        self.second_sigmoid = second_sigmoid

    def forward(self, maps: Tensor, gates: Tensor) -> Tensor:
        """Maps (B, C, h, w) and gates (B, n, C) -> (B, C, h, w)."""
        # The mean of the n gated maps is the map gated by the mean.
        gated = maps * gates.mean(dim=1)[:, :, None, None]
        refined = self.norm(gated).sigmoid() * maps
        return refined.sigmoid() if self.second_sigmoid else refined
