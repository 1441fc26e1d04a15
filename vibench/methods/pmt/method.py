"""PMT: one transformer for both modalities, which meets grey images in the place of visible ones first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.data.batch import Batch
from vibench.losses import hard_triplet, identity_loss
from vibench.methods.base import Method
from vibench.methods.pmt.losses import discriminative_centres, modality_shared_enhancement
from vibench.methods.registry import register
from vibench.methods.sections import Recipe
from vibench.nn.neck import bn_neck, identity_classifier
from vibench.nn.vision_transformer import PATCH, Attention, VisionArchitecture, VisionTransformer


@dataclass(frozen=True)
class PMTOptions:
    """Switches of PMT; the defaults are the official code."""

    backbone: VisionArchitecture = "vit-b-16"
    """Vision transformer; the slim one is for small machines and has no published number."""
    stride: int = 12
    """Pixels from one patch of 16 x 16 to the next; below 16 they overlap."""
    layer_norm_epsilon: float = 1e-5
    """Of every layer norm. The weights that training starts from were made with 1e-6."""
    dropout: float = 0.03
    """Behind the positions, the attention and both layers of the perceptron."""
    drop_path: float = 0.1
    """Probability that an image skips a branch of the last block; it rises from 0 in the first."""
    grey_stage_triplet: Literal["intra", "all"] = "intra"
    """Triplets of the epochs with grey images: within either modality, or among all images as later."""
    margin: float = 0.1
    """Margin of the batch-hard triplet loss."""
    msel: bool = True
    """Modality-shared enhancement loss, behind the epochs with grey images."""
    dcl: bool = True
    """Discriminative centre loss, behind the epochs with grey images."""
    metric_norm: bool = False
    """L2-normalise the features that the metric losses read."""

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= PATCH:
            raise ValueError(f"'stride' must be 1 to {PATCH} pixels, not {self.stride}: larger ones leave gaps.")
        if not self.layer_norm_epsilon > 0:
            raise ValueError(f"'layer_norm_epsilon' must be above 0, not {self.layer_norm_epsilon}.")
        for name in ("dropout", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"'{name}' is a probability from 0 to below 1, not {getattr(self, name)}.")


@register
class PMT(Method):
    """PMT (Lu, Zou, Zhang, "Learning Progressive Modality-shared Transformers for ... Re-identification", AAAI 2023).

    The recipe's ``visible_grey_epochs`` first epochs are the progressive stage: visible images are grey, and L =
    L_id(g) + T(visible) + T(infrared). Then L = L_id(g) + T(all) + 0.5 MSEL(f) + 0.5 DCL(f). f is the class token
    behind the last norm, g follows the neck; L_id adds the cross-entropies of the modalities, T is batch-hard.
    Equations and constants are those of hulu88/PMT. Modules: ``backbone``, ``neck``, ``classifier``.
    """

    name = "pmt"
    options = PMTOptions
    official_start = "jx_vit_base_p16_224-80ecf9dd.pth"
    loss_names: ClassVar[dict[str, str]] = {
        "identity": "cross-entropies of the classifier on g of visible and of infrared images, added; no smoothing",
        "triplet": "batch-hard triplet loss on un-normalised f, Euclidean; within either modality while it is grey",
        "msel": "modality-shared enhancement: distances across the modalities equal those within",
        "dcl": "discriminative centres: distances to the own centre over those of the nearer others to it",
    }
    epochs_trained: Tensor
    """Number of the open epoch, so that a run that was interrupted goes on as it would have."""

    def __init__(self, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        super().__init__(recipe, num_classes, pretrained)
        options: PMTOptions = recipe.model
        self.model_options = options
        self.backbone = VisionTransformer(
            options.backbone,
            recipe.input.height,
            recipe.input.width,
            options.stride,
            options.layer_norm_epsilon,
            options.dropout,
            options.drop_path,
            pretrained,
        )
        self.neck = bn_neck(self.backbone.out_channels, scale_std=0.0)
        self.classifier = identity_classifier(self.backbone.out_channels, num_classes)
        self.register_buffer("epochs_trained", torch.zeros((), dtype=torch.int64))
        # What the buffer says, where no GPU has to be asked for it; None: ask.
        self._open_epoch: int | None = None
        self.register_load_state_dict_post_hook(_forget_open_epoch)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``identity`` and ``triplet``; behind the progressive stage also ``msel`` and ``dcl``, if switched on."""
        options = self.model_options
        visible, infrared = batch.by_modality(batch.images)
        pooled = batch.gather(self.backbone(visible=visible, infrared=infrared))
        losses = {"identity": self._identity_loss(pooled, batch)}
        if options.metric_norm:
            pooled = functional.normalize(pooled, dim=1)
        grey = self._in_progressive_stage()
        if grey and options.grey_stage_triplet == "intra":
            parts = zip(batch.by_modality(pooled), batch.by_modality(batch.labels), strict=True)
            losses["triplet"] = torch.stack([hard_triplet(rows, of, options.margin) for rows, of in parts]).sum()
        else:
            losses["triplet"] = hard_triplet(pooled, batch.labels, options.margin)
        if options.msel and not grey:
            losses["msel"] = modality_shared_enhancement(pooled, batch.labels, batch.modality)
        if options.dcl and not grey:
            losses["dcl"] = discriminative_centres(pooled, batch.labels)
        return losses

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        """Features (B, D) of normalised images (B, 3, H, W) of one modality, float32.

        ``pooled`` is f, ``neck`` is g, ``embedding`` is g L2-normalised.
        """
        pooled = self.backbone(**{modality: images}).float()
        neck = self.neck(pooled).float()
        return {"embedding": functional.normalize(neck, dim=1), "pooled": pooled, "neck": neck}

    def token_attention(self, images: Tensor, modality: str) -> Attention:
        """Of all blocks of the transformer."""
        return self.backbone.attention(images)

    def parameter_groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """Two groups: patches and blocks at ``backbone_lr_factor``; tokens, positions, last norm and head at 1."""
        slow = [*self.backbone.conv_proj.parameters(), *self.backbone.encoder.layers.parameters()]
        known = {id(parameter) for parameter in slow}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in known and parameter.requires_grad]
        return [
            {"params": slow, "lr_factor": recipe.optimizer.backbone_lr_factor},
            {"params": rest, "lr_factor": 1.0},
        ]

    def dealt_modules(self) -> tuple[nn.Module, ...]:
        """The backbone."""
        return (self.backbone,)

    def end_of_epoch(self, epoch: int, mean_losses: Mapping[str, float]) -> None:
        """Count the epoch."""
        self.epochs_trained.fill_(epoch + 1)
        self._open_epoch = epoch + 1

    def _in_progressive_stage(self) -> bool:
        stage = self.recipe.augmentation.visible_grey_epochs or 0
        if not stage:
            return False
        if self._open_epoch is None:
            self._open_epoch = int(self.epochs_trained)
        return self._open_epoch < stage

    def _identity_loss(self, pooled: Tensor, batch: Batch) -> Tensor:
        logits = self.classifier(self.neck(pooled))
        parts = zip(batch.by_modality(logits), batch.by_modality(batch.labels), strict=True)
        return torch.stack([identity_loss(rows, labels) for rows, labels in parts]).sum()


def _forget_open_epoch(method: nn.Module, _: object) -> None:
    assert isinstance(method, PMT)
    method._open_epoch = None
