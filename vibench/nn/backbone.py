"""What every backbone is to a method, whatever family of networks it is of.

There are two families: ResNets with modality-specific stages (`vibench.nn.resnet`) and vision transformers
(`vibench.nn.vision_transformer`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

SLIM = ("resnet18-slim", "vit-slim")
"""The smallest network of every family, for twins and tests on a CPU; nobody has published weights of them."""


class Backbone(nn.Module, ABC):
    """From normalised images of either modality, or of both in one pass, to features."""

    out_channels: int
    """Channels of the features."""

    @abstractmethod
    def forward(self, visible: Tensor | None = None, infrared: Tensor | None = None) -> Tensor:
        """Features of images (B, 3, H, W) of one modality, or of both, whose rows are then [visible; infrared].

        A ResNet returns maps (B, C, h, w), a transformer the feature (B, C) of its class token.
        """
