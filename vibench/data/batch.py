"""What a training step receives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """One training batch: the visible block first, then an infrared block of the same size.

    Inside a block P identities follow one another with K images each, in the same identity order in both blocks.
    """

    images: Tensor
    """(B, 3, H, W) float32, normalised, on the training device."""
    labels: Tensor
    """(B,) int64, identities re-labelled 0..C-1 in ascending order of pid."""
    modality: Tensor
    """(B,) int64, `vibench.modality.CODE`: 0 visible, 1 infrared."""
    cameras: Tensor
    """(B,) int64, the data set's camera numbers."""

    def __len__(self) -> int:
        return len(self.labels)
