"""Shared losses: functions of a batch's embeddings (B, D) or logits (B, C) and its labels (B,), returning a scalar.

Start with `triplet`; every module holds one loss, and `centres` and `distance` what several of them need.

Embeddings in half precision are taken to float32; rows may be in any order and of either modality. The triplet and
the hetero-centre losses take embeddings (N, B, D) too, those of N parts, and return the loss (N,) of each.
"""

from vibench.losses.centre_cluster import centre_cluster
from vibench.losses.hetero_centre import hetero_centre, hetero_centre_triplet
from vibench.losses.identity import identity_loss
from vibench.losses.maximum_mean_discrepancy import margin_mmd_id, maximum_mean_discrepancy
from vibench.losses.triplet import hard_triplet
from vibench.losses.weighted_triplet import squared_difference_triplet, weighted_regularised_triplet

__all__ = [
    "centre_cluster",
    "hard_triplet",
    "hetero_centre",
    "hetero_centre_triplet",
    "identity_loss",
    "margin_mmd_id",
    "maximum_mean_discrepancy",
    "squared_difference_triplet",
    "weighted_regularised_triplet",
]
