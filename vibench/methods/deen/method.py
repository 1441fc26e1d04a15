"""DEEN: every feature map is expanded into several, and losses and ranking use all of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.data.batch import Batch
from vibench.losses import hard_triplet, identity_loss
from vibench.methods.base import Method
from vibench.methods.deen.aggregation import Aggregation, Blocks, Reshape
from vibench.methods.deen.expansion import Expansion
from vibench.methods.deen.losses import centre_guided_pair_mining, orthogonality
from vibench.methods.registry import register
from vibench.methods.sections import Recipe
from vibench.nn.neck import bn_neck, identity_classifier
from vibench.nn.pooling import AveragePool
from vibench.nn.resnet import STAGES, STEM_WIDTHS, WIDTHS, Architecture, TwoStreamResNet

MAX_BRANCHES = 3


@dataclass(frozen=True)
class DEENOptions:
    """Switches of DEEN; the defaults are the official code on SYSU-MM01 and LLCM."""

    backbone: Architecture = "resnet50"
    """Residual network; those of 18 layers are for small machines and have no published number."""
    last_stride: Literal[1, 2] = 1
    """Stride of layer4; 1 doubles the resolution of the feature map."""
    layer4: bool = True
    """Use the last stage of the ResNet; the official code leaves it out on RegDB."""
    mfa: Blocks = "both"
    """Multi-stage feature aggregation after every shared stage but the last: no block, channel, position, or both."""
    pnl_reshape: Reshape = "code"
    """Tokens of the position block: two positions together as in the official code, or one as they are meant."""
    dee_branches: int = 2
    """Maps generated from each feature map, 0 to 3; 0 leaves the expansion out."""
    dee_position: int = 3
    """The stage after which maps are expanded: 1 to 4 for layer1 to layer4."""
    margin: float = 0.3
    """Margin of the batch-hard triplet loss."""
    cpm: bool = True
    """Centre-guided pair mining between the original and each generated embedding."""
    cpm_margin: float = 0.2
    """Its margin."""
    ort: bool = True
    """Orthogonality of the generated embeddings; needs two of them."""
    ort_normalise: bool = False
    """L2-normalise the embeddings in the orthogonality loss; the official code does not."""
    test_combination: Literal["s7", "s8", "original"] = "s7"
    """Sum of the inner products of all f and g; with weights 0.1 for f and 0.9 for g; or those of the original only."""
    flip: bool = True
    """Add the features of the mirrored image in testing."""

    def __post_init__(self) -> None:
        last = STAGES - 1 if self.layer4 else STAGES - 2
        if not 1 <= self.dee_position <= last:
            raise ValueError(f"'dee_position' must be a stage from 1 to {last}, not {self.dee_position}.")
        if not 0 <= self.dee_branches <= MAX_BRANCHES:
            raise ValueError(f"'dee_branches' must be 0 to {MAX_BRANCHES}, not {self.dee_branches}.")
        if self.cpm and self.dee_branches < 1:
            raise ValueError("'cpm' needs a generated embedding; set 'dee_branches' to 1 or more, or 'cpm' to false.")
        if self.ort and self.dee_branches < 2:
            raise ValueError("'ort' needs two generated embeddings; set 'dee_branches' to 2 or 3, or 'ort' to false.")


@register
class DEEN(Method):
    """DEEN (Zhang and Wang, "Diverse Embedding Expansion Network and Low-Light ... Benchmark ...", CVPR 2023).

    L = L_id(g) + L_tri(f) + 0.8 sum_k CPM(f_0, f_k) + 0.01 ORT(f_1, f_2), where f_0 is an image's own embedding and
    f_1, f_2 are the generated ones. L_id and L_tri take all of them as one batch with repeated labels. Where paper and
    official code differ, the code is the default: orthogonality without normalisation (``ort_normalise``). Which of
    the two combinations of test similarities is printed is not said; the default ``s7`` is the one by which the code
    chooses its checkpoint. The RegDB test script of the code feeds each modality to the other's stem; here each meets
    its own. Modules: ``backbone``, ``aggregation`` (by stage), ``expansion``, ``pool``, ``neck``, ``classifier``.
    """

    name = "deen"
    options = DEENOptions
    loss_names: ClassVar[dict[str, str]] = {
        "identity": "cross-entropy of the classifier on g, without label smoothing, over originals and expansions",
        "triplet": "batch-hard triplet loss on un-normalised f, Euclidean, over originals and expansions",
        "cpm": "centre-guided pair mining, summed over the expansions",
        "ort": "orthogonality of the expansions of an image",
    }

    def __init__(self, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        super().__init__(recipe, num_classes, pretrained)
        options: DEENOptions = recipe.model
        self.model_options = options
        self.copies = 1 + options.dee_branches
        """Embeddings per image."""
        stages = STAGES if options.layer4 else STAGES - 1
        self.backbone = TwoStreamResNet(
            options.backbone, last_stride=options.last_stride, pretrained=pretrained, stages=stages
        )
        widths = (STEM_WIDTHS[options.backbone], *WIDTHS[options.backbone])
        aggregated = range(1, stages - 1) if options.mfa != "none" else ()
        self.aggregation = nn.ModuleDict(
            {
                str(stage): Aggregation(
                    widths[stage], widths[stage - 1], 1 if stage == 1 else 2, options.mfa, options.pnl_reshape
                )
                for stage in aggregated
            }
        )
        self.expansion: nn.Module = (
            Expansion(widths[options.dee_position], options.dee_branches) if options.dee_branches else nn.Identity()
        )
        self.pool = AveragePool()
        self.neck = bn_neck(self.backbone.out_channels)
        self.classifier = identity_classifier(self.backbone.out_channels, num_classes)

    def pooled_features(self, visible: Tensor | None = None, infrared: Tensor | None = None) -> Tensor:
        """f (copies * B, D) of images (B, 3, H, W): all originals, then the expansions branch by branch.

        With both modalities, each of these blocks is [visible; infrared].
        """
        features = self.backbone.specific(visible, infrared)
        for stage in self.backbone.shared.stages:
            higher = self.backbone.shared.run(stage, features, self.backbone.inserted)
            if str(stage) in self.aggregation:
                higher = self.aggregation[str(stage)](higher, features)
            features = self.expansion(higher) if stage == self.model_options.dee_position else higher
        return self.pool(features)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``identity``, ``triplet`` and, where they are switched on, ``cpm`` and ``ort``."""
        options = self.model_options
        visible, infrared = batch.by_modality(batch.images)
        pooled = batch.gather(self.pooled_features(visible, infrared))
        labels = batch.labels.repeat(self.copies)
        losses = {
            "identity": identity_loss(self.classifier(self.neck(pooled)), labels),
            "triplet": hard_triplet(pooled, labels, options.margin),
        }
        original, *generated = pooled.chunk(self.copies)
        if options.cpm:
            mined = [centre_guided_pair_mining(original, one, batch.labels, options.cpm_margin) for one in generated]
            losses["cpm"] = torch.stack(mined).sum()
        if options.ort:
            losses["ort"] = orthogonality(generated, options.ort_normalise)
        return losses

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        """Features of normalised images (B, 3, H, W) of one modality, float32.

        ``pooled`` and ``neck`` (B, copies, D) are f and g of the image and its expansions. ``embedding``
        (B, 2 * copies * D), or (B, 2 * D) for the combination ``original``, has all f and then all g, each
        L2-normalised, plus the same of the mirrored image, and is not normalised again: `distances` takes its inner
        product. For the combination ``s8`` the halves carry the roots of their weights.
        """
        pooled, neck = self._test_features(images, modality)
        ranked = _normalised(pooled, neck)
        if self.model_options.flip:
            ranked = ranked + _normalised(*self._test_features(images.flip(3), modality))
        if self.model_options.test_combination == "original":
            ranked = ranked[:, :, :1]
        if self.model_options.test_combination == "s8":
            ranked = torch.stack([0.1**0.5 * ranked[:, 0], 0.9**0.5 * ranked[:, 1]], dim=1)
        return {"embedding": ranked.flatten(1), "pooled": pooled, "neck": neck}

    def distances(self, query: Tensor, gallery: Tensor, query_mode: str) -> Tensor:
        """Negative inner products (Q, G) float64: the sum of those of all f and g."""
        return -(query.double() @ gallery.double().T)

    def map_module(self, modality: str) -> nn.Module:
        """The last module of the backbone; its map has a row for the image and one for each expansion before it."""
        return self.backbone.map_module(modality)

    def dealt_modules(self) -> tuple[nn.Module, ...]:
        """The backbone with all that is between its stages."""
        return self.backbone, self.aggregation, self.expansion

    def parameter_groups(self, recipe: Recipe) -> list[dict[str, Any]]:
        """Two groups: all the rest, new modules too, at ``backbone_lr_factor``, neck and classifier at 1."""
        head = [*self.neck.parameters(), *self.classifier.parameters()]
        known = {id(parameter) for parameter in head}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in known]
        return [
            {
                "params": [parameter for parameter in rest if parameter.requires_grad],
                "lr_factor": recipe.optimizer.backbone_lr_factor,
            },
            {"params": [parameter for parameter in head if parameter.requires_grad], "lr_factor": 1.0},
        ]

    def _test_features(self, images: Tensor, modality: str) -> tuple[Tensor, Tensor]:
        """f and g (B, copies, D) of images of one modality."""
        pooled = self.pooled_features(**{modality: images}).float()
        neck = self.neck(pooled).float()
        return torch.stack(pooled.chunk(self.copies), dim=1), torch.stack(neck.chunk(self.copies), dim=1)


def _normalised(pooled: Tensor, neck: Tensor) -> Tensor:
    """All f and g (B, 2, copies, D), each L2-normalised."""
    return functional.normalize(torch.stack([pooled, neck], dim=1), dim=3)
