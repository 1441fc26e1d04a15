"""The baseline family: a two-stream ResNet under identity loss, with or without a triplet loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from vibench.data.batch import Batch
from vibench.losses import hard_triplet, identity_loss, weighted_regularised_triplet
from vibench.methods.registry import register
from vibench.methods.two_stream import TwoStreamMethod, TwoStreamOptions


@dataclass(frozen=True)
class BaselineOptions(TwoStreamOptions):
    """Switches of the baselines; the defaults are B."""

    loss: Literal["id", "id+triplet", "id+wrt"] = "id+triplet"
    """Identity loss alone, with the batch-hard triplet loss, or with the weighted regularised triplet loss."""
    margin: float = 0.3
    """Margin of the batch-hard triplet loss."""


@register
class Baseline(TwoStreamMethod):
    """B: L_b = L_id + L_tri (Ye et al., "Dynamic Dual-Attentive Aggregation Learning", ECCV 2020, Eq. (1)).

    L_id meets the feature g behind the neck, L_tri the un-normalised pooled feature f before it. The paper calls the
    first block modality-specific, the official code only the stem; the code is the default (``specific_stages``).
    The variants one-stream, two-stream and zero-pad follow the structures of Wu et al., ICCV 2017.
    """

    name = "baseline"
    options = BaselineOptions
    loss_names: ClassVar[dict[str, str]] = {
        "identity": "cross-entropy of the classifier on g, without label smoothing",
        "triplet": "batch-hard (margin) or weighted regularised triplet loss on un-normalised f, Euclidean",
    }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``identity`` and, unless the option ``loss`` is ``id``, ``triplet``."""
        options: BaselineOptions = self.recipe.model
        pooled = self.pooled_features(batch)
        losses = {"identity": identity_loss(self.logits(self.neck(pooled), batch.visible_views), batch.labels)}
        if options.loss == "id+triplet":
            losses["triplet"] = hard_triplet(pooled, batch.labels, options.margin)
        elif options.loss == "id+wrt":
            losses["triplet"] = weighted_regularised_triplet(pooled, batch.labels)
        return losses
