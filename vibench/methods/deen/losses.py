"""Losses between the original and the generated embeddings (Zhang and Wang, CVPR 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import torch
import torch.nn.functional as functional
from torch import Tensor

from vibench.losses.distance import same_identity
from vibench.nn.precision import at_least_float32


def centre_guided_pair_mining(original: Tensor, generated: Tensor, labels: Tensor, margin: float = 0.2) -> Tensor:
    """CPM: generated centres come near the other modality's original centre, and stay away from other identities.

    Rows of ``original`` and ``generated`` (B, D) and of ``labels`` (B,) are a visible half and an infrared half with
    the same labels in the same order, every identity with equally many rows. With the visible and infrared centres
    v_i, r_i of identity i, those v+_i, r+_i of the generated embeddings, Euclidean distances d, nn(X, i) the distance
    of X_i to the nearest other centre in X, and a_i = d(r_i, v+_i)::

        l_1 = mean_i [a_i - sg d(v_i, v+_i) + m]_+  +  1/2 mean_i [a_i - nn(v+, i) + m]_+
              +  1/2 mean_i [a_i - nn(v, i) + m]_+

    sg stops the gradient. l_2 is the same with the modalities exchanged; the loss is (l_1 + l_2) / 2. A batch of one
    identity has no nearest other centre, and the two terms that ask for it are 0.
    """
    with torch.autocast(original.device.type, enabled=False):
        half = labels.chunk(2)[0]
        visible, infrared = (_centres(rows, half) for rows in original.chunk(2))
        generated_visible, generated_infrared = (_centres(rows, half) for rows in generated.chunk(2))
        one = _one_direction(infrared, visible, generated_visible, half, margin)
        other = _one_direction(visible, infrared, generated_infrared, half, margin)
        return (one + other) / 2


def orthogonality(generated: Sequence[Tensor], normalise: bool = False) -> Tensor:
    """ORT: inner products of an image's generated embeddings, over all pairs of branches and all images.

    ``generated`` holds (B, D) per branch. As in the official code, embeddings are not normalised, products keep their
    sign, and the sum is divided by the number of rows of the expanded batch, originals included. ``normalise``
    L2-normalises the embeddings first.
    """
    rows = (1 + len(generated)) * len(generated[0])
    with torch.autocast(generated[0].device.type, enabled=False):
        branches = [at_least_float32(branch) for branch in generated]
        if normalise:
            branches = [functional.normalize(branch, dim=1) for branch in branches]
        return torch.stack([(one * other).sum() for one, other in combinations(branches, 2)]).sum() / rows


def _one_direction(anchors: Tensor, originals: Tensor, generated: Tensor, labels: Tensor, margin: float) -> Tensor:
    """l_1 for the centres ``anchors`` of one modality, and ``originals`` and ``generated`` of the other."""
    across = _lengths(anchors - generated)
    within = _lengths(originals - generated).detach()
    terms = [(across - within + margin).clamp(min=0.0)]
    for centres in (generated, originals):
        nearest = _nearest_other(centres, labels)
        terms.append((across - nearest + margin).clamp(min=0.0) / 2)
    return torch.stack(terms).sum(dim=0).mean()


def _centres(rows: Tensor, labels: Tensor) -> Tensor:
    """In every row the mean over its identity: a list of identities would make the host wait for a GPU."""
    rows = at_least_float32(rows)
    alike = same_identity(labels).to(rows.dtype)
    return alike @ rows / alike.sum(dim=1, keepdim=True)


def _nearest_other(centres: Tensor, labels: Tensor) -> Tensor:
    """Distance of every row to the nearest row of another identity; infinite where there is none."""
    squares = (centres[:, None] - centres[None]).square().sum(dim=2).clamp(min=1e-12)
    return squares.masked_fill(same_identity(labels), float("inf")).amin(dim=1).sqrt()


def _lengths(rows: Tensor) -> Tensor:
    return rows.square().sum(dim=1).clamp(min=1e-12).sqrt()
