"""Centre-cluster loss of MPANet."""

from __future__ import annotations

import torch
from torch import Tensor

from vibench.losses.distance import euclidean_distances
from vibench.nn.precision import at_least_float32


def centre_cluster(embeddings: Tensor, labels: Tensor, margin: float = 0.7) -> Tensor:
    """Mean distance of every row to the centre of its identity, plus a hinge that keeps the centres apart.

    Wu et al., "Discover Cross-Modality Nuances for Visible-Infrared Person Re-Identification", CVPR 2021: the centre
    c_y is the mean of all rows of ``embeddings`` (B, D) with label y, of both modalities; the hinge is
    [margin - |c_y - c_z|]_+, averaged over all pairs of a centre c_y and a row of another identity z, so that an
    identity with more rows counts for more. Distances are Euclidean and not squared, the embeddings not normalised.
    ``labels``: (B,). With one identity only, the hinge is 0.
    """
    with torch.autocast(embeddings.device.type, enabled=False):
        embeddings = at_least_float32(embeddings)
        # Row i of `alike` marks the rows of i's identity; no list of identities, whose length a GPU would be asked for.
        alike = (labels[:, None] == labels[None, :]).to(embeddings.dtype)
        sizes = alike.sum(dim=1, keepdim=True)
        centres = (alike @ embeddings) / sizes
        compactness = _length(embeddings - centres).mean()
        unlike = 1.0 - alike
        hinge = (margin - euclidean_distances(centres)).clamp(min=0.0) * unlike
        # A centre stands in as many rows as its identity has; weighed by their inverse it counts once.
        others = unlike.sum(dim=1, keepdim=True).clamp(min=1.0)
        separation = (hinge / others / sizes).sum() / (1.0 / sizes).sum()
        return compactness + separation


def _length(rows: Tensor) -> Tensor:
    """Euclidean length of every row, with gradient 0 instead of NaN at a row of zeros."""
    squares = rows.square().sum(dim=1)
    zero = squares == 0
    return torch.where(zero, torch.zeros_like(squares), torch.where(zero, torch.ones_like(squares), squares).sqrt())
