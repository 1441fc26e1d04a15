"""Batch-hard triplet loss."""

from __future__ import annotations

from torch import Tensor

from vibench.losses.distance import euclidean_distances, same_identity


def hard_triplet(embeddings: Tensor, labels: Tensor, margin: float = 0.3) -> Tensor:
    """Mean over all anchors of [margin + furthest positive - nearest negative]_+, in Euclidean distance.

    Hermans, Beyer, Leibe, "In Defense of the Triplet Loss for Person Re-Identification", arXiv 2017, Eq. (5), as L_tri
    of DDAG (Ye et al., ECCV 2020, Eq. (1)): all rows of ``embeddings`` (B, D) are anchors, positives and negatives
    may be of either modality, and the embeddings are not normalised. ``labels``: (B,). An anchor counts as its own
    positive; without any negative its term is 0.
    """
    distances = euclidean_distances(embeddings)
    positive = same_identity(labels)
    furthest_positive = distances.masked_fill(~positive, 0.0).amax(dim=-1)
    nearest_negative = distances.masked_fill(positive, float("inf")).amin(dim=-1)
    return (margin + furthest_positive - nearest_negative).clamp(min=0.0).mean(dim=-1)
