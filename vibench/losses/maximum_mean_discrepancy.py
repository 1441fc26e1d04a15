"""Maximum mean discrepancy (MMD) between the visible and the infrared features, as a whole or per identity."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from vibench.losses.distance import same_identity, squared_distances

BANDWIDTH_FLOOR = 1e-9


def margin_mmd_id(
    embeddings: Tensor,
    labels: Tensor,
    modality: Tensor,
    margin: float = 0.0,
    form: Literal["gate", "hinge"] = "gate",
    kernels: int = 5,
    multiplier: float = 2.0,
) -> Tensor:
    """Mean over the identities of their squared MMD between the modalities, where it exceeds ``margin``.

    Jambigi, Rawal, Chakraborty, "MMD-ReID: A Simple but Effective Solution for Visible-Thermal Person ReID", BMVC
    2021. For one identity (``labels``, (B,)) with rows v and t of ``embeddings`` (B, D) by ``modality`` (B,):
    MMD^2 = mean k(v, v') + mean k(t, t') - 2 mean k(v, t), pairs of a row with itself included (the biased estimate).
    k(a, b) is a sum, not a mean, of Gaussian kernels exp(-|a - b|^2 / beta); the ``kernels`` bandwidths are
    multiplier^-(kernels // 2), ..., times the identity's mean squared distance of distinct rows, taken as a constant.
    Embeddings are not normalised.

    ``form``: ``gate`` as in the official code, MMD^2 where it exceeds ``margin`` and else 0, or ``hinge`` as in the
    paper, [MMD^2 - margin]_+. Their gradients are the same. A margin of 0 is none. The scale of the margin depends
    on the number of images per identity and on the kernels: two samples of four from the same wide Gaussian have an
    MMD^2 of about 1.55, two distant clusters about 7.5. An identity with images of one modality only counts as 0.
    """
    discrepancy, share = _discrepancies(embeddings, labels, modality, kernels, multiplier)
    counted = discrepancy if form == "gate" else discrepancy - margin
    if margin > 0:
        counted = counted * (discrepancy > margin)
    return (share * counted).sum() / share.sum()


def maximum_mean_discrepancy(embeddings: Tensor, modality: Tensor, kernels: int = 5, multiplier: float = 2.0) -> Tensor:
    """Squared MMD between all visible and all infrared rows, whoever they show; see `margin_mmd_id`."""
    return margin_mmd_id(embeddings, torch.zeros_like(modality), modality, kernels=kernels, multiplier=multiplier)


def _discrepancies(
    embeddings: Tensor, labels: Tensor, modality: Tensor, kernels: int, multiplier: float
) -> tuple[Tensor, Tensor]:
    """MMD^2 of the identity that each row belongs to (B,), and one over that identity's number of rows (B,).

    Sums over identities are sums over rows, each with its share: the list of identities, which a GPU would have to be
    asked for, is not needed.
    """
    # The sums over an identity's rows are products with a mask, which autocast would take to half precision.
    with torch.autocast(embeddings.device.type, enabled=False):
        squared = squared_distances(embeddings).clamp(min=0.0)
        same = same_identity(labels).to(squared.dtype)
        same_modality = same_identity(modality)
        size, own_count = same.sum(dim=1), (same * same_modality).sum(dim=1)
        # Of the three means: 1/V^2 and 1/T^2 within the modalities, -1/(VT) across them.
        weights = same * torch.where(same_modality, 1.0, -1.0) / (own_count[:, None] * own_count[None, :])
        both_modalities = own_count < size
        kernel = _kernel(squared, same, kernels, multiplier)
        return (same @ (weights * kernel).sum(dim=1)) * both_modalities, 1.0 / size


def _kernel(squared: Tensor, same: Tensor, kernels: int, multiplier: float) -> Tensor:
    """Kernel sums (B, B) of ``squared`` distances (B, B); meaningful for rows of one identity only (``same``)."""
    with torch.no_grad():
        size = same.sum(dim=1)
        total = same @ (same * squared).sum(dim=1)
        bandwidth = total / (size * (size - 1.0)).clamp(min=1.0)
    exponents = [power - kernels // 2 for power in range(kernels)]
    scales = [multiplier**exponent * bandwidth[:, None] + BANDWIDTH_FLOOR for exponent in exponents]
    return torch.stack([(-squared / scale).exp() for scale in scales]).sum(dim=0)
