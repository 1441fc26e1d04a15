"""The choice of a metric loss that methods after the hetero-centre triplet loss offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from vibench.data.batch import Batch
from vibench.losses import hard_triplet, hetero_centre, hetero_centre_triplet


@dataclass(frozen=True)
class MetricLossOptions:
    """Which metric loss features meet."""

    metric_loss: Literal["none", "triplet", "hct", "hc"] = "hct"
    """None, batch-hard triplet, hetero-centre triplet, or TSLFN's hetero-centre loss."""
    margin: float = 0.3
    """Margin of the batch-hard and of the hetero-centre triplet loss."""
    hct_reduction: Literal["mean", "sum"] = "mean"
    """Of the hetero-centre triplet loss over the centres: mean as in the official code, or sum as in the paper."""


def metric_loss(options: MetricLossOptions, embeddings: Tensor, batch: Batch) -> Tensor:
    """The metric loss of ``options`` on un-normalised ``embeddings`` (B, D) of ``batch``; not for ``none``.

    Embeddings (N, B, D) of N parts have a loss (N,).
    """
    if options.metric_loss == "triplet":
        return hard_triplet(embeddings, batch.labels, options.margin)
    if options.metric_loss == "hc":
        return hetero_centre(embeddings, batch.labels, batch.modality)
    return hetero_centre_triplet(embeddings, batch.labels, batch.modality, options.margin, options.hct_reduction)
