"""MPANet: one stream, alleviated of its modality, with aligned patterns and modality-wise classifiers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.data.batch import Batch
from vibench.losses import centre_cluster, hard_triplet, identity_loss
from vibench.methods.base import Method
from vibench.methods.mpanet.attention import ModalityAlleviation, PatternMasks, pattern_features, separability
from vibench.methods.mpanet.centre_loss import CentreLoss
from vibench.methods.mpanet.modality_learning import ModalityLearning
from vibench.methods.registry import register
from vibench.methods.sections import Recipe
from vibench.nn.neck import bn_neck
from vibench.nn.pooling import AveragePool
from vibench.nn.resnet import BLOCKS, WIDTHS, Architecture, TwoStreamResNet


@dataclass(frozen=True)
class MPANetOptions:
    """Switches of MPANet; the defaults are the official code on SYSU-MM01."""

    backbone: Architecture = "resnet50"
    """Residual network; those of 18 layers are for small machines and have no published number."""
    last_stride: Literal[1, 2] = 1
    """Stride of layer4; 1 doubles the resolution of the feature map."""
    mam: Literal["none", "layer4", "layer3+4"] = "layer3+4"
    """Layers that a modality alleviation module follows."""
    pam: bool = True
    """Pattern alignment: masked pattern features beside the global one."""
    patterns: int = 6
    """Number of patterns."""
    classification: bool = True
    """Identity loss of the classifier that both modalities share."""
    metric_loss: Literal["centre-cluster", "triplet", "centre", "none"] = "centre-cluster"
    """Loss on f: centre-cluster, batch-hard triplet, centre loss with learnt centres, or none."""
    margin: float = 0.7
    """Margin of the centre-cluster or the triplet loss."""
    mutual: bool = True
    """Modality learning: a classifier per modality, taught by the temporal mean of the other one."""
    ema_rate: float = 0.2
    """Rate at which the temporal means follow their classifiers, until epoch 100."""
    normalise: bool = True
    """Rank by cosine, as the official code does on SYSU-MM01; false: by Euclidean distance of g itself, as on RegDB."""

    def __post_init__(self) -> None:
        if self.patterns < 1:
            raise ValueError(f"'patterns' must be at least 1, not {self.patterns}.")
        if not self.margin >= 0:
            raise ValueError(f"'margin' must be at least 0, not {self.margin}.")
        if not 0 <= self.ema_rate <= 1:
            raise ValueError(f"'ema_rate' must be 0 to 1, not {self.ema_rate}.")
        if not self.classification and not self.mutual:
            raise ValueError("'classification' or 'mutual' must be on: no other loss trains the neck.")


@register
class MPANet(Method):
    """MPANet (Wu et al., "Discover Cross-Modality Nuances for Visible-Infrared Person Re-Identification", CVPR 2021).

    L = L_cc(f) + L_id(g) + L_V + L_I + 0.5 L_sep + 2.5 L_KL. f holds the pattern features and then the global one,
    g follows the neck. Where paper and official code differ, the code is the default:

    - the paper weighs L_V and L_I with one factor, the code adds them twice with 0.5, so they weigh 1;
    - the paper lets the modalities' heads teach one another, the code takes KL(own head || mean of the other's head);
    - the paper's rate of the temporal means is constant, the code's falls from epoch 100 on;
    - the paper averages the inner products of the masks, the code sums them over positions (and 0.5 is tuned to that).

    The code knows split 1 of RegDB only; here it trains and tests on every split. Modules: ``backbone``, ``masks``,
    ``pool``, ``neck``, ``classifier``, ``modality_learning``, ``centre_loss``; one that a switch turns off is absent.
    """

    name = "mpanet"
    options = MPANetOptions
    loss_names: ClassVar[dict[str, str]] = {
        "identity": "cross-entropy of the shared classifier on g, without label smoothing",
        "metric": "centre-cluster, batch-hard triplet or centre loss on un-normalised f, Euclidean",
        "separability": "inner products of an image's pattern masks, summed over positions",
        "modality": "sum of the cross-entropies of each modality under its own classifier",
        "mutual": "KL divergence of the own modality's classifier from the temporal mean of the other's",
    }

    def __init__(self, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        super().__init__(recipe, num_classes, pretrained)
        options: MPANetOptions = recipe.model
        self.model_options = options
        self.distance = "cosine" if options.normalise else "euclidean"
        self.backbone = TwoStreamResNet(
            options.backbone,
            specific_stages=0,
            last_stride=options.last_stride,
            pretrained=pretrained,
            inserted=_alleviation_modules(options),
        )
        channels = self.backbone.out_channels
        self.masks = PatternMasks(channels, options.patterns) if options.pam else None
        self.pool = AveragePool()
        width = channels * (options.patterns + 1 if options.pam else 1)
        self.neck = bn_neck(width, scale_std=0.0)
        self.classifier = nn.Linear(width, num_classes, bias=False) if options.classification else None
        self.modality_learning = ModalityLearning(width, num_classes, options.ema_rate) if options.mutual else None
        self.centre_loss = CentreLoss(num_classes, width) if options.metric_loss == "centre" else None

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``identity``, ``metric``, ``separability``, ``modality`` and ``mutual``, those that the options ask for."""
        return self.map_losses(self.batch_maps(batch), batch)

    def batch_maps(self, batch: Batch) -> Tensor:
        """Feature maps (B, C, h, w) of a training batch, both modalities in one stream."""
        return batch.gather(self.backbone(visible=batch.images))

    def map_losses(self, maps: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What `losses` returns, of the batch's feature maps (B, C, h, w)."""
        masks = None if self.masks is None else self.masks(maps)
        pooled = self._pool(maps, masks)
        neck = self.neck(pooled)
        losses = {}
        if self.classifier is not None:
            losses["identity"] = identity_loss(self.classifier(neck), batch.labels)
        if self.model_options.metric_loss != "none":
            losses["metric"] = self._metric_loss(pooled, batch.labels)
        if masks is not None:
            losses["separability"] = separability(masks)
        if self.modality_learning is not None:
            losses["modality"], losses["mutual"] = self.modality_learning(
                *batch.by_modality(neck), *batch.by_modality(batch.labels)
            )
        return losses

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        """Features of normalised images (B, 3, H, W), the same network for both modalities, all (B, D) float32.

        ``pooled`` is f, ``neck`` is g and ``embedding`` is g, L2-normalised unless the option ``normalise`` is off.
        D is 14,336 with six patterns: pattern 1 to 6, then the global feature, 2,048 each.
        """
        return self.map_features(self.image_maps(images, modality))

    def image_maps(self, images: Tensor, modality: str) -> Tensor:
        """Feature maps (B, C, h, w) of normalised images (B, 3, H, W) of either modality."""
        return self.backbone(visible=images)

    def map_module(self, modality: str) -> nn.Module:
        """The last module of the backbone, the same for both modalities."""
        return self.backbone.map_module(modality)

    def map_features(self, maps: Tensor) -> dict[str, Tensor]:
        """What `embed` returns, of feature maps (B, C, h, w)."""
        pooled = self._pool(maps, None if self.masks is None else self.masks(maps))
        neck = self.neck(pooled).float()
        embedding = functional.normalize(neck, dim=1) if self.model_options.normalise else neck
        return {"embedding": embedding, "pooled": pooled, "neck": neck}

    def dealt_modules(self) -> tuple[nn.Module, ...]:
        """The backbone."""
        return (self.backbone,)

    def parameter_groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """Two groups: the backbone at ``backbone_lr_factor`` (1 in the official code), and all the rest at 1."""
        backbone = {id(parameter) for parameter in self.backbone.parameters()}
        trainable = [parameter for parameter in self.parameters() if parameter.requires_grad]
        return [
            {
                "params": [parameter for parameter in trainable if id(parameter) in backbone],
                "lr_factor": recipe.optimizer.backbone_lr_factor,
            },
            {"params": [parameter for parameter in trainable if id(parameter) not in backbone], "lr_factor": 1.0},
        ]

    def training_only(self) -> tuple[str, ...]:
        """Classifiers, their temporal means and learnt centres."""
        return "classifier.", "modality_learning.", "centre_loss."

    def end_of_epoch(self, epoch: int, mean_losses: Mapping[str, float]) -> None:
        """Tell the temporal means how many epochs have passed."""
        if self.modality_learning is not None:
            self.modality_learning.epochs_trained.fill_(epoch + 1)

    def _pool(self, maps: Tensor, masks: Tensor | None) -> Tensor:
        """f (B, D), float32 at least, of feature maps (B, C, H, W) and masks (B, P, H, W)."""
        if masks is None:
            return self.pool(maps)
        # The global feature is that of a mask of ones: the map is read once for all, and takes one gradient.
        return pattern_features(maps, torch.cat([masks, torch.ones_like(masks[:, :1])], dim=1))

    def _metric_loss(self, pooled: Tensor, labels: Tensor) -> Tensor:
        if self.centre_loss is not None:
            return self.centre_loss(pooled, labels)
        loss = hard_triplet if self.model_options.metric_loss == "triplet" else centre_cluster
        return loss(pooled, labels, self.model_options.margin)


def _alleviation_modules(options: MPANetOptions) -> dict[str, ModalityAlleviation]:
    """Modality alleviation modules under the names of the residual blocks that they follow."""
    layers = {"none": (), "layer4": (4,), "layer3+4": (3, 4)}[options.mam]
    blocks, widths = BLOCKS[options.backbone], WIDTHS[options.backbone]
    return {f"layer{layer}_{blocks[layer - 1] - 1}": ModalityAlleviation(widths[layer - 1]) for layer in layers}
