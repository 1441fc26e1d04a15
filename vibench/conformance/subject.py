"""What checks are tried on: one variant of a method, made small, and one random batch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from vibench.data.batch import Batch
from vibench.methods.base import Method
from vibench.methods.noise_batch import noise_batch
from vibench.methods.registry import build_method
from vibench.methods.sections import Recipe
from vibench.methods.slim import slim_backbone
from vibench.modality import CODE

CLASSES = 7
IDENTITIES = 4
IMAGES = 2


@dataclass
class Subject:
    """One variant of a method, small, and the batch it is tried on."""

    recipe: Recipe

    @cached_property
    def method(self) -> Method:
        """The network that all checks share."""
        return self.build(seed=0)

    def build(self, seed: int) -> Method:
        """A new network; equal seeds start it equally."""
        torch.manual_seed(seed)
        return build_method(self.recipe, CLASSES)

    @cached_property
    def batch(self) -> Batch:
        """P identities with K images in each view and modality, of noise."""
        return noise_batch(self.method)

    @cached_property
    def unlabelled(self) -> Batch:
        """The same batch of people without attribute labels and of images without a keypoint."""
        changes: dict[str, Any] = {}
        for need in self.method.needs:
            changes[need] = torch.zeros_like(getattr(self.batch, need))
            changes[f"{need}_known"] = torch.zeros(len(self.batch), dtype=torch.bool)
        return replace(self.batch, **changes)

    def images(self, modality: str) -> Tensor:
        """The batch's images of one modality."""
        return self.batch.images[self.batch.modality == CODE[modality]]

    def embedding(self, images: Tensor, modality: str, method: Method | None = None) -> Tensor:
        """The embedding (B, D) in eval mode."""
        method = (method or self.method).eval()
        with torch.no_grad():
            return method.embed(images, modality)["embedding"]


def small_settings(options: type[Any]) -> list[str]:
    """Changes to a recipe that make a network small enough to be tried within seconds on a CPU."""
    settings = ["input.height=96", "input.width=48", f"identities={IDENTITIES}", f"sampler.images={IMAGES}"]
    # A network of ours can be had small; another one is tried as it is.
    slim = slim_backbone(options)
    return [*settings, f"model.backbone={slim}"] if slim else settings
