"""What a training step receives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from vibench.distributed.dealt import Dealt


@dataclass(frozen=True)
class Batch:
    """One training batch: the visible views first, one block each, then the infrared block, all of the same size.

    Inside a block P identities follow one another with K images each, in the same identity order in all blocks. There
    is one visible view unless the recipe's augmentation asks for more; further views are the same visible images,
    augmented anew.

    Where several processes train together, every one of them has a share of the images, by identity, and everything
    else of the whole batch: a method computes features of its images and brings those of all together by `gather`.
    """

    images: Tensor
    """(B, 3, H, W) float32, normalised, on the training device; (b, 3, H, W) where it is a share."""
    labels: Tensor
    """(B,) int64, identities re-labelled 0..C-1 in ascending order of pid."""
    modality: Tensor
    """(B,) int64, `vibench.modality.CODE`: 0 visible, 1 infrared."""
    cameras: Tensor
    """(B,) int64, the data set's camera numbers."""
    visible_views: int = 1
    """Blocks of visible images."""
    attributes: Tensor | None = None
    """(B, 8) float32, 0 or 1, in the order of `vibench.data.attributes.ATTRIBUTES`; of methods that need them."""
    attributes_known: Tensor | None = None
    """(B,) bool: whether the attributes of the image's person are labelled; a row of zeros stands where not."""
    heatmaps: Tensor | None = None
    """(B, C, H / 4, W / 4) float32 from 0 to 1: where keypoints are, cropped and flipped as the image is, of methods
    that need them."""
    heatmaps_known: Tensor | None = None
    """(B,) bool: whether a keypoint was found in the image; zeros stand where not."""
    dealt: Dealt | None = None
    """How the images are dealt to the processes; None: they are all here."""

    def __len__(self) -> int:
        return len(self.labels)

    def by_modality(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The visible and the infrared part of ``rows`` (B, ...), one row per image of the batch."""
        return split_modalities(rows, self.visible_views)

    def gather(self, rows: Tensor) -> Tensor:
        """Rows (B, ...) of the whole batch from those (b, ...) of the images that are here, or of one modality's."""
        return rows if self.dealt is None else self.dealt.gather(rows)


def split_modalities(rows: Tensor, visible_views: int = 1) -> tuple[Tensor, Tensor]:
    """``rows`` (B, ...) in the order of a `Batch`: those of the ``visible_views`` visible blocks, and infrared."""
    infrared = len(rows) // (visible_views + 1)
    visible, rest = rows.split((len(rows) - infrared, infrared))
    return visible, rest
