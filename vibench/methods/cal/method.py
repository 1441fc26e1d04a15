"""CAL: concordant attention learning by target-aware alignment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from vibench.data.batch import Batch
from vibench.losses import hard_triplet, identity_loss
from vibench.methods.cal.attention import TargetAwareAttention
from vibench.methods.cal.losses import (
    LearntCentres,
    marginal_centre_aggregation,
    matched_divergence,
    matched_weight,
    part_aligned_centre,
    region_overlap,
)
from vibench.methods.cal.matching import MatchHistogram, best_matching
from vibench.methods.cal.regions import LearntRegions, Pooling, RegionMining, Regions, StripeRegions
from vibench.methods.registry import register
from vibench.methods.sections import Recipe
from vibench.methods.two_stream import BackboneOptions, TwoStreamNetwork
from vibench.modality import CODE, INFRARED, MODALITIES
from vibench.nn.neck import bn_neck, identity_classifier
from vibench.nn.pooling import AveragePool
from vibench.nn.stripes import stripe_classifiers


@dataclass(frozen=True)
class CALOptions(BackboneOptions):
    """Switches of CAL; the defaults are the paper's, and our choice where it leaves something open."""

    tca: bool = True
    """Target-aware concordant alignment; without it the baseline: pooled feature, neck and classifier."""
    parts: int = 4
    """N_p, parts of an image."""
    drm: Literal["modality", "shared", "vectors", "stripes"] = "modality"
    """Part vectors: regions mined per modality or with shared prototypes; learnt vectors; averaged stripes."""
    alpha: float = 0.6
    """A part selects alpha * positions / parts of the positions."""
    pooling: Pooling = "strided"
    """Multi-scale pooling before the part scores: strides as large as the kernels, or stride 1."""
    region_heads: Literal["modality", "shared"] = "modality"
    """Classifiers of the part vectors: a set per modality, or one for both."""
    scores: Literal["mlp", "dot"] = "mlp"
    """Attention scores: projections of normalised features, or plain scaled dot products (Eq. (6))."""
    score_reduction: int = 4
    """Width of the feature map over the width d of the projections."""
    channel_gate: bool = True
    """Part vectors weigh the channels of what they attend to."""
    gate_reduction: int = 16
    """Width of the feature map over the hidden width of the channel gate."""
    identity_on: Literal["all", "self"] = "all"
    """Which refined features meet the identity loss: self- and cross-refined ones, or the former alone."""
    identity_heads: Literal["shared", "part"] = "shared"
    """Neck and classifier of refined features: one for all parts, or one per part."""
    metric_loss: Literal["pcl", "triplet", "centre", "ica-cca"] = "pcl"
    """Part-aligned centre, batch-hard triplet, centre loss, or the centre aggregation of MCLNet."""
    metric_normalise: bool = True
    """The metric loss meets part features of length 1."""
    pcl_reduction: Literal["mean", "sum"] = "mean"
    """Of the terms of the part-aligned centre loss over their pairs; the sum is what is printed."""
    sigma: float = 0.6
    """Margin between the centres of two identities."""
    margin: float = 0.3
    """Margin of the batch-hard triplet loss."""
    cqm: Literal["match", "identity"] = "match"
    """Cross-modal query matching, or part k of one modality with part k of the other, in training and at test time."""
    mask_similarity: Literal["product", "cosine"] = "product"
    """How alike two attention masks are: their inner product as printed, which rewards masks of a single position, or
    its cosine."""
    kd_mutual: bool = False
    """Gradient of the logit distillation reaches the teacher, the cross-refined features, too."""
    kd_temperature: float = 1.0
    """Temperature of the logit distillation."""
    test_reorder: Literal["permutation", "edges", "none"] = "permutation"
    """Infrared parts at test time: ordered by the most frequent matching of the last epoch, counted as a whole or by
    pairs of parts; or as they are."""
    test_feature: Literal["f", "g"] = "f"
    """What is ranked: f before the neck, or g behind it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("parts", "score_reduction", "gate_reduction"):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' must be at least 1, not {getattr(self, name)}.")
        for name in ("alpha", "kd_temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"'{name}' must be above 0, not {getattr(self, name)}.")
        if not self.sigma >= 0:
            raise ValueError(f"'sigma' must be from 0 on, not {self.sigma}.")


@register
class CAL(TwoStreamNetwork):
    """CAL (Wu et al., "Learning Concordant Attention via Target-aware Alignment ...", ICCV 2023).

    L = L_id + L_pcl + L_kd1 + L_kd2 + 0.1 L_dis + 0.1 L_div with the recipe's weights; a loss of weight 0 is not
    computed, and without both distillation losses parts are not matched but paired by their index. An image's own
    parts re-read its map (self-refined features, all that testing needs), and in training a random image of the same
    identity and the other modality (cross-refined features; drawn anew in every step). Every loss is averaged over
    both directions.

    There is no official code, and the paper leaves much open. Our choices, with the other reading as an option: one
    attention for both modalities; sizes of its projections (``score_reduction``, ``gate_reduction``); pooling with
    strides (``pooling``); classifiers of part vectors per modality (``region_heads``); one neck and classifier for all
    refined features (``identity_heads``) and all of them in L_id (``identity_on``), passed in one batch; lengths and
    means in L_pcl (``metric_normalise``, ``pcl_reduction``), whose cross-modality centres are paired by the matching
    most frequent in the batch; a detached teacher (``kd_mutual``). L_kd1 is largest where all masks are one position,
    where adaptive optimisers take it: see ``mask_similarity``. Losses that stand in for L_pcl meet self-refined
    features in that pairing. Learnt vectors are not normalised as queries and have neither L_dis nor L_div, stripes
    no L_div.

    Attention can settle on one position of all images, for good, in its first hundred steps: on the twin it did at a
    rate of 0.1, driven by L_pcl, and on maps of 18 positions at 0.1 and at 0.01, driven by L_kd1 at its printed
    weight (a loss of -4 for four parts tells). `vibench visualize` shows the attention.

    The paper permutes the infrared prototypes after training. Permuting the infrared features is the same, holds for
    every kind of region, and leaves the weights alone: `MatchHistogram` keeps the order in a buffer.

    Modules: ``backbone``, ``pool``, ``neck``, ``classifier``, and with ``tca`` ``regions``, ``attention`` and, where
    they are needed, ``region_classifiers``, ``matches``, ``centres``.
    """

    name = "cal"
    options = CALOptions
    loss_names: ClassVar[dict[str, str]] = {
        "identity": "L_id, cross-entropy of the classifier on g of all self- and cross-refined part features",
        "metric": "L_pcl, part-aligned centre loss on f of length 1, or the metric loss in its place",
        "kd1": "L_kd1, negative inner products of the attention masks of matched parts, summed over the parts",
        "kd2": "L_kd2, divergence of the class distributions of matched cross- and self-refined parts, summed likewise",
        "dis": "L_dis, cross-entropy of a classifier per part on the part vectors, summed over the parts",
        "div": "L_div, inner products of the selected scores of different parts",
    }

    def __init__(self, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        super().__init__(recipe, num_classes, pretrained)
        options: CALOptions = recipe.model
        width = self.backbone.out_channels
        heads = options.parts if options.tca and options.identity_heads == "part" else 1
        necks, classifiers = (
            [make() for _ in range(heads)]
            for make in (lambda: bn_neck(width), lambda: identity_classifier(width, num_classes))
        )
        self.neck: nn.Module = nn.ModuleList(necks) if heads > 1 else necks[0]
        self.classifier: nn.Module = nn.ModuleList(classifiers) if heads > 1 else classifiers[0]
        self.pool = AveragePool()
        if options.tca:
            self._build_alignment(width)

    def _build_alignment(self, width: int) -> None:
        options: CALOptions = self.recipe.model
        self.regions: nn.Module = (
            _regions(options, width)
            if options.drm in ("shared", "stripes")
            else nn.ModuleDict({modality: _regions(options, width) for modality in MODALITIES})
        )
        self.attention = TargetAwareAttention(
            width, options.scores, options.channel_gate, options.score_reduction, options.gate_reduction
        )
        self.discriminates = self._weight("dis") > 0 and options.drm != "vectors"
        if self.discriminates:
            sets = 1 if options.region_heads == "shared" else len(MODALITIES)
            self.region_classifiers = nn.ModuleList(
                stripe_classifiers(options.parts, width, self.num_classes) for _ in range(sets)
            )
        self.matches: MatchHistogram | None = None
        if options.cqm == "match" and self._weight("kd1") + self._weight("kd2") > 0:
            by: Literal["permutation", "edges"] = "edges" if options.test_reorder == "edges" else "permutation"
            self.matches = MatchHistogram(options.parts, by)
        self.centres: LearntCentres | None = None
        if options.metric_loss == "centre" and self._weight("metric") > 0:
            self.centres = LearntCentres(self.num_classes, options.parts, width)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``identity``; with ``tca`` also ``metric``, ``kd1``, ``kd2``, ``dis`` and ``div``, unless of weight 0."""
        maps = self.batch_maps(batch)
        if not self.recipe.model.tca:
            return {"identity": identity_loss(self.classifier(self.neck(self.pool(maps))), batch.labels)}
        regions = [
            self.mine(part, modality) for part, modality in zip(batch.by_modality(maps), MODALITIES, strict=True)
        ]
        vectors = torch.cat([region.vectors for region in regions])
        encoded = self.attention.encode(maps, vectors, self.recipe.model.drm != "vectors")
        own, own_masks = self.attention(encoded)
        read = partners(batch.labels, batch.modality)
        cross, cross_masks = self.attention(encoded, read)
        # Row i: the parts u of image i against the parts v of image read[i], by their masks on the latter's map.
        if self.recipe.model.mask_similarity == "cosine":
            cross_masks, own_masks = (functional.normalize(masks, dim=2) for masks in (cross_masks, own_masks))
        weights = cross_masks @ own_masks[read].transpose(1, 2)
        matchings, order = self._match(weights, batch)

        # One batch, so that the neck's statistics are those of both kinds of refined features.
        logits = _per_part(self.classifier, _per_part(self.neck, torch.cat([own, cross])))
        own_logits, cross_logits = logits.chunk(2)
        losses = {"identity": self._identity_loss(own_logits, cross_logits, batch)}
        if self._weight("metric") > 0:
            losses["metric"] = self._metric_loss(own, cross, order, batch)
        if self._weight("kd1") > 0:
            losses["kd1"] = -_mean_of_both(matched_weight(weights, matchings), batch)
        if self._weight("kd2") > 0:
            teacher = cross_logits if self.recipe.model.kd_mutual else cross_logits.detach()
            temperature = self.recipe.model.kd_temperature
            losses["kd2"] = _mean_of_both(matched_divergence(teacher, own_logits[read], matchings, temperature), batch)
        if self.discriminates:
            losses["dis"] = self._discriminability(vectors, batch)
        scores = [region.scores for region in regions if region.scores is not None]
        if self._weight("div") > 0 and scores:
            losses["div"] = torch.stack([region_overlap(each) for each in scores]).mean()
        return losses

    def _match(self, weights: Tensor, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The matching of every row of ``weights``, and the infrared order that most of them speak for."""
        if self.matches is None:
            return torch.arange(weights.shape[1], device=weights.device).expand(len(weights), -1), None
        matchings = best_matching(weights.detach())
        # From visible to infrared parts: rows of infrared images are matched the other way round.
        infrared = (batch.modality == CODE[INFRARED])[:, None]
        orders = torch.where(infrared, matchings.argsort(dim=1), matchings)
        if self.training:
            self.matches.add(orders)
        return matchings, self.matches.most_frequent(self.matches.count(orders))

    def _identity_loss(self, own: Tensor, cross: Tensor, batch: Batch) -> Tensor:
        """L_id of the logits (B, N, classes) of self- and, unless the options say otherwise, cross-refined features."""
        judged = (own, cross) if self.recipe.model.identity_on == "all" else (own,)
        targets = batch.labels[:, None].expand(own.shape[:2]).flatten()
        return torch.stack([identity_loss(logits.flatten(0, 1), targets) for logits in judged]).mean()

    def _metric_loss(self, own: Tensor, cross: Tensor, order: Tensor | None, batch: Batch) -> Tensor:
        options: CALOptions = self.recipe.model
        labels = batch.labels
        own, cross = (_ordered(features, order, batch) for features in (own, cross))
        if options.metric_loss == "pcl":
            return part_aligned_centre(
                own, cross, labels, batch.modality, options.sigma, options.pcl_reduction, options.metric_normalise
            )
        if options.metric_normalise:
            own = functional.normalize(own, dim=2)
        if self.centres is not None:
            return self.centres(own, labels)
        if options.metric_loss == "ica-cca":
            groups = (labels, batch.cameras)
            return torch.stack([marginal_centre_aggregation(own, group, options.sigma) for group in groups]).sum()
        return hard_triplet(own.transpose(0, 1), labels, options.margin).mean()

    def _discriminability(self, vectors: Tensor, batch: Batch) -> Tensor:
        """L_dis of the part vectors (B, N, C)."""
        losses = []
        for code, (part, labels) in enumerate(
            zip(batch.by_modality(vectors), batch.by_modality(batch.labels), strict=True)
        ):
            logits = _per_part(self.region_classifiers[code % len(self.region_classifiers)], part)
            targets = labels[:, None].expand(-1, vectors.shape[1])
            losses.append(identity_loss(logits.flatten(0, 1), targets.flatten()) * vectors.shape[1])
        return torch.stack(losses).mean()

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        """Features of normalised images (B, 3, H, W) of one modality, all float32.

        ``parts`` f and ``neck`` g (B, N, C) of the self-refined parts, infrared ones in the order of the visible ones;
        without ``tca`` ``pooled`` f and ``neck`` g (B, C). ``embedding`` (B, N * C), of length 1, holds the parts of f
        or g by ``test_feature``, each of the same length, so that its cosine is the mean of the cosines of the parts.
        """
        maps = self.image_maps(images, modality)
        options: CALOptions = self.recipe.model
        if not options.tca:
            pooled = self.pool(maps).float()
            neck = self.neck(pooled).float()
            ranked = neck if options.test_feature == "g" else pooled
            return {"embedding": functional.normalize(ranked, dim=1), "pooled": pooled, "neck": neck}
        regions = self.mine(maps, modality)
        encoded = self.attention.encode(maps, regions.vectors, options.drm != "vectors")
        parts, _ = self.attention(encoded)
        neck = _per_part(self.neck, parts)
        if modality == INFRARED and self.matches is not None and options.test_reorder != "none":
            parts, neck = parts[:, self.matches.order], neck[:, self.matches.order]
        parts, neck = parts.float(), neck.float()
        ranked = neck if options.test_feature == "g" else parts
        embedding = functional.normalize(ranked, dim=2).flatten(1) / options.parts**0.5
        return {"embedding": embedding, "parts": parts, "neck": neck}

    def end_of_epoch(self, epoch: int, mean_losses: Mapping[str, float]) -> None:
        """Take over the epoch's most frequent matching."""
        if self.recipe.model.tca and self.matches is not None:
            self.matches.close_epoch()

    def head_modules(self) -> tuple[nn.Module, ...]:
        """Everything but the backbone trains at the full learning rate."""
        return tuple(module for name, module in self.named_children() if name != "backbone")

    def training_only(self) -> tuple[str, ...]:
        """The classifiers and the learnt centres."""
        return "classifier.", "region_classifiers.", "centres."

    def mine(self, maps: Tensor, modality: str) -> Regions:
        """The part vectors of feature maps (B, C, h, w) of one modality."""
        regions = self.regions[modality] if isinstance(self.regions, nn.ModuleDict) else self.regions
        return regions(maps)

    def _weight(self, loss: str) -> float:
        return self.recipe.loss_weights.get(loss, 1.0)


def partners(labels: Tensor, modality: Tensor) -> Tensor:
    """For every row of a batch another one at random, of the same identity and the other modality: (B,) int64.

    ``labels`` and ``modality`` (B,). Every identity must have images of both modalities, as those of the samplers do.
    """
    wanted = (labels[:, None] == labels[None, :]) & (modality[:, None] != modality[None, :])
    return torch.rand(wanted.shape, device=labels.device).masked_fill(~wanted, -1.0).argmax(dim=1)


def _regions(options: CALOptions, width: int) -> nn.Module:
    if options.drm == "stripes":
        return StripeRegions(options.parts)
    if options.drm == "vectors":
        return LearntRegions(width, options.parts)
    return RegionMining(width, options.parts, options.alpha, options.pooling)


def _per_part(modules: nn.Module, features: Tensor) -> Tensor:
    """``modules``, one for all parts or one per part, on ``features`` (B, N, C) -> (B, N, outputs)."""
    if isinstance(modules, nn.ModuleList):
        parts = [module(part) for module, part in zip(modules, features.unbind(1), strict=True)]
        return torch.stack(parts, dim=1)
    return modules(features.flatten(0, 1)).unflatten(0, features.shape[:2])


def _ordered(features: Tensor, order: Tensor | None, batch: Batch) -> Tensor:
    """``features`` (B, N, C) with the parts of infrared rows in the order of the visible ones."""
    if order is None:
        return features
    visible, infrared = batch.by_modality(features)
    return torch.cat([visible, infrared[:, order]])


def _mean_of_both(values: Tensor, batch: Batch) -> Tensor:
    """The mean of the two modalities' means of ``values`` (B,)."""
    return torch.stack([part.mean() for part in batch.by_modality(values)]).mean()
