"""Triplet losses whose triplets keep to a rule on modalities."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vibench.losses.distance import euclidean_distances, same_identity
from vibench.modality import CODE

Mining = Literal["hard", "all"]


def cross_modality_triplet(
    embeddings: Tensor, labels: Tensor, modality: Tensor, margin: float = 0.3, mining: Mining = "hard"
) -> Tensor:
    """L_cmT of cm-SSFT (Lu et al., CVPR 2020), Eq. (4): positive and negative are of the modality the anchor is not.

    The mean of [margin + d(anchor, positive) - d(anchor, negative)]_+ over the visible anchors plus that over the
    infrared ones; ``embeddings`` (B, D), ``labels`` (B,) and ``modality`` (B,), d Euclidean, nothing normalised.

    ``mining``: ``hard`` takes the furthest positive and the nearest negative of every anchor, ``all`` the mean over
    all triplets. The paper prints sums and weighs them so that they equal a classification loss, which means can.
    An anchor without a positive counts as its own (``hard``), one without a negative as 0.
    """
    return _triplet(embeddings, labels, modality, ~same_identity(modality), margin, mining)


def same_modality_triplet(
    embeddings: Tensor, labels: Tensor, modality: Tensor, margin: float = 0.3, mining: Mining = "hard"
) -> Tensor:
    """L_smT of cm-SSFT, Eq. (3): all three members of a triplet are of one modality; else `cross_modality_triplet`."""
    return _triplet(embeddings, labels, modality, same_identity(modality), margin, mining)


def _triplet(
    embeddings: Tensor, labels: Tensor, modality: Tensor, candidates: Tensor, margin: float, mining: Mining
) -> Tensor:
    """``candidates`` (B, B): which rows may be an anchor's positive or negative."""
    distances = euclidean_distances(embeddings)
    positive = candidates & same_identity(labels)
    negative = candidates & ~same_identity(labels)
    if mining == "hard":
        furthest = distances.masked_fill(~positive, 0.0).amax(dim=1)
        nearest = distances.masked_fill(~negative, float("inf")).amin(dim=1)
        terms = (margin + furthest - nearest).clamp(min=0.0)
        counts = torch.ones_like(terms)
    else:
        itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
        triplets = (positive & ~itself)[:, :, None] & negative[:, None, :]
        violations = (margin + distances[:, :, None] - distances[:, None, :]).clamp(min=0.0)
        terms = (violations * triplets).sum(dim=(1, 2))
        counts = triplets.sum(dim=(1, 2)).to(terms.dtype)
    means = []
    for code in CODE.values():
        anchors = modality == code
        means.append((terms * anchors).sum() / (counts * anchors).sum().clamp(min=1.0))
    return torch.stack(means).sum()
