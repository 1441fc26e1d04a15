"""Distances between the embeddings of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from vibench.nn.precision import at_least_float32


def euclidean_distances(embeddings: Tensor) -> Tensor:
    """Euclidean distances (..., B, B) between the rows of ``embeddings`` (..., B, D), float32 at least.

    d = sqrt(max(|a|^2 + |b|^2 - 2 a.b, 1e-12)); the floor keeps the gradient finite where two rows coincide.
    """
    return squared_distances(embeddings).clamp(min=1e-12).sqrt()


def squared_distances(embeddings: Tensor) -> Tensor:
    """|a|^2 + |b|^2 - 2 a.b (..., B, B) of the rows of ``embeddings`` (..., B, D), float32 at least.

    Rounding may make it negative.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        embeddings = at_least_float32(embeddings)
        squares = embeddings.square().sum(dim=-1)
        return squares[..., :, None] + squares[..., None, :] - 2.0 * (embeddings @ embeddings.mT)


def same_identity(labels: Tensor) -> Tensor:
    """(B, B) mask of pairs with equal ``labels`` (B,), each row with itself included."""
    return labels[:, None] == labels[None, :]
