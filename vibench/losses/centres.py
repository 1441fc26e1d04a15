"""Centres of the images of one identity and modality, without a wait for the device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vibench.losses.distance import same_identity
from vibench.nn.precision import at_least_float32


@dataclass(frozen=True)
class Centres:
    """The centre that every row of a batch belongs to; rows of one identity and modality share one.

    Finding the distinct ones would make the host wait for a GPU, so that sums over centres are sums over rows,
    each with its ``share``.
    """

    own: Tensor
    """(..., B, D) float32 at least: mean of the rows of the same identity and modality."""
    other: Tensor
    """(..., B, D): mean of the rows of the same identity and the other modality; 0 where there are none."""
    paired: Tensor
    """(B,) bool: whether there are any."""
    share: Tensor
    """(B,): one over the number of rows with the same centre."""


def identity_centres(embeddings: Tensor, labels: Tensor, modality: Tensor) -> Centres:
    """Centres of ``embeddings`` (..., B, D) by ``labels`` (B,) and ``modality`` (B,)."""
    with torch.autocast(embeddings.device.type, enabled=False):
        embeddings = at_least_float32(embeddings)
        identity, stream = same_identity(labels), same_identity(modality)
        own = (identity & stream).to(embeddings.dtype)
        other = (identity & ~stream).to(embeddings.dtype)
        own_count, other_count = own.sum(dim=1), other.sum(dim=1)
        return Centres(
            own=own @ embeddings / own_count[:, None],
            other=other @ embeddings / other_count.clamp(min=1.0)[:, None],
            paired=other_count > 0,
            share=1.0 / own_count,
        )
