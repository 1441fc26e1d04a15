"""The losses of CAL on part features (B, N, C), per part and averaged over the parts, float32 at least."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.losses.distance import same_identity
from vibench.modality import CODE, INFRARED
from vibench.nn.precision import at_least_float32


def region_overlap(scores: Tensor) -> Tensor:
    """L_div: mean over images of the inner products of the selected ``scores`` (B, N, L) of all pairs of parts.

    CAL (Wu et al., ICCV 2023), Eq. (5).
    """
    with torch.autocast(scores.device.type, enabled=False):
        return (scores @ scores.transpose(1, 2)).triu(diagonal=1).sum(dim=(1, 2)).mean()


def part_aligned_centre(
    self_refined: Tensor,
    cross_refined: Tensor,
    labels: Tensor,
    modality: Tensor,
    margin: float = 0.6,
    reduction: Literal["mean", "sum"] = "mean",
    normalise: bool = True,
) -> Tensor:
    """L_pcl: cross-refined features are pulled to the self-refined centres of their queries' modality.

    CAL (Wu et al., ICCV 2023), Eq. (13) to (15). Row i of ``self_refined`` and ``cross_refined`` (B, N, C) belongs to
    the image that the queries were taken from, with its ``labels`` and ``modality`` (B,); part p must mean the same in
    both modalities. c is the mean of the self-refined rows of one identity and modality. Sum of five terms: the
    distance of a row of ``cross_refined`` to its own centre, for infrared and for visible rows; and
    [margin - |c - c'|]_+ for centres of two identities, infrared and visible, both infrared, both visible.

    Where the paper is silent: with ``normalise`` every part feature and every centre has length 1 (a margin of 0.6
    says nothing about raw features), and each term is the ``mean`` over its pairs; ``sum`` is the printed form, over
    images, and over both orders of two centres.
    """
    with torch.autocast(self_refined.device.type, enabled=False):
        self_refined, cross_refined = at_least_float32(self_refined), at_least_float32(cross_refined)
        if normalise:
            self_refined = functional.normalize(self_refined, dim=2)
            cross_refined = functional.normalize(cross_refined, dim=2)
        same = same_identity(labels)
        group = same & same_identity(modality)
        centres = _centres(self_refined, group)
        if normalise:
            centres = functional.normalize(centres, dim=2)
        pulled = _root((cross_refined - centres).square().sum(dim=2)).mean(dim=1)
        pushed = (margin - _root(_pairwise_squares(centres))).clamp(min=0.0).mean(dim=0)
        infrared = modality == CODE[INFRARED]
        # A centre stands in as many rows as it has images; weighed by their inverse it counts once.
        share = 1.0 / group.sum(dim=1)
        pairs = share[:, None] * share[None, :] * ~same
        weighed = [(pulled, rows.to(pulled.dtype)) for rows in (infrared, ~infrared)]
        kinds = ((infrared, ~infrared), (infrared, infrared), (~infrared, ~infrared))
        weighed += [(pushed, pairs * (rows[:, None] & columns[None, :])) for rows, columns in kinds]
        terms = [
            (value * weight).sum() / (weight.sum().clamp(min=1e-12) if reduction == "mean" else 1.0)
            for value, weight in weighed
        ]
        return torch.stack(terms).sum()


def marginal_centre_aggregation(features: Tensor, groups: Tensor, margin: float = 0.6) -> Tensor:
    """Rows of one of the ``groups`` (B,) gather around their centre, but for the nearest, and the centres keep apart.

    Mean over rows of d_i - min d_j of the group, d the squared distance of a row of ``features`` (B, N, C) to its
    group's centre, plus [margin - mean over rows of the squared distance from their centre to the nearest other]_+.
    After the centre aggregation of MCLNet (Hao et al., "Cross-Modality Person Re-Identification via Modality Confusion
    and Center Aggregation", ICCV 2021), which it calls ICA with identities and CCA with cameras as groups; here
    with the centres of the batch instead of learnt ones, because its constants belong to features of another scale.
    """
    with torch.autocast(features.device.type, enabled=False):
        features = at_least_float32(features)
        same = same_identity(groups)
        centres = _centres(features, same)
        away = (features - centres).square().sum(dim=2)
        nearest = away[None].masked_fill(~same[:, :, None], float("inf")).amin(dim=1)
        apart = _pairwise_squares(centres).masked_fill(same, float("inf")).amin(dim=2)
        return (away - nearest).mean() + (margin - apart.mean(dim=1)).clamp(min=0.0).mean()


class LearntCentres(nn.Module):
    """Centre loss: half the squared distance of every part feature to the learnt centre of its identity and part.

    Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition", ECCV 2016, Eq. (2). One centre
    serves both modalities; centres start at 0 and are trained by the optimiser like all other weights.
    """

    def __init__(self, num_classes: int, parts: int, channels: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.zeros(num_classes, parts, channels))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Mean over rows and parts of ``features`` (B, N, C) with ``labels`` (B,)."""
        return (at_least_float32(features) - self.centres[labels]).square().sum(dim=2).mean() / 2.0


def matched_weight(weights: Tensor, matchings: Tensor) -> Tensor:
    """Total weight (B,) of ``matchings`` (B, N) in graphs of ``weights`` (B, N, N); L_kd1 is its negative.

    CAL (Wu et al., ICCV 2023), Eq. (18).
    """
    return weights.gather(2, matchings[:, :, None]).sum(dim=(1, 2))


def matched_divergence(teacher: Tensor, student: Tensor, matchings: Tensor, temperature: float = 1.0) -> Tensor:
    """L_kd2: sum over the matched parts (u, v) of KL(teacher_u || student_v), (B,).

    CAL (Wu et al., ICCV 2023), Eq. (19), of softmax distributions. ``teacher`` and ``student``: logits (B, N, classes);
    ``matchings`` (B, N): the student's part of each of the teacher's. ``temperature`` divides the logits and its square
    multiplies the divergence.
    """
    teacher, student = at_least_float32(teacher) / temperature, at_least_float32(student) / temperature
    student = student.gather(1, matchings[:, :, None].expand_as(student))
    divergence = functional.kl_div(
        student.log_softmax(dim=2), teacher.log_softmax(dim=2), reduction="none", log_target=True
    )
    return divergence.sum(dim=(1, 2)) * temperature**2


def _centres(features: Tensor, group: Tensor) -> Tensor:
    """The mean (B, N, C) of the rows of ``features`` in the group of each row; ``group`` (B, B) bool."""
    members = group.to(features.dtype)
    return torch.einsum("ab,bnc->anc", members / members.sum(dim=1, keepdim=True), features)


def _pairwise_squares(rows: Tensor) -> Tensor:
    """Squared Euclidean distances (N, B, B) between ``rows`` (B, N, C), part by part."""
    rows = rows.transpose(0, 1)
    squares = rows.square().sum(dim=2)
    return (squares[:, :, None] + squares[:, None, :] - 2.0 * (rows @ rows.transpose(1, 2))).clamp(min=0.0)


def _root(squares: Tensor) -> Tensor:
    """Square roots whose gradient stays finite at 0."""
    return squares.clamp(min=1e-12).sqrt()
