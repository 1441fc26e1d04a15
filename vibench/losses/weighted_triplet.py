"""Weighted regularised triplet loss (WRT) of AGW, and the enhanced squared difference of CAJ on its weights."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor

from vibench.losses.distance import euclidean_distances, same_identity

EPSILON = 1e-6
SQUARE_CEILING = 88.0
"""Largest squared difference: exp(88) is the largest power of e with whole exponent in float32."""


def weighted_regularised_triplet(
    embeddings: Tensor,
    labels: Tensor,
    normalise: bool = False,
    form: Literal["epsilon", "clean"] = "epsilon",
    alpha: float = 1.0,
    gamma: float = 1.0,
) -> Tensor:
    """Mean over anchors i of log(1 + exp(gamma (sum_j w+_ij d_ij - sum_k w-_ik d_ik))); no margin.

    Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2021, Sec. 4: d is Euclidean
    over all rows of ``embeddings`` (B, D), j runs over the positives (the anchor included), k over the negatives, of
    either modality. The weights carry gradient. ``labels``: (B,). ``normalise``: L2-normalise the rows first.
    ``alpha`` sharpens the weights, ``gamma`` the loss; both are 1 in AGW.

    ``form`` says how the weights are normalised. ``epsilon``, the official code and what the printed numbers come
    from: w+ = exp(alpha d - M_i) / (sum + 1e-6) with M_i the largest positive alpha d, w- = exp(-alpha d) /
    (sum + 1e-6) without any shift. At large distances 1e-6 outweighs the negatives, their term fades to 0, and the
    loss shrinks the scale of the embeddings instead. ``clean``, the paper: an exact softmax over positives and over
    negatives.
    """
    furthest_positive, closest_negative = _weighted_distances(embeddings, labels, normalise, form, alpha)
    return _soft_margin(gamma * (furthest_positive - closest_negative)).mean()


def squared_difference_triplet(
    embeddings: Tensor,
    labels: Tensor,
    form: Literal["epsilon", "clean"] = "epsilon",
    alpha: float = 1.0,
    gamma: float = 1.0,
) -> Tensor:
    """Mean over anchors of log(1 + exp(s min(gamma (F - C)^2, 88))), the enhanced squared difference.

    Ye et al., "Channel Augmented Joint Learning for Visible-Infrared Recognition", ICCV 2021: F is an anchor's
    weighted positive and C its weighted negative distance as in `weighted_regularised_triplet`, s is +1 where F > C
    and -1 elsewhere. A violated triplet is pushed with the square of its violation, a satisfied one fades quickly.
    ``embeddings`` (B, D) are not normalised, ``labels``: (B,).
    """
    furthest_positive, closest_negative = _weighted_distances(embeddings, labels, False, form, alpha)
    square = (gamma * (furthest_positive - closest_negative).square()).clamp(max=SQUARE_CEILING)
    return _soft_margin(torch.where(furthest_positive > closest_negative, square, -square)).mean()


def _soft_margin(differences: Tensor) -> Tensor:
    """log(1 + exp(x)) of every entry, exact up to the ceiling; softplus by itself takes x for it beyond 20."""
    return functional.softplus(differences, threshold=SQUARE_CEILING)


def _weighted_distances(
    embeddings: Tensor, labels: Tensor, normalise: bool, form: Literal["epsilon", "clean"], alpha: float
) -> tuple[Tensor, Tensor]:
    """Weighted sums of every anchor's positive and of its negative distances, both (B,)."""
    if normalise:
        embeddings = functional.normalize(embeddings, dim=1)
    distances = euclidean_distances(embeddings)
    positive = same_identity(labels)
    exponents = alpha * distances
    if form == "epsilon":
        shift = exponents.masked_fill(~positive, 0.0).amax(dim=1, keepdim=True)
        positive_weights = _epsilon_weights(exponents - shift, positive)
        negative_weights = _epsilon_weights(-exponents, ~positive)
    else:
        positive_weights = _softmax_weights(exponents, positive)
        negative_weights = _softmax_weights(-exponents, ~positive)
    return (positive_weights * distances).sum(dim=1), (negative_weights * distances).sum(dim=1)


def _epsilon_weights(exponents: Tensor, among: Tensor) -> Tensor:
    # Zeroing the exponents first keeps exp finite, and with it the gradient, at pairs that do not count.
    weights = exponents.masked_fill(~among, 0.0).exp() * among
    return weights / (weights.sum(dim=1, keepdim=True) + EPSILON)


def _softmax_weights(exponents: Tensor, among: Tensor) -> Tensor:
    # A finite floor instead of -inf: a row without any member (a batch of one identity) stays free of NaN.
    weights = exponents.masked_fill(~among, -1e30).softmax(dim=1)
    return weights * among
