"""Losses on the centres of an identity's visible and infrared images."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from vibench.losses.centres import identity_centres
from vibench.losses.distance import euclidean_distances, same_identity


def hetero_centre_triplet(
    embeddings: Tensor,
    labels: Tensor,
    modality: Tensor,
    margin: float = 0.3,
    reduction: Literal["mean", "sum"] = "mean",
) -> Tensor:
    """Hetero-centre triplet loss: [margin + d(c, c') - min d(c, other identity's centre)]_+ over all centres c.

    Liu, Tan, Zhou, "Parameter Sharing Exploration and Hetero-Center Triplet Loss for Visible-Thermal Person
    Re-Identification", IEEE TMM 2020. c is the mean of the ``embeddings`` (B, D) of one identity (``labels``, (B,))
    and ``modality`` (B,), c' its identity's in the other modality; negatives are of either modality; d is Euclidean
    and the embeddings are not normalised. Without any negative, or any c', that distance counts as infinite or 0.

    ``reduction`` over the centres: ``mean`` as in the official code, to which its loss weight is tuned, or ``sum`` as
    in the paper.
    """
    centres = identity_centres(embeddings, labels, modality)
    distances = euclidean_distances(centres.own)
    positive = same_identity(labels)
    across = distances.masked_fill(~positive, 0.0).amax(dim=-1)
    nearest_negative = distances.masked_fill(positive, float("inf")).amin(dim=-1)
    total = (centres.share * (margin + across - nearest_negative).clamp(min=0.0)).sum(dim=-1)
    return total / centres.share.sum() if reduction == "mean" else total


def hetero_centre(embeddings: Tensor, labels: Tensor, modality: Tensor) -> Tensor:
    """Hetero-centre loss: sum over the identities of the squared distance between their two centres.

    Zhu et al., "Hetero-Center Loss for Cross-Modality Person Re-Identification" (TSLFN), Neurocomputing 2020. Centres
    are means of the ``embeddings`` (B, D) of one identity (``labels``, (B,)) and ``modality`` (B,); an identity with
    images of one modality only contributes nothing.
    """
    centres = identity_centres(embeddings, labels, modality)
    squared = (centres.own - centres.other).square().sum(dim=-1) * centres.paired
    # Every identity is met twice, once from each of its centres.
    return (centres.share * squared).sum(dim=-1) / 2.0
