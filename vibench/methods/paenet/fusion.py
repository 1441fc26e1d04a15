"""Embedding I of PAENet: the attribute code is fused into the image feature by cross attention."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vibench.methods.paenet.switchable_norm import SwitchableNorm
from vibench.nn.precision import at_least_float32

ATTENTION_BYTES = 64 << 20
"""Size of the largest attention matrix that is built at once."""


class ScalarTokenFusion(nn.Module):
    """Embedding I of the official code: every number of the feature is a token of its own.

    x = LN(f), a = SN(A); queries are x W_q, keys and values are taken in turn from [x; a] W_kv. Query i attends to all
    C + n keys by softmax_j(q_i k_j), unscaled; x joins the result before the projection. Two residual blocks follow,
    the second one an MLP of width C with GELU.
    """

    def __init__(self, channels: int, attributes: int) -> None:
        super().__init__()
        tokens = channels + attributes
        self.norm = nn.LayerNorm(channels)
        self.attribute_norm = SwitchableNorm(attributes)
        self.query = nn.Linear(channels, channels, bias=False)
        self.key_value = nn.Linear(tokens, 2 * tokens, bias=False)
        self.projection = nn.Linear(channels, channels)
        self.mlp_norm = nn.LayerNorm(channels)
        self.hidden = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)
        self.attention_dropout = 0.1
        self.dropout = nn.Dropout(0.1)
        self.heavy_dropout = nn.Dropout(0.3)

    def forward(self, features: Tensor, attributes: Tensor) -> Tensor:
        """(B, C) and (B, n) -> e1 (B, C)."""
        x = self.norm(features)
        tokens = torch.cat([x, self.attribute_norm(attributes)], dim=1)
        keys, values = self.key_value(tokens).unflatten(1, (-1, 2)).unbind(2)
        dropout = self.attention_dropout if self.training else 0.0
        attended = scalar_token_attention(self.query(x), keys, values, dropout)
        x = x + self.heavy_dropout(self.dropout(self.projection(attended + x)))
        hidden = self.heavy_dropout(functional.gelu(self.hidden(self.mlp_norm(x))))
        return x + self.dropout(self.heavy_dropout(self.output(hidden)))


class TokenPairFusion(nn.Module):
    """Embedding I of the paper, Eq. (3) and (4): the feature f attends to itself and to the code's feature f_a.

    f_ca = LN(softmax(Q K^T / sqrt(C)) V + Q) with Q = f and K = V = [f, f_a]; z = LN(f_ca + f); e1 = LN(z + FFN(z)).
    That f and f_a are two tokens of width C, and the width C of the GELU in the FFN, are our reading.
    """

    def __init__(self, channels: int, attributes: int) -> None:
        super().__init__()
        self.attribute_feature = nn.Linear(attributes, channels)
        self.norms = nn.ModuleList(nn.LayerNorm(channels) for _ in range(3))
        self.hidden = nn.Linear(channels, channels)
        self.output = nn.Linear(channels, channels)

    def forward(self, features: Tensor, attributes: Tensor) -> Tensor:
        """(B, C) and (B, n) -> e1 (B, C)."""
        tokens = torch.stack([features, self.attribute_feature(attributes)], dim=1)
        with torch.autocast(features.device.type, enabled=False):
            query, tokens = at_least_float32(features), at_least_float32(tokens)
            scores = torch.linalg.vecdot(tokens, query[:, None]) / query.shape[1] ** 0.5
            attended = (scores.softmax(dim=1)[:, :, None] * tokens).sum(dim=1)
        fused = self.norms[0](attended + features)
        fused = self.norms[1](fused + features)
        return self.norms[2](fused + self.output(functional.gelu(self.hidden(fused))))


def scalar_token_attention(query: Tensor, key: Tensor, value: Tensor, dropout: float = 0.0) -> Tensor:
    """sum_j softmax_j(q_i k_j) v_j for queries (B, M) and keys and values (B, N) that are numbers -> (B, M), float32.

    ``dropout`` zeroes that share of the attention weights. A matrix (B, M, N), half a gigabyte for 32 images of
    ResNet-50, is never kept: images pass in chunks of `ATTENTION_BYTES`, which are computed again for the gradient.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, key, value = (at_least_float32(rows) for rows in (query, key, value))
        chunk = max(1, ATTENTION_BYTES // (query.element_size() * query.shape[1] * key.shape[1]))
        if chunk >= len(query):
            return _attend(query, key, value, dropout)
        parts = zip(query.split(chunk), key.split(chunk), value.split(chunk), strict=True)
        return torch.cat([checkpoint(_attend, *part, dropout, use_reentrant=False) for part in parts])


def _attend(query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
    weights = (query[:, :, None] * key[:, None, :]).softmax(dim=2)
    if dropout > 0:
        weights = functional.dropout(weights, dropout)
    return (weights @ value[:, :, None]).squeeze(2)
