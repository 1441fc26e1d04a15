"""Identity-balanced batches that hold no image twice, as a pure function of seed and epoch."""

from __future__ import annotations

import numpy as np

from vibench.data.sampler import IdentitySampler
from vibench.data.sections import SamplerRecipe
from vibench.errors import UsageError


class DistinctSampler(IdentitySampler):
    """`IdentitySampler`, except that the K images of an identity and modality are drawn without replacement.

    yoqim/Pose_VIReID. Batches are independent of one another, so that an image may return in the next one. Raises
    `UsageError` where an identity has fewer than K images of a modality as well.
    """

    def __init__(self, pids: np.ndarray, modalities: np.ndarray, recipe: SamplerRecipe, seed: int) -> None:
        """As `IdentitySampler`."""
        super().__init__(pids, modalities, recipe, seed)
        fewest = min(int(rows.counts.min()) for rows in self._rows)
        if fewest < recipe.images:
            raise UsageError(
                f"[sampler] images = {recipe.images}: an identity of the training split has only {fewest} images of "
                "one modality; lower it with --set sampler.images=K, or draw with --set sampler.kind=with-replacement."
            )

    @staticmethod
    def _offsets(uniform: np.ndarray, counts: np.ndarray) -> np.ndarray:
        chosen = np.empty(uniform.shape, dtype=np.int64)
        for draw in range(uniform.shape[-1]):
            # A place among those left over, then moved past the ones that are taken, the smallest first.
            place = (uniform[..., draw] * (counts[..., 0] - draw)).astype(np.int64)
            for taken in np.moveaxis(np.sort(chosen[..., :draw], axis=-1), -1, 0):
                place += place >= taken
            chosen[..., draw] = place
        return chosen
