"""HCT: stripe or global features of a two-stream ResNet under a triplet loss between centres."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.data.batch import Batch
from vibench.losses import identity_loss
from vibench.methods.metric_loss import MetricLossOptions, metric_loss
from vibench.methods.registry import register
from vibench.methods.sections import Recipe
from vibench.methods.two_stream import BackboneOptions, TwoStreamNetwork
from vibench.nn.neck import bn_neck, identity_classifier
from vibench.nn.stripes import StripeHead, StripePool, StripePooling, stripe_classifiers


@dataclass(frozen=True)
class HCTOptions(MetricLossOptions, BackboneOptions):
    """Switches of HCT; the defaults are the official code on SYSU-MM01."""

    specific_stages: int = 2
    """Stages that exist once per modality: 0 none (one stream), 1 the stem, 2 to 4 layer1 to layer3 too, 5 all."""
    head: Literal["pcb", "global"] = "pcb"
    """Stripes (PCB), or one pooled feature with a neck."""
    stripes: int = 6
    """Horizontal stripes of the feature map."""
    stripe_dim: int = 256
    """Width of a stripe's feature."""
    pool: StripePooling = "gem"
    """Pooling of a stripe, or of the whole map: average, maximum, or generalised mean."""
    gem_p: float = 3.0
    """Exponent of the generalised mean."""
    hct_on: Literal["local", "global", "both"] = "both"
    """What the metric loss meets with stripes: every stripe, their concatenation, or both."""
    label_smoothing: float = 0.0
    """Epsilon of the identity loss: targets (1 - epsilon) * one-hot + epsilon / C."""
    test_feature: Literal["g", "f"] = "g"
    """Which feature of the global head is ranked: g behind the neck, or f before it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("stripes", "stripe_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' must be at least 1, not {getattr(self, name)}.")
        if not self.gem_p > 0:
            raise ValueError(f"'gem_p' must be above 0, not {self.gem_p}.")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"'label_smoothing' must be from 0 to below 1, not {self.label_smoothing}.")


@register
class HCT(TwoStreamNetwork):
    """HCT (Liu, Tan, Zhou, "Parameter Sharing Exploration and Hetero-Center Triplet Loss ...", IEEE TMM 2020).

    With stripe features l_i and their concatenation l: L = sum_i L_id(l_i) + L_hct(l) + lambda sum_i L_hct(l_i); with
    the global head L = L_id(g) + lambda L_hct(f). lambda is the recipe's weight of ``metric_stripes`` and
    ``metric_pooled``.

    Where paper and official code differ, the code is the default: L_hct is a mean over the centres, not a sum
    (``hct_reduction``). The code fixes the exponent of the stripes' pooling at 10, the value for RegDB, and its
    read-me asks for 3 on SYSU-MM01 (``gem_p``); that of the global head it fixes at 3 (variant global). Until June
    2021 its label-smoothing flag was inverted, so that the printed RegDB numbers come from plain cross-entropy,
    although the script now smooths (``label_smoothing``, variant plain-ce).

    Modules: ``stripes`` (`StripeHead`) and ``classifier`` (one per stripe); or ``pool``, ``neck``, ``classifier``.
    """

    name = "hct"
    options = HCTOptions
    loss_names: ClassVar[dict[str, str]] = {
        "identity": "cross-entropy on g, or the sum over the stripes of that of each stripe's classifier",
        "metric": "metric loss on the concatenated stripes, un-normalised, Euclidean",
        "metric_stripes": "sum over the stripes of the metric loss on each of them; its weight is lambda",
        "metric_pooled": "metric loss on un-normalised f of the global head; its weight is lambda",
    }

    def __init__(self, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        super().__init__(recipe, num_classes, pretrained)
        options: HCTOptions = recipe.model
        width = self.backbone.out_channels
        self.classifier: nn.Module
        if options.head == "pcb":
            self.stripes = StripeHead(width, options.stripes, options.stripe_dim, options.pool, options.gem_p)
            self.classifier = stripe_classifiers(options.stripes, options.stripe_dim, num_classes)
        else:
            self.pool = StripePool(1, options.pool, options.gem_p)
            self.neck = bn_neck(width)
            self.classifier = identity_classifier(width, num_classes)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``identity``; of the metric losses those that the options ask for."""
        return self.map_losses(self.batch_maps(batch), batch)

    def map_losses(self, maps: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What `losses` returns, of the batch's feature maps (B, C, h, w)."""
        return self._stripe_losses(maps, batch) if self.recipe.model.head == "pcb" else self._global_losses(maps, batch)

    def _stripe_losses(self, maps: Tensor, batch: Batch) -> dict[str, Tensor]:
        options: HCTOptions = self.recipe.model
        assert isinstance(self.classifier, nn.ModuleList)
        features = self.stripes(maps)
        stripes = features.transpose(0, 1)
        logits = torch.cat([classifier(stripe) for classifier, stripe in zip(self.classifier, stripes, strict=True)])
        identity = identity_loss(logits, batch.labels.repeat(len(stripes)), options.label_smoothing)
        losses = {"identity": len(stripes) * identity}
        if options.metric_loss != "none" and options.hct_on != "local":
            losses["metric"] = metric_loss(options, features.flatten(1), batch)
        if options.metric_loss != "none" and options.hct_on != "global":
            losses["metric_stripes"] = metric_loss(options, stripes, batch).sum()
        return losses

    def _global_losses(self, maps: Tensor, batch: Batch) -> dict[str, Tensor]:
        options: HCTOptions = self.recipe.model
        pooled = self.pool(maps).squeeze(2)
        logits = self.classifier(self.neck(pooled))
        losses = {"identity": identity_loss(logits, batch.labels, options.label_smoothing)}
        if options.metric_loss != "none":
            losses["metric_pooled"] = metric_loss(options, pooled, batch)
        return losses

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        """Features of normalised images (B, 3, H, W) of one modality, all float32.

        With stripes ``stripes`` (B, stripes * stripe_dim), from top to bottom; with the global head ``pooled`` f and
        ``neck`` g, (B, D). ``embedding``, L2-normalised as a whole, is the stripes, or f or g by ``test_feature``.
        """
        return self.map_features(self.image_maps(images, modality))

    def map_features(self, maps: Tensor) -> dict[str, Tensor]:
        """What `embed` returns, of feature maps (B, C, h, w)."""
        if self.recipe.model.head == "pcb":
            stripes = self.stripes(maps).flatten(1).float()
            return {"embedding": functional.normalize(stripes, dim=1), "stripes": stripes}
        pooled = self.pool(maps).squeeze(2).float()
        neck = self.neck(pooled).float()
        ranked = neck if self.recipe.model.test_feature == "g" else pooled
        return {"embedding": functional.normalize(ranked, dim=1), "pooled": pooled, "neck": neck}

    def head_modules(self) -> tuple[nn.Module, ...]:
        """Stripes or neck, and the classifiers: they train at the full learning rate."""
        return (self.stripes if self.recipe.model.head == "pcb" else self.neck), self.classifier
