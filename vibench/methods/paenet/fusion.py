"""Embedding I of PAENet: the attribute code is fused into the image feature by cross attention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

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
    ResNet-50, is never kept: images pass in chunks of `ATTENTION_BYTES`, whose weights are computed again for the
    gradient.
    """
    with torch.autocast(query.device.type, enabled=False):
        query, key, value = (at_least_float32(rows) for rows in (query, key, value))
        return _ScalarTokenAttention.apply(query, key, value, dropout)


class _ScalarTokenAttention(torch.autograd.Function):
    """`scalar_token_attention` with a gradient that passes over the matrix of weights a few times only.

    With e_ij = exp(q_i k_j - max_j q_i k_j), z_i = sum_j e_ij, the dropout's marks m_ij and its keeping rate r, output
    i is sum_j m_ij e_ij v_j / (r z_i). It depends on q_i alone, so that its slope is found on the way forward, where e
    is at hand. On the way back e and m are made again, m from the state of the random numbers that it came from.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, dropout: float) -> Tensor:
        ctx.keeping = 1.0 - dropout
        ctx.random_state = _random_state(query.device) if dropout > 0 else None
        columns, kept_columns = (
            torch.stack([torch.ones_like(key), key], dim=1),
            torch.stack([value, value * key], dim=1),
        )
        total, of_keys, attended, of_products = (torch.empty_like(query) for _ in range(4))
        for chunk, weights, marks in _weights(query, key, dropout):
            total[chunk], of_keys[chunk] = _row_sums(weights, columns[chunk])
            if marks is not None:
                weights *= marks.bernoulli_(ctx.keeping)
            attended[chunk], of_products[chunk] = _row_sums(weights, kept_columns[chunk])
        attended /= total * ctx.keeping
        slope = of_products / (total * ctx.keeping) - attended * of_keys / total
        ctx.save_for_backward(query, key, value, total, attended, slope)
        return attended

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, total, attended, slope = ctx.saved_tensors
        share = gradients[0] / total
        rows, kept_rows = share * attended * query, torch.stack([share, share * query], dim=1) / ctx.keeping
        of_all, of_products, of_values = (torch.empty_like(key) for _ in range(3))
        with torch.autocast(query.device.type, enabled=False), torch.random.fork_rng(_cuda_devices(query.device)):
            if ctx.random_state is not None:
                _set_random_state(query.device, ctx.random_state)
            for chunk, weights, marks in _weights(query, key, 1.0 - ctx.keeping):
                of_all[chunk] = (rows[chunk, None] @ weights).squeeze(1)
                if marks is not None:
                    weights *= marks.bernoulli_(ctx.keeping)
                of_values[chunk], of_products[chunk] = (kept_rows[chunk] @ weights).unbind(1)
        return gradients[0] * slope, value * of_products - of_all, of_values, None


def _weights(query: Tensor, key: Tensor, dropout: float) -> Iterator[tuple[slice, Tensor, Tensor | None]]:
    """Chunks of images with their e (b, M, N) and, with dropout, room of the same shape for its marks.

    All chunks stand in one piece of memory, because a CPU takes longer to get a new one than to fill it.
    """
    images, shape = len(query), (query.shape[1], key.shape[1])
    chunk = min(max(1, ATTENTION_BYTES // (query.element_size() * shape[0] * shape[1])), images)
    weights = query.new_empty(chunk, *shape)
    marks = torch.empty_like(weights) if dropout > 0 else None
    # The largest product of a number is that with the largest or with the smallest key.
    smallest, largest = key.aminmax(dim=1, keepdim=True)
    shift = torch.where(query > 0, query * largest, query * smallest).neg_()
    for start in range(0, images, chunk):
        rows = slice(start, min(start + chunk, images))
        count = rows.stop - start
        torch.addcmul(shift[rows, :, None], query[rows, :, None], key[rows, None, :], out=weights[:count])
        yield rows, weights[:count].exp_(), None if marks is None else marks[:count]


def _row_sums(weights: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """sum_j e_ij c_j for both of ``columns`` (b, 2, N): (b, M) each."""
    first, second = (columns @ weights.mT).unbind(1)
    return first, second


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _random_state(device: torch.device) -> Tensor:
    """Of the generator that draws numbers on ``device``."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
