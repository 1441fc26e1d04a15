"""A method small enough to count by hand."""

from __future__ import annotations

import mmap
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.data.batch import Batch
from vibench.data.sections import InputRecipe
from vibench.methods.base import Method
from vibench.methods.sections import Recipe

HEIGHT, WIDTH = 64, 32


class Toy(Method):
    """Two stems of different cost, a shared projection, a classifier and an adversary."""

    name: ClassVar[str] = "toy"

    def __init__(self, num_classes: int = 10) -> None:
        recipe = Recipe(method="toy", variant="v", dataset="sysu-mm01", model=None, input=InputRecipe(HEIGHT, WIDTH))
        super().__init__(recipe, num_classes)
        self.visible = nn.Conv2d(3, 5, kernel_size=3, padding=1, bias=False)
        self.infrared = nn.Conv2d(3, 5, kernel_size=1, bias=False)
        self.norm = nn.BatchNorm2d(5)
        self.projection = nn.Linear(5, 7)
        self.classifier = nn.Linear(7, num_classes, bias=False)
        self.adversary = nn.Linear(7, 2)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        visible, infrared = batch.by_modality(batch.images)
        parts = [self.embed(visible, "visible"), self.embed(infrared, "infrared")]
        self._seen = torch.cat([part["embedding"] for part in parts])
        return {"identity": functional.cross_entropy(self.classifier(self._seen), batch.labels)}

    def adversaries(self) -> tuple[nn.Module, ...]:
        return (self.adversary,)

    def adversary_losses(self) -> dict[str, Tensor]:
        return {"modality": self.adversary(self._seen.detach()).logsumexp(dim=1).mean()}

    def parameter_groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        return [{"params": list(self.parameters()), "lr_factor": 1.0}]

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        stem = self.visible if modality == "visible" else self.infrared
        pooled: Tensor = self.norm(stem(images)).mean(dim=(2, 3))
        return {"embedding": self.projection(pooled)}

    def training_only(self) -> tuple[str, ...]:
        return ("classifier.", "adversary.")


TEST_PARAMETERS = 5 * 3 * 9 + 5 * 3 + 2 * 5 + (5 * 7 + 7)
TRAINING_PARAMETERS = TEST_PARAMETERS + 7 * 10 + (7 * 2 + 2)
# The visible stem is the dearer; a multiply-accumulate counts twice, biases do not count.
FLOPS = 2 * (HEIGHT * WIDTH * 5 * 3 * 9) + 2 * (5 * 7)

# A batch of 32 visible and 32 infrared images, classified. Backwards, a layer costs its forward pass for the weights
# and once more for its input; the gradient stops at the images.
_STEMS = 32 * (FLOPS - 2 * (5 * 7)) + 32 * 2 * (HEIGHT * WIDTH * 5 * 3)
_HEADS = 64 * 2 * (5 * 7 + 7 * 10)
FLOPS_FORWARD = _STEMS + _HEADS
FLOPS_BACKWARD = _STEMS + 2 * _HEADS


def allocate(megabytes: int) -> np.ndarray:
    """Memory fresh from the system and really touched; an allocator might hand out pages it already has."""
    memory = np.frombuffer(mmap.mmap(-1, megabytes * 2**20), dtype=np.float32)
    memory[:] = 1.0
    return memory
