"""The losses of Pose beside the identity loss and the hetero-centre triplet loss."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor

from vibench.losses.centres import identity_centres
from vibench.losses.distance import same_identity
from vibench.nn.precision import at_least_float32


def heatmap_loss(predicted: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Squared error between heatmaps (B, C, h, w), mean over pixels and channels and over the ``counted`` images.

    ``counted`` (B,) bool: the images with a target. 0 where there is none. Pose, Eq. (16), with the official code's
    mean over the pixels in place of the sum, to which the weight lambda belongs.
    """
    errors = (at_least_float32(predicted) - target).square().mean(dim=(1, 2, 3))
    share = counted.to(errors.dtype)
    return (errors * share).sum() / share.sum().clamp(min=1.0)


def distillation(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """KL(p_T || p_part) of logits (..., B, C) and (B, C) softened by T, mean over the images, times T^2: (...).

    Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015; Pose, Eq. (15). Gradients reach both.
    """
    soft_student = functional.log_softmax(at_least_float32(student) / temperature, dim=-1)
    soft_teacher = functional.log_softmax(at_least_float32(teacher) / temperature, dim=-1)
    divergence = functional.kl_div(
        soft_student, soft_teacher.expand_as(soft_student), reduction="none", log_target=True
    )
    return temperature**2 * divergence.sum(dim=-1).mean(dim=-1)


def mid_centre_contrast(embeddings: Tensor, labels: Tensor, modality: Tensor, margin: float = 0.3) -> Tensor:
    """The official code of Pose in place of its hetero-centre triplet loss: contrast with centres of both modalities.

    c is the centre of an identity in one modality, m_y that of identity y over both, the mean of its two c (of its
    one, where there is one), d = |c - m_y|. Mean over all pairs (c, m_y) of d^2 for the same identity and
    max(margin - sqrt(d), 0)^2 for another, separately for the centres of each modality, then summed. That the root is
    taken of a distance which is one already is the code's. ``embeddings`` (..., B, D), ``labels`` (B,) and ``modality``
    (B,) -> (...).
    """
    centres = identity_centres(embeddings, labels, modality)
    with torch.autocast(embeddings.device.type, enabled=False):
        own = centres.own
        middle = torch.where(centres.paired[:, None], (own + centres.other) / 2.0, own)
        lengths = own.square().sum(dim=-1), middle.square().sum(dim=-1)
        squared = lengths[0][..., :, None] + lengths[1][..., None, :] - 2.0 * own @ middle.mT
        distances = squared.clamp(min=1e-12).sqrt()
        alike = same_identity(labels)
        terms = torch.where(alike, distances.square(), (margin - distances.sqrt()).clamp(min=0.0).square())
        # Centres stand in as many rows as they have images: every centre, and every identity, is to count once.
        within = same_identity(modality).to(own.dtype)
        rows = centres.share / (within @ centres.share)
        columns = 1.0 / alike.sum(dim=1).to(own.dtype)
        return terms @ (columns / columns.sum()) @ rows
