"""Weighted regularised triplet loss (WRT) of AGW."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as functional
from torch import Tensor

from vibench.losses.distance import euclidean_distances, same_identity

EPSILON = 1e-6


def weighted_regularised_triplet(
    embeddings: Tensor, labels: Tensor, normalise: bool = False, form: Literal["epsilon", "clean"] = "epsilon"
) -> Tensor:
    """Mean over anchors i of log(1 + exp(sum_j w+_ij d_ij - sum_k w-_ik d_ik)); no margin.

    Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2021, Sec. 4: d is Euclidean
    over all rows of ``embeddings`` (B, D), j runs over the positives (the anchor included), k over the negatives, of
    either modality. The weights carry gradient. ``labels``: (B,). ``normalise``: L2-normalise the rows first.

    ``form`` says how the weights are normalised. ``epsilon``, the official code and what the printed numbers come
    from: w+ = exp(d - M_i) / (sum + 1e-6) with M_i the largest positive distance, w- = exp(-d) / (sum + 1e-6) without
    any shift. At large distances 1e-6 outweighs the negatives, their term fades to 0, and the loss shrinks the scale
    of the embeddings instead. ``clean``, the paper: an exact softmax over positives and over negatives.
    """
    if normalise:
        embeddings = functional.normalize(embeddings, dim=1)
    distances = euclidean_distances(embeddings)
    positive = same_identity(labels)
    if form == "epsilon":
        shift = distances.masked_fill(~positive, 0.0).amax(dim=1, keepdim=True)
        positive_weights = _epsilon_weights(distances - shift, positive)
        negative_weights = _epsilon_weights(-distances, ~positive)
    else:
        positive_weights = _softmax_weights(distances, positive)
        negative_weights = _softmax_weights(-distances, ~positive)
    furthest_positive = (positive_weights * distances).sum(dim=1)
    closest_negative = (negative_weights * distances).sum(dim=1)
    return functional.softplus(furthest_positive - closest_negative).mean()


def _epsilon_weights(exponents: Tensor, among: Tensor) -> Tensor:
    # Zeroing the exponents first keeps exp finite, and with it the gradient, at pairs that do not count.
    weights = exponents.masked_fill(~among, 0.0).exp() * among
    return weights / (weights.sum(dim=1, keepdim=True) + EPSILON)


def _softmax_weights(exponents: Tensor, among: Tensor) -> Tensor:
    # A finite floor instead of -inf: a row without any member (a batch of one identity) stays free of NaN.
    weights = exponents.masked_fill(~among, -1e30).softmax(dim=1)
    return weights * among
