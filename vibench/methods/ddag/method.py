"""DDAG: the two-stream baseline with part attention and a dynamically weighted graph loss."""

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
from vibench.methods.ddag.graph import ALL_NEIGHBOURS, IdentityGraph, identity_neighbours
from vibench.methods.ddag.part_attention import Aggregation, Gate, Normalisation, WeightedPartAttention
from vibench.methods.registry import register
from vibench.methods.sections import Recipe
from vibench.methods.two_stream import TwoStreamMethod, TwoStreamOptions
from vibench.nn.neck import identity_classifier


@dataclass(frozen=True)
class DDAGOptions(TwoStreamOptions):
    """Switches of DDAG; the defaults are the official code."""

    test_feature: Literal["part", "g", "f"] = "part"  # type: ignore[assignment]
    """Which feature is ranked: x* of the part attention (g where that is off), g behind the neck, or f before it."""
    margin: float = 0.3
    """Margin of the batch-hard triplet loss."""
    part_attention: bool = True
    """P: intra-modality weighted-part aggregation."""
    parts: int = 3
    """p, horizontal parts of the feature map."""
    part_aggregation: Aggregation = "weight"
    """How attended parts become one feature: mean, concatenation, or learnt weights."""
    residual: Literal["none", "identity", "rbn"] = "rbn"
    """What the aggregated parts are added to: nothing, f, or f behind the neck (residual batch norm)."""
    gate: Gate = "softmax"
    """Weights of the parts: softmax of a learnt vector as in the official code, or the vector itself as in Eq. (5)."""
    final_bn: bool = True
    """Batch norm behind the residual sum, as in the official code and not in Eq. (5)."""
    part_normalisation: Normalisation = "keys"
    """Part attention sums to 1 over the keys j as in the official code, or over the queries i as in Eq. (2)."""
    graph_attention: bool = True
    """G: cross-modality graph structured attention, in training only."""
    heads: int = 4
    """L, attention heads of the graph."""
    graph_dim: int = 512
    """d, width of a head: 512 in the official code, 256 in the paper."""
    graph_dropout: float = 0.2
    """Dropout on the nodes, the attention weights and the heads' outputs."""
    graph_neighbours: int = ALL_NEIGHBOURS
    """N_g, images of its identity a node attends to, itself among them, drawn in every step; -1: all, 0: no graph."""
    graph_output_elu: bool = True
    """ELU before the last log-softmax, as in the official code and not in Eq. (9)."""
    graph_reduction: Literal["mean", "sum"] = "mean"
    """Of the graph loss over the nodes: mean as in the official code, or sum as in Eq. (9)."""
    graph_weight: Literal["dynamic", "constant"] = "dynamic"
    """Weight of the graph loss: Eq. (11), or loss_weights.graph alone."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("parts", "heads", "graph_dim"):
            if getattr(self, name) < 1:
                raise ValueError(f"'{name}' must be at least 1, not {getattr(self, name)}.")
        if self.graph_neighbours < ALL_NEIGHBOURS:
            raise ValueError(f"'graph_neighbours' must be a count or -1 for all, not {self.graph_neighbours}.")
        if not 0 <= self.graph_dropout < 1:
            raise ValueError(f"'graph_dropout' must be from 0 to below 1, not {self.graph_dropout}.")


@register
class DDAG(TwoStreamMethod):
    """DDAG (Ye et al., "Dynamic Dual-Attentive Aggregation Learning for Visible-Infrared Person Re-Identification").

    ECCV 2020. L = L_P + w_t L_g, with L_P = L_id(g) + L_tri(f) + L_id(x*) and the parameter-free dynamic weight
    w_t = 1 / (1 + mean of L_P over epoch t-1), w_0 = 0 (Eq. (11)). One classifier judges g and x*. Without the part
    attention L_id(x*) is dropped and g is ranked, without the graph L_g is dropped; without both it is the baseline B.

    Where paper and official code differ, the code is the default: x* (``final_bn``, ``gate``), the axis of the part
    attention (``part_normalisation``), the graph's width (``graph_dim``), its last activation (``graph_output_elu``)
    and reduction (``graph_reduction``), and what is modality-specific (``specific_stages``). Where neither says:
    concatenated parts, too wide for the shared classifier, get one of their own, and N_g counts the node itself.

    Modules besides those of `TwoStreamMethod`: ``part_attention``, ``part_classifier`` (with ``concat``), ``graph``.
    """

    name = "ddag"
    options = DDAGOptions
    loss_names: ClassVar[dict[str, str]] = {
        "identity": "cross-entropy of the classifier on g, without label smoothing",
        "triplet": "batch-hard triplet loss on un-normalised f, Euclidean",
        "part_identity": "cross-entropy of the same classifier on the part feature x*",
        "graph": "negative log-likelihood of the graph's output, times the dynamic weight w_t",
    }

    graph_weight: Tensor
    """w_t of the open epoch, where it is dynamic."""

    def __init__(self, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        super().__init__(recipe, num_classes, pretrained)
        options: DDAGOptions = recipe.model
        width = self.backbone.out_channels
        self.part_attention: WeightedPartAttention | None = None
        self.part_classifier: nn.Module | None = None
        self.graph: IdentityGraph | None = None
        if options.part_attention:
            self.part_attention = WeightedPartAttention(
                width,
                options.parts,
                options.part_aggregation,
                options.gate,
                options.final_bn,
                options.part_normalisation,
            )
            if self.part_attention.out_features != width:
                self.part_classifier = identity_classifier(self.part_attention.out_features, num_classes)
        if options.graph_attention and options.graph_neighbours != 0:
            self.graph = IdentityGraph(
                width, num_classes, options.heads, options.graph_dim, options.graph_dropout, options.graph_output_elu
            )
        self.dynamic = self.graph is not None and options.graph_weight == "dynamic"
        if self.dynamic:
            self.register_buffer("graph_weight", torch.zeros(()))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``identity``, ``triplet``, with part attention ``part_identity``, with the graph ``graph``."""
        return self.map_losses(self.batch_maps(batch), batch)

    def map_losses(self, maps: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What `losses` returns, of the batch's feature maps (B, C, h, w)."""
        options: DDAGOptions = self.recipe.model
        pooled = self.pool(maps)
        neck = self.neck(pooled)
        losses = {
            "identity": identity_loss(self.logits(neck, batch.visible_views), batch.labels),
            "triplet": hard_triplet(pooled, batch.labels, options.margin),
        }
        if self.part_attention is not None:
            part = self.part_attention(maps, self._residual(pooled, neck))
            if self.part_classifier is None:
                part_logits = self.logits(part, batch.visible_views)
            else:
                part_logits = self.part_classifier(part)
            losses["part_identity"] = identity_loss(part_logits, batch.labels)
        if self.graph is not None:
            neighbours = identity_neighbours(batch.labels, options.graph_neighbours)
            log_probabilities = self.graph(pooled, neighbours)
            graph = functional.nll_loss(log_probabilities, batch.labels, reduction=options.graph_reduction)
            losses["graph"] = self.graph_weight * graph if self.dynamic else graph
        return losses

    def end_of_epoch(self, epoch: int, mean_losses: Mapping[str, float]) -> None:
        """Set w_t of the next epoch from this epoch's mean of L_P, weighed by the recipe's loss weights."""
        if self.dynamic:
            weights = self.recipe.loss_weights
            dominant = sum(weights.get(name, 1.0) * mean for name, mean in mean_losses.items() if name != "graph")
            self.graph_weight.fill_(1.0 / (1.0 + dominant))

    def test_features(self, maps: Tensor) -> dict[str, Tensor]:
        """As `TwoStreamMethod.test_features`, and ``part``: x* (B, C), or (B, parts * C) where concatenated."""
        features = super().test_features(maps)
        if self.part_attention is not None:
            pooled = features["pooled"]
            residual = self._residual(pooled, features.get("neck", pooled))
            features["part"] = self.part_attention(maps, residual).float()
        return features

    def ranked_feature(self) -> str:
        """Name of the feature that the option ``test_feature`` says to rank."""
        options: DDAGOptions = self.recipe.model
        if options.test_feature == "part" and self.part_attention is not None:
            return "part"
        return "neck" if options.neck and options.test_feature != "f" else "pooled"

    def head_modules(self) -> tuple[nn.Module, ...]:
        """The modules that train at the full learning rate: everything but the backbone and the pooling."""
        own = (self.part_attention, self.part_classifier, self.graph)
        return (*super().head_modules(), *(module for module in own if module is not None))

    def training_only(self) -> tuple[str, ...]:
        """The classifiers and the graph."""
        return "classifier.", "part_classifier.", "graph."

    def _residual(self, pooled: Tensor, neck: Tensor) -> Tensor | None:
        """What the option ``residual`` adds the parts to."""
        forms: dict[str, Tensor | None] = {"none": None, "identity": pooled, "rbn": neck}
        return forms[self.recipe.model.residual]
