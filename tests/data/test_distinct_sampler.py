"""Batches without repeated images against what their definition says."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.test_sampler import make_rows
from vibench.data.distinct_sampler import DistinctSampler
from vibench.data.sections import SamplerRecipe
from vibench.errors import UsageError


def test_no_image_stands_twice_in_a_batch():
    pids, modalities = make_rows([(3, 5), (4, 3), (7, 3), (3, 3)])
    sampler = DistinctSampler(pids, modalities, SamplerRecipe(identities=3, images=3, batches_per_epoch=50), seed=2)
    plan = sampler.epoch(1)
    assert plan.shape == (50, 2, 9) and np.array_equal(plan, sampler.epoch(1))
    for batch in plan:
        assert len(set(batch.ravel())) == 18
        assert np.array_equal(pids[batch[0]], pids[batch[1]])
        assert len(set(pids[batch[0]])) == 3
        assert set(modalities[batch[0]]) == {"visible"} and set(modalities[batch[1]]) == {"infrared"}


def test_every_choice_of_images_is_equally_likely():
    pids, modalities = make_rows([(4, 3)] * 2)
    recipe = SamplerRecipe(identities=2, images=2, batches_per_epoch=12000)
    plan = DistinctSampler(pids, modalities, recipe, seed=1).epoch(0)
    for code, images in ((0, 4), (1, 3)):
        pairs, frequency = np.unique(plan[:, code].reshape(-1, 2), axis=0, return_counts=True)
        assert len(pairs) == 2 * images * (images - 1)
        expected = 24000 / len(pairs)
        assert np.abs(frequency - expected).max() < 6 * np.sqrt(expected)


def test_an_identity_with_too_few_images_is_refused():
    pids, modalities = make_rows([(4, 4), (4, 2)])
    with pytest.raises(UsageError, match=r"images = 3: an identity .* only 2 images .*--set sampler.images=K"):
        DistinctSampler(pids, modalities, SamplerRecipe(identities=2, images=3), seed=0)
