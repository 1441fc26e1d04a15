"""Distances between the embeddings of a batch."""

from __future__ import annotations

import torch
from torch import Tensor


def euclidean_distances(embeddings: Tensor) -> Tensor:
    """Euclidean distances (B, B) between the rows of ``embeddings`` (B, D), float32 at least.

    d = sqrt(max(|a|^2 + |b|^2 - 2 a.b, 1e-12)); the floor keeps the gradient finite where two rows coincide.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        if embeddings.dtype in (torch.float16, torch.bfloat16):
            embeddings = embeddings.float()
        squares = embeddings.square().sum(dim=1)
        squared = squares[:, None] + squares[None, :] - 2.0 * (embeddings @ embeddings.T)
        return squared.clamp(min=1e-12).sqrt()


def same_identity(labels: Tensor) -> Tensor:
    """(B, B) mask of pairs with equal ``labels`` (B,), each row with itself included."""
    return labels[:, None] == labels[None, :]
