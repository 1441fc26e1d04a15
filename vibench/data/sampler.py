"""The identity-balanced batches of the AGW code line, as a pure function of seed and epoch.

Because no state is carried from batch to batch, an interrupted run resumes at any step of any epoch.
"""

from __future__ import annotations

import numpy as np

from vibench.data.identity_rows import RowsByIdentity, group_rows
from vibench.data.sections import SamplerRecipe
from vibench.errors import UsageError
from vibench.modality import MODALITIES
from vibench.runtime.randomness import generator


class IdentitySampler:
    """Draws batches of P identities with K visible and K infrared images each.

    Every batch draws its P identities without replacement and independently of the other batches, and K images per
    identity and modality with replacement (mangye16/Cross-Modal-Re-ID-baseline). An epoch is
    ``floor(max(#visible, #infrared) / (P * K)) + 1`` batches unless the recipe says otherwise.

    Raises `UsageError` where an identity has images of one modality only, and where P exceeds the identities.
    """

    def __init__(self, pids: np.ndarray, modalities: np.ndarray, recipe: SamplerRecipe, seed: int) -> None:
        """``pids`` (N,) int and ``modalities`` (N,) str describe the training images, one entry per row."""
        self._recipe = recipe
        self._seed = seed
        self._identities, self._rows = group_rows(pids, modalities)
        if recipe.identities > len(self._identities):
            raise UsageError(
                f"[sampler] identities = {recipe.identities}: the training split has only {len(self._identities)} "
                "identities; lower it with --set sampler.identities=P."
            )
        images = max(int((modalities == modality).sum()) for modality in MODALITIES)
        self._batches = recipe.batches_per_epoch or images // (recipe.identities * recipe.images) + 1

    def batches(self, epoch: int) -> int:
        """Number of batches of epoch ``epoch``, the same for all."""
        return self._batches

    def epoch(self, epoch: int) -> np.ndarray:
        """All batches of epoch ``epoch`` (from 0): row numbers, (batches, 2, P*K) int64.

        Axis 1 is modality (visible, infrared). Along the last axis the identities follow one another with K images
        each, in the same order in both modalities.
        """
        identities, images = self._recipe.identities, self._recipe.images
        random = generator(self._seed, "sampler", epoch)
        # The P smallest of independent uniform keys are a uniform draw without replacement, for all batches at once.
        keys = random.random((self._batches, len(self._identities)))
        chosen = np.argsort(keys, axis=1, kind="stable")[:, :identities]
        picks = random.random((self._batches, 2, identities, images))
        blocks = [self._pick(rows, chosen, picks[:, code]) for code, rows in enumerate(self._rows)]
        return np.stack(blocks, axis=1).reshape(self._batches, 2, identities * images)

    def _pick(self, rows: RowsByIdentity, chosen: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """One row per uniform number (..., P, K) from the images of each chosen identity (..., P)."""
        offsets = self._offsets(uniform, rows.counts[chosen][..., None])
        return rows.rows[rows.starts[chosen][..., None] + offsets]

    @staticmethod
    def _offsets(uniform: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Which of its images (..., P, K) each identity gives, of ``counts`` (..., P, 1) images."""
        return (uniform * counts).astype(np.int64)
