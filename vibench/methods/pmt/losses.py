"""Losses of PMT (Lu, Zou, Zhang, AAAI 2023), as in hulu88/PMT."""

from __future__ import annotations

import torch
from torch import Tensor

from vibench.losses.distance import euclidean_distances, same_identity
from vibench.nn.precision import at_least_float32

COINCIDENT = 1e-6
"""Distances up to this count as none."""


def modality_shared_enhancement(embeddings: Tensor, labels: Tensor, modality: Tensor) -> Tensor:
    """MSEL: an image is as far from its identity's images of the other modality as from those of its own.

    For row i of ``embeddings`` (B, D), of identity ``labels`` (B,) and ``modality`` (B,), o_i is the mean Euclidean
    distance to the other rows of its identity and modality, c_i that to its identity's rows of the other modality.
    The loss is the mean of (c_i - o_i)^2 over the visible rows, plus that over the infrared rows, halved. The gradient
    passes through both. Embeddings are not normalised. Where an identity has one row of a modality, o_i is 0.
    """
    distances = euclidean_distances(embeddings)
    identity, stream = same_identity(labels), same_identity(modality)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    own = _mean(distances, identity & stream & ~itself)
    across = _mean(distances, identity & ~stream)
    # Every row with the weight of one over the rows of its modality: the list of modalities is not needed.
    return ((across - own).square() / stream.sum(dim=1)).sum() / 2.0


def discriminative_centres(embeddings: Tensor, labels: Tensor) -> Tensor:
    """DCL: every identity's rows are near their centre, and the nearer rows of other identities far from it.

    The centre of an identity is the mean of its rows of ``embeddings`` (B, D), of both modalities; ``labels``: (B,).
    m_y is the mean distance from centre y to the rows of other identities, n_y that to those of them that are nearer
    than m_y. The loss is the mean distance of all rows to their own centres, divided by the mean of n_y over the
    identities. It does not depend on the scale of the embeddings, which are not normalised; the gradient passes
    through the centres, and not through m_y. Distances up to 1e-6 count nowhere. Where all rows of others are equally
    far, n_y is m_y; in a batch of one identity the loss is 0, where the official code has NaN.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        embeddings = at_least_float32(embeddings)
        alike = same_identity(labels)
        count = alike.sum(dim=1)
        # In row i the centre of the identity of i.
        centres = alike.to(embeddings.dtype) @ embeddings / count[:, None]
        squares = embeddings.square().sum(dim=1)
        squared = centres.square().sum(dim=1)[:, None] + squares[None] - 2.0 * centres @ embeddings.T
        distances = squared.clamp(min=1e-12).sqrt()
        counted = distances > COINCIDENT
        own = torch.eye(len(labels), dtype=torch.bool, device=labels.device) & counted
        near = distances.where(own, 0.0).sum() / own.sum().clamp(min=1)
        others = ~alike & counted
        means = _mean(distances, others)
        nearer = others & (distances < means[:, None].detach())
        bounds = torch.where(nearer.any(dim=1), _mean(distances, nearer), means)
        # A centre stands in as many rows as its identity has.
        far = (bounds / count).sum() / (1.0 / count).sum()
        return near / torch.where(far > 0, far, 1.0) * (far > 0)


def _mean(distances: Tensor, among: Tensor) -> Tensor:
    """Mean (B,) of the entries of every row of ``distances`` (B, B) that ``among`` marks; 0 where it marks none."""
    return distances.where(among, 0.0).sum(dim=1) / among.sum(dim=1).clamp(min=1)
