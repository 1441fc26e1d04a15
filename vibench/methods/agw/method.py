"""AGW: the two-stream baseline with attention, GeM pooling and a weighted triplet loss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor

from vibench.data.batch import Batch
from vibench.losses import hard_triplet, identity_loss, weighted_regularised_triplet
from vibench.methods.registry import register
from vibench.methods.sections import Recipe
from vibench.methods.two_stream import TwoStreamMethod, TwoStreamOptions
from vibench.nn.non_local import NonLocal
from vibench.nn.resnet import BLOCKS, WIDTHS


@dataclass(frozen=True)
class AGWOptions(TwoStreamOptions):
    """Switches of AGW; the defaults are the official code."""

    pool: Literal["avg", "max", "gem"] = "gem"
    """Global average, maximum or generalised-mean pooling."""
    non_local: bool = True
    """Non-local attention blocks, shared by the modalities."""
    non_local_channels: Literal[1, "C/2"] = 1
    """Inner width of the non-local blocks: 1 as in the official code, or half the channels as usual."""
    non_local_positions: tuple[int, int, int, int] = (0, 2, 3, 0)
    """How many of the last blocks of layer1, layer2, layer3, layer4 a non-local block follows, as far as there are."""
    triplet: Literal["hard", "wrt", "wrt-clean"] = "wrt"
    """Batch-hard; weighted regularised with the official code's epsilon; or with an exact softmax as in the paper."""
    margin: float = 0.3
    """Margin of the batch-hard triplet loss."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.non_local_positions) < 0:
            raise ValueError(f"'non_local_positions' must be counts from 0 on, not {list(self.non_local_positions)}.")


@register
class AGW(TwoStreamMethod):
    """AGW (Ye et al., "Deep Learning for Person Re-identification: A Survey and Outlook", TPAMI 2021, Sec. 4).

    L = L_id(g) + L_wrt(f), both of weight 1. Where paper and official code differ, the code is the default: one inner
    channel in the non-local blocks (``non_local_channels``), a fixed exponent p = 3 (``gem_learnable``), and the
    triplet weights with an epsilon (``triplet``).
    """

    name = "agw"
    options = AGWOptions
    loss_names: ClassVar[dict[str, str]] = {
        "identity": "cross-entropy of the classifier on g, without label smoothing",
        "triplet": "weighted regularised or batch-hard triplet loss on un-normalised f, Euclidean",
    }

    def __init__(self, recipe: Recipe, num_classes: int, pretrained: str | Path = "none") -> None:
        super().__init__(recipe, num_classes, pretrained, inserted=_non_local_blocks(recipe.model))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """``identity`` and ``triplet``."""
        return self._pooled_losses(self.pooled_features(batch), batch)

    def map_losses(self, maps: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What `losses` returns, of the batch's feature maps (B, C, h, w)."""
        return self._pooled_losses(self.pool(maps), batch)

    def _pooled_losses(self, pooled: Tensor, batch: Batch) -> dict[str, Tensor]:
        options: AGWOptions = self.recipe.model
        logits = self.logits(self.neck(pooled), batch.visible_views)
        if options.triplet == "hard":
            triplet = hard_triplet(pooled, batch.labels, options.margin)
        else:
            form: Literal["epsilon", "clean"] = "epsilon" if options.triplet == "wrt" else "clean"
            triplet = weighted_regularised_triplet(pooled, batch.labels, form=form)
        return {"identity": identity_loss(logits, batch.labels), "triplet": triplet}


def _non_local_blocks(options: AGWOptions) -> dict[str, NonLocal]:
    """Non-local blocks under the names of the residual blocks that they follow, as `TwoStreamResNet` takes them."""
    if not options.non_local:
        return {}
    stages = zip(options.non_local_positions, BLOCKS[options.backbone], WIDTHS[options.backbone], strict=True)
    return {
        f"layer{stage}_{block}": NonLocal(channels, 1 if options.non_local_channels == 1 else channels // 2)
        for stage, (wanted, blocks, channels) in enumerate(stages, start=1)
        for block in range(max(blocks - wanted, 0), blocks)
    }
