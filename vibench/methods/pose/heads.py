"""Part features with a classifier each (PCB), and the global teacher of their classifiers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vibench.methods.pose.layers import Initialisation, feature_block, part_classifier
from vibench.nn.pooling import AveragePool
from vibench.nn.precision import at_least_float32
from vibench.nn.stripes import StripePool


class PartHead(nn.Module):
    """Average-pooled horizontal stripes, each with a linear layer, batch norm and classifier of its own.

    Modules: ``embed`` and ``classifiers``, from top to bottom. A map whose height does not divide by ``parts`` is cut
    into stripes that overlap by a row; the official code would take taller stripes, all of one height.
    """

    def __init__(self, channels: int, parts: int, dim: int, num_classes: int, initialisation: Initialisation) -> None:
        super().__init__()
        self.pool = StripePool(parts, "avg")
        self.embed = nn.ModuleList(feature_block(channels, dim, initialisation) for _ in range(parts))
        self.classifiers = nn.ModuleList(part_classifier(dim, num_classes, initialisation) for _ in range(parts))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> f (parts, B, dim), float32 at least."""
        stripes = self.pool(maps).unbind(2)
        return at_least_float32(torch.stack([embed(stripe) for embed, stripe in zip(self.embed, stripes, strict=True)]))

    def logits(self, features: Tensor) -> Tensor:
        """Identity logits (parts, B, C) of features (parts, B, dim)."""
        return torch.stack([classifier(part) for classifier, part in zip(self.classifiers, features, strict=True)])


class Teacher(nn.Module):
    """PCB_T: identity logits from the global averages of both branches' maps, before masking. Modules: two blocks."""

    def __init__(self, channels: int, dim: int, num_classes: int, initialisation: Initialisation) -> None:
        super().__init__()
        self.pool = AveragePool()
        self.embed = feature_block(2 * channels, dim, initialisation)
        self.classifier = part_classifier(dim, num_classes, initialisation)

    def forward(self, identity: Tensor, keypoints: Tensor) -> Tensor:
        """F_id2 and F_P, both (B, C, H, W) -> logits (B, classes)."""
        return self.classifier(self.embed(torch.cat([self.pool(identity), self.pool(keypoints)], dim=1)))
