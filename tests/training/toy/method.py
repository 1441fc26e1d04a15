"""The toy network: with batch norm, dropout and a frozen parameter, the things that resuming can get wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.data.batch import Batch
from vibench.methods.base import Method
from vibench.methods.registry import register
from vibench.methods.sections import Recipe


@dataclass(frozen=True)
class ToyOptions:
    nan_after: int = -1
    """The spread loss is NaN from this many training steps on; -1: never."""


@register
class Toy(Method):
    """identity: cross-entropy; spread: mean absolute feature."""

    name = "toy"
    options = ToyOptions
    loss_names = {"identity": "cross-entropy", "spread": "mean absolute feature"}  # noqa: RUF012

    def __init__(self, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        super().__init__(recipe, num_classes, pretrained)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.neck = nn.BatchNorm1d(8)
        self.neck.bias.requires_grad_(False)
        self.drop = nn.Dropout(0.3)
        self.classifier = nn.Linear(8, num_classes, bias=False)
        self.epochs_ended: list[int] = []
        self.steps = 0

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        features = self.stem(batch.images).mean(dim=(2, 3))
        logits = self.classifier(self.drop(self.neck(features)))
        spread = features.abs().mean()
        if self.steps == self.recipe.model.nan_after:
            spread = spread * float("nan")
        self.steps += 1
        return {"identity": functional.cross_entropy(logits.float(), batch.labels), "spread": spread}

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        return {"embedding": self.neck(self.stem(images).mean(dim=(2, 3)))}

    def parameter_groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        head = [*self.neck.parameters(), *self.classifier.parameters()]
        factor = recipe.optimizer.backbone_lr_factor
        return [{"params": list(self.stem.parameters()), "lr_factor": factor}, {"params": head, "lr_factor": 1.0}]

    def end_of_epoch(self, epoch: int, mean_losses: Mapping[str, float]) -> None:
        assert set(mean_losses) == {"identity", "spread"}
        self.epochs_ended.append(epoch)
