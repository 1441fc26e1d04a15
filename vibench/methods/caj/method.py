"""CAJ: the network of AGW under channel augmentation and an enhanced squared difference loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as functional
from torch import Tensor

from vibench.data.batch import Batch
from vibench.losses import hard_triplet, identity_loss, squared_difference_triplet, weighted_regularised_triplet
from vibench.methods.agw import AGW, AGWOptions
from vibench.methods.registry import register


@dataclass(frozen=True)
class CAJOptions(AGWOptions):
    """Switches of CAJ beside those of AGW; the channel augmentation is in the recipe's ``[augmentation]``."""

    triplet: Literal["hard", "wrt", "wrt-clean", "squared", "squared-clean"] = "squared"  # type: ignore[assignment]
    """Batch-hard, weighted regularised, or enhanced squared difference; clean: weights by an exact softmax."""
    alpha: float = 1.0
    """Sharpness of the triplet weights, of all but batch-hard."""
    gamma: float = 1.0
    """Factor of the (squared) difference of distances, of all but batch-hard."""
    flip_test: bool = True
    """Embed every test image together with its mirror image."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("alpha", "gamma"):
            if not getattr(self, name) > 0:
                raise ValueError(f"'{name}' must be above 0, not {getattr(self, name)}.")


@register
class CAJ(AGW):
    """CAJ (Ye et al., "Channel Augmented Joint Learning for Visible-Infrared Recognition", ICCV 2021).

    L = L_id(g) + L_sq(f), both of weight 1, over the colour view, the channel view and the infrared images of a batch
    together; both visible views pass the visible stem. Where paper and official code differ, the code is the default:

    - the paper's channel augmentation can turn visible images grey, the code's does not
      (``augmentation.visible_views = ["none", "exchange+grey"]``);
    - the paper erases with a random value per channel, the code with three fixed ones
      (``augmentation.erasing_random_fill``);
    - the code's triplet weights have an epsilon as in AGW, the paper's are a softmax (``triplet = "squared-clean"``);
    - on RegDB the code trains with the squared difference, but its test script names models without it (variant
      ``sq0``); which of the two the printed numbers are of is unknown.

    The features of a test image and of its mirror image are combined (``flip_test``).
    """

    name = "caj"
    options = CAJOptions
    loss_names = {  # noqa: RUF012
        "identity": "cross-entropy of the classifier on g, without label smoothing",
        "triplet": "enhanced squared difference, weighted regularised or batch-hard triplet loss on un-normalised f",
    }

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``identity`` and ``triplet`` over all views and both modalities."""
        pooled = self.pooled_features(batch)
        logits = self.logits(self.neck(pooled), batch.visible_views)
        return {"identity": identity_loss(logits, batch.labels), "triplet": self._triplet(pooled, batch.labels)}

    def _triplet(self, pooled: Tensor, labels: Tensor) -> Tensor:
        options: CAJOptions = self.recipe.model
        if options.triplet == "hard":
            return hard_triplet(pooled, labels, options.margin)
        loss = squared_difference_triplet if options.triplet.startswith("squared") else weighted_regularised_triplet
        form: Literal["epsilon", "clean"] = "clean" if options.triplet.endswith("clean") else "epsilon"
        return loss(pooled, labels, form=form, alpha=options.alpha, gamma=options.gamma)

    def embed(self, images: Tensor, modality: str) -> dict[str, Tensor]:
        """Features of normalised images (B, 3, H, W) of one modality, all (B, D) float32.

        ``embedding``: that of AGW, or with ``flip_test`` the mean of those of the image and of its mirror image,
        L2-normalised anew. ``pooled`` (f) and ``neck`` (g) are of the image itself.
        """
        features = super().embed(images, modality)
        if not self.recipe.model.flip_test:
            return features
        mirrored = super().embed(images.flip(3), modality)["embedding"]
        return {**features, "embedding": functional.normalize((features["embedding"] + mirrored) / 2, dim=1)}
