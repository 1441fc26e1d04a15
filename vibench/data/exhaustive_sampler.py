"""Identity-balanced batches that show no image twice in an epoch, as a pure function of seed and epoch."""

from __future__ import annotations

import numpy as np

from vibench.data.identity_rows import group_rows
from vibench.data.sections import SamplerRecipe
from vibench.errors import UsageError
from vibench.runtime.randomness import generator


class ExhaustiveSampler:
    """Batches of P identities with K visible and K infrared images each, until the identities run out.

    At the start of a pass the images of every identity are shuffled, those of its larger modality cut to the number
    of the smaller, and both cut into blocks of K; an incomplete block is left out. Batches then draw P identities
    without replacement among those with blocks left, one block each, until fewer than P are left
    (DoubtedSteam/MPANet). The number of batches depends on the draw: mostly 182 or 183 on SYSU-MM01 with P = 16,
    K = 4, mostly 34 on RegDB with P = 12, K = 5.

    The sampler of the official code states half of that length before its first pass, since it counts the infrared
    images only, and training loops that believe it train half as long. Here an epoch is always the whole pass; if the
    recipe asks for a number of batches, it is as many passes as that takes, the last one broken off.

    Raises `UsageError` where an identity has images of one modality only, and where fewer than P identities have K
    images of either modality.
    """

    def __init__(self, pids: np.ndarray, modalities: np.ndarray, recipe: SamplerRecipe, seed: int) -> None:
        """``pids`` (N,) int and ``modalities`` (N,) str describe the training images, one entry per row."""
        self._recipe = recipe
        self._seed = seed
        _, self._rows = group_rows(pids, modalities)
        visible, infrared = (rows.counts for rows in self._rows)
        self._blocks = np.minimum(visible, infrared) // recipe.images
        enough = int(np.count_nonzero(self._blocks))
        if enough < recipe.identities:
            raise UsageError(
                f"[sampler] identities = {recipe.identities}, images = {recipe.images}: only {enough} identities of "
                f"the training split have {recipe.images} images of either modality; lower one with --set "
                "sampler.identities=P or --set sampler.images=K."
            )

    def batches(self, epoch: int) -> int:
        """Number of batches of epoch ``epoch``."""
        return self._recipe.batches_per_epoch or len(self._draw_identities(self._generator(epoch, 0))[0])

    def epoch(self, epoch: int) -> np.ndarray:
        """All batches of epoch ``epoch`` (from 0): row numbers, (batches, 2, P*K) int64.

        Axis 1 is modality (visible, infrared). Along the last axis the identities follow one another with K images
        each, in the same order in both modalities.
        """
        plan = self._pass(epoch, 0)
        wanted = self._recipe.batches_per_epoch
        if not wanted:
            return plan
        passes = [plan]
        while sum(map(len, passes)) < wanted:
            passes.append(self._pass(epoch, len(passes)))
        return np.concatenate(passes)[:wanted]

    def _pass(self, epoch: int, number: int) -> np.ndarray:
        random = self._generator(epoch, number)
        chosen, block = self._draw_identities(random)
        images = self._recipe.images
        offsets = (block * images)[..., None] + np.arange(images)
        plan = []
        for grouped in self._rows:
            # Sorted by identity, then by a random key: shuffled within every identity at once.
            owner = np.repeat(np.arange(len(grouped.counts)), grouped.counts)
            shuffled = grouped.rows[np.lexsort((random.random(len(owner)), owner))]
            plan.append(shuffled[grouped.starts[chosen][..., None] + offsets])
        return np.stack(plan, axis=1).reshape(len(chosen), 2, -1)

    def _draw_identities(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Places of the identities of every batch of a pass, and which of its blocks each gives, both (batches, P)."""
        used = np.zeros_like(self._blocks)
        chosen, block = [], []
        while len(left := np.flatnonzero(used < self._blocks)) >= self._recipe.identities:
            drawn = random.choice(left, self._recipe.identities, replace=False)
            chosen.append(drawn)
            block.append(used[drawn])
            used[drawn] += 1
        return np.stack(chosen), np.stack(block)

    def _generator(self, epoch: int, number: int) -> np.random.Generator:
        return generator(self._seed, "sampler", epoch, number)
