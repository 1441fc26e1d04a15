"""What methods on a two-stream ResNet share: the backbone, and the head of baseline and AGW on top of it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.data.batch import Batch, split_modalities
from vibench.methods.base import Method
from vibench.methods.sections import Recipe
from vibench.modality import INFRARED, MODALITIES, VISIBLE
from vibench.nn.input_form import CHANNELS, InputForm, to_input_form
from vibench.nn.neck import bn_neck, identity_classifier
from vibench.nn.pooling import AveragePool, GeneralisedMeanPool, MaxPool
from vibench.nn.resnet import STAGES, Architecture, TwoStreamResNet


@dataclass(frozen=True)
class BackboneOptions:
    """Switches of the two-stream ResNet."""

    backbone: Architecture = "resnet50"
    """Residual network; those of 18 layers are for small machines and have no published number."""
    specific_stages: int = 1
    """Stages that exist once per modality: 0 none (one stream), 1 the stem, 2 to 4 layer1 to layer3 too, 5 all."""
    input: InputForm = "rgb"
    """Colour, grey, or grey padded with a channel of zeros per modality."""
    last_stride: Literal[1, 2] = 1
    """Stride of layer4; 1 doubles the resolution of the feature map."""

    def __post_init__(self) -> None:
        if not 0 <= self.specific_stages <= STAGES:
            raise ValueError(f"'specific_stages' must be 0 to {STAGES}, not {self.specific_stages}.")


@dataclass(frozen=True)
class TwoStreamOptions(BackboneOptions):
    """Switches of the network."""

    pool: Literal["avg", "max", "gem"] = "avg"
    """Global average, maximum or generalised-mean pooling."""
    gem_p: float = 3.0
    """Exponent of generalised-mean pooling."""
    gem_learnable: bool = False
    """Learn the exponent, starting from gem_p."""
    neck: bool = True
    """Batch normalisation between the pooled feature f and the classifier; its output is g."""
    share_classifier: bool = True
    """One classifier for both modalities, or one each."""
    test_feature: Literal["g", "f"] = "g"
    """Which feature is ranked: g behind the neck, or f before it. Without neck they are the same."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.gem_p > 0:
            raise ValueError(f"'gem_p' must be above 0, not {self.gem_p}.")


class TwoStreamNetwork(Method):
    """Module ``backbone``: from images to feature maps. A subclass adds the head that reads them, and the losses."""

    def __init__(
        self,
        recipe: Recipe,
        num_classes: int,
        pretrained: str | Path = "none",
        inserted: Mapping[str, nn.Module] | None = None,
    ) -> None:
        """``inserted``: modules behind single residual blocks, as in `TwoStreamResNet`."""
        super().__init__(recipe, num_classes, pretrained)
        options: BackboneOptions = recipe.model
        self.backbone = TwoStreamResNet(
            options.backbone,
            options.specific_stages,
            options.last_stride,
            CHANNELS[options.input],
            pretrained,
            inserted,
        )

    def batch_maps(self, batch: Batch) -> Tensor:
        """Feature maps (B, C, h, w) of a training batch, both modalities in one pass through the shared stages."""
        return batch.gather(self.own_maps(batch))

    def own_maps(self, batch: Batch) -> Tensor:
        """As `batch_maps`, of the images that are on this process, before they are gathered."""
        form = self.recipe.model.input
        visible, infrared = batch.by_modality(batch.images)
        return self.backbone(
            visible=to_input_form(visible, VISIBLE, form), infrared=to_input_form(infrared, INFRARED, form)
        )

    def image_maps(self, images: Tensor, modality: str) -> Tensor:
        """Feature maps (B, C, h, w) of normalised images (B, 3, H, W) of one modality."""
        return self.backbone(**{modality: to_input_form(images, modality, self.recipe.model.input)})

    def map_module(self, modality: str) -> nn.Module:
        """The last module of the backbone."""
        return self.backbone.map_module(modality)

    def dealt_modules(self) -> tuple[nn.Module, ...]:
        """The backbone: `batch_maps` and all that pools its maps gather behind it."""
        return (self.backbone,)

    @abstractmethod
    def head_modules(self) -> tuple[nn.Module, ...]:
        """The modules that train at the full learning rate; everything else takes ``backbone_lr_factor``."""

    def parameter_groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """Two groups: all the rest at ``backbone_lr_factor``, the head at 1 (the AGW code line)."""
        head = {id(parameter) for module in self.head_modules() for parameter in module.parameters()}
        trainable = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [
            {
                "params": [parameter for parameter in trainable if id(parameter) not in head],
                "lr_factor": recipe.optimizer.backbone_lr_factor,
            },
            {"params": [parameter for parameter in trainable if id(parameter) in head], "lr_factor": 1.0},
        ]


class TwoStreamMethod(TwoStreamNetwork):
    """Backbone, pooled feature f, neck feature g and classifier; a subclass says which losses they meet.

    Modules: ``backbone``, ``pool``, ``neck``, ``classifier``.
    """

    def __init__(
        self,
        recipe: Recipe,
        num_classes: int,
        pretrained: str | Path = "none",
        inserted: Mapping[str, nn.Module] | None = None,
    ) -> None:
        """``inserted``: modules behind single residual blocks, as in `TwoStreamResNet`."""
        super().__init__(recipe, num_classes, pretrained, inserted)
        options: TwoStreamOptions = recipe.model
        self.model_options = options
        width = self.backbone.out_channels
        self.pool = _global_pool(options)
        self.neck: nn.Module = bn_neck(width) if options.neck else nn.Identity()
        self.classifier: nn.Module = (
            identity_classifier(width, num_classes)
            if options.share_classifier
            else nn.ModuleDict({modality: identity_classifier(width, num_classes) for modality in MODALITIES})
        )

    def pooled_features(self, batch: Batch) -> Tensor:
        """f (B, D) of a training batch."""
        return batch.gather(self.pool(self.own_maps(batch)))

    def logits(self, neck_features: Tensor, visible_views: int = 1) -> Tensor:
        """Identity logits (B, C) of g (B, D) of a training batch with ``visible_views`` visible blocks."""
        if not isinstance(self.classifier, nn.ModuleDict):
            return self.classifier(neck_features)
        parts = zip(MODALITIES, split_modalities(neck_features, visible_views), strict=True)
        return torch.cat([self.classifier[modality](part) for modality, part in parts])

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        """Features of normalised images (B, 3, H, W) of one modality, all float32, those of `test_features`.

        ``embedding`` is the one that `ranked_feature` names, L2-normalised.
        """
        return self.map_features(self.image_maps(images, modality))

    def map_features(self, maps: Tensor) -> dict[str, Tensor]:
        """What `embed` returns, of feature maps (B, C, h, w)."""
        features = self.test_features(maps)
        return {"embedding": functional.normalize(features[self.ranked_feature()], dim=1), **features}

    def test_features(self, maps: Tensor) -> dict[str, Tensor]:
        """Features (B, D) float32 of feature maps: ``pooled`` is f and ``neck`` is g (absent without neck)."""
        pooled = self.pool(maps).float()
        return {"pooled": pooled, "neck": self.neck(pooled).float()} if self.model_options.neck else {"pooled": pooled}

    def ranked_feature(self) -> str:
        """Name of the feature that the option ``test_feature`` says to rank."""
        return "neck" if self.model_options.neck and self.model_options.test_feature == "g" else "pooled"

    def head_modules(self) -> tuple[nn.Module, ...]:
        """The modules that train at the full learning rate; everything else takes ``backbone_lr_factor``."""
        return self.neck, self.classifier


def _global_pool(options: TwoStreamOptions) -> nn.Module:
    if options.pool == "gem":
        return GeneralisedMeanPool(options.gem_p, options.gem_learnable)
    return MaxPool() if options.pool == "max" else AveragePool()
