"""A toy whose needs and number of heatmap channels are options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.data.batch import Batch
from vibench.methods.base import Method
from vibench.methods.registry import register
from vibench.methods.sections import Recipe


@dataclass(frozen=True)
class ToyInputsOptions:
    needs: tuple[str, ...] = ("attributes", "heatmaps")
    """What this variant trains on."""
    channels: int = 1
    """Channels of the heatmaps."""


@register
class ToyInputs(Method):
    """identity: cross-entropy; attributes: their cross-entropy; heatmaps: squared error."""

    name = "toy-inputs"
    options = ToyInputsOptions
    loss_names = {"identity": "cross-entropy", "attributes": "cross-entropy", "heatmaps": "squared error"}  # noqa: RUF012

    def __init__(self, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        super().__init__(recipe, num_classes, pretrained)
        self.needs = frozenset(recipe.model.needs)
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 4, stride=4, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.classifier = nn.Linear(8, num_classes, bias=False)
        self.attributes = nn.Linear(8, 8) if "attributes" in self.needs else None
        self.heatmaps = nn.Conv2d(8, self.heatmap_channels(), 1) if "heatmaps" in self.needs else None

    def heatmap_channels(self) -> int:
        return self.recipe.model.channels

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        maps = self.stem(batch.images)
        features = maps.mean(dim=(2, 3))
        losses = {"identity": functional.cross_entropy(self.classifier(features), batch.labels)}
        assert (batch.attributes is not None) == (self.attributes is not None)
        assert (batch.heatmaps is not None) == (self.heatmaps is not None)
        if self.attributes is not None:
            logits, known = self.attributes(features), batch.attributes_known
            assert known.dtype == torch.bool
            errors = functional.binary_cross_entropy_with_logits(logits, batch.attributes, reduction="none")
            losses["attributes"] = (errors.mean(dim=1) * known).sum() / known.sum().clamp(min=1)
        if self.heatmaps is not None:
            error = (self.heatmaps(maps) - batch.heatmaps).square().mean(dim=(1, 2, 3))
            losses["heatmaps"] = (error * batch.heatmaps_known).mean()
        return losses

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        return {"embedding": self.stem(images).mean(dim=(2, 3))}

    def parameter_groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        return [{"params": list(self.parameters()), "lr_factor": 1.0}]

    def training_only(self) -> tuple[str, ...]:
        return ("classifier.", "attributes.", "heatmaps.")

    def end_of_epoch(self, epoch: int, mean_losses: Mapping[str, float]) -> None:
        assert "identity" in mean_losses
