"""The identity-balanced sampler against what its definition says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibench.data.sampler import IdentitySampler
from vibench.data.sections import SamplerRecipe
from vibench.errors import UsageError


def make_rows(counts: list[tuple[int, int]], shuffle: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Identity 10 * i + 3 has ``counts[i]`` (visible, infrared) images; rows in shuffled order."""
    rows = [
        (10 * i + 3, modality)
        for i, pair in enumerate(counts)
        for modality, n in zip(("visible", "infrared"), pair, strict=True)
        for _ in range(n)
    ]
    np.random.default_rng(shuffle).shuffle(rows)
    return np.array([int(pid) for pid, _ in rows]), np.array([modality for _, modality in rows], dtype=object)


@settings(max_examples=60)
@given(
    counts=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=2, max_size=9),
    identities=st.integers(2, 9),
    images=st.integers(1, 5),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 100),
)
def test_every_batch_has_the_structure_of_the_agw_code_line(counts, identities, images, seed, epoch):
    identities = min(identities, len(counts))
    pids, modalities = make_rows(counts, shuffle=seed % 7)
    sampler = IdentitySampler(pids, modalities, SamplerRecipe(identities=identities, images=images), seed)
    plan = sampler.epoch(epoch)

    larger = max(sum(visible for visible, _ in counts), sum(infrared for _, infrared in counts))
    assert plan.shape == (larger // (identities * images) + 1, 2, identities * images)
    assert sampler.batches(epoch) == len(plan)
    assert np.array_equal(plan, sampler.epoch(epoch))
    for batch in plan:
        assert set(modalities[batch[0]]) == {"visible"}
        assert set(modalities[batch[1]]) == {"infrared"}
        assert np.array_equal(pids[batch[0]], pids[batch[1]])
        blocks = pids[batch[0]].reshape(identities, images)
        assert (blocks == blocks[:, :1]).all()
        assert len(set(blocks[:, 0])) == identities


def test_epochs_of_the_real_data_sets_have_the_known_number_of_batches():
    for visible, infrared, expected in ((22258, 11909, 696), (2060, 2060, 65)):
        pids = np.concatenate([np.arange(visible) % 50, np.arange(infrared) % 50])
        modalities = np.array(["visible"] * visible + ["infrared"] * infrared, dtype=object)
        assert IdentitySampler(pids, modalities, SamplerRecipe(), seed=0).batches(0) == expected


def test_identities_and_images_are_drawn_uniformly():
    pids, modalities = make_rows([(2, 3)] * 5)
    recipe = SamplerRecipe(identities=2, images=2, batches_per_epoch=20000)
    plan = IdentitySampler(pids, modalities, recipe, seed=1).epoch(0)
    for code, images in ((0, 2), (1, 3)):
        counts = np.bincount(plan[:, code].ravel(), minlength=len(pids))[modalities == ("visible", "infrared")[code]]
        # Every image is drawn equally often, with standard deviation about 200 or 160 around the mean.
        mean = plan[:, code].size / (5 * images)
        assert np.abs(counts - mean).max() < 6 * np.sqrt(mean)
    # With replacement: both images of an identity are the same one in every second visible pair.
    pairs = plan[:, 0].reshape(-1, 2)
    assert abs((pairs[:, 0] == pairs[:, 1]).mean() - 0.5) < 0.02
    # Every unordered pair of identities is equally likely.
    chosen = np.sort(pids[plan[:, 0, ::2]], axis=1)
    _, frequency = np.unique(chosen, axis=0, return_counts=True)
    assert len(frequency) == 10 and np.abs(frequency - 2000).max() < 250


def test_seed_and_epoch_change_the_draw():
    pids, modalities = make_rows([(4, 4)] * 6)
    recipe = SamplerRecipe(identities=3, images=2)
    first = IdentitySampler(pids, modalities, recipe, seed=0)
    assert not np.array_equal(first.epoch(0), first.epoch(1))
    assert not np.array_equal(first.epoch(0), IdentitySampler(pids, modalities, recipe, seed=1).epoch(0))


def test_too_few_identities_are_refused():
    pids, modalities = make_rows([(2, 2)] * 3)
    with pytest.raises(UsageError, match=r"identities = 4: the training split has only 3 .*--set sampler.identities"):
        IdentitySampler(pids, modalities, SamplerRecipe(identities=4), seed=0)


def test_an_identity_of_one_modality_is_named():
    pids, modalities = make_rows([(2, 2), (2, 0), (1, 1)])
    with pytest.raises(UsageError, match=r"no infrared image of 1 identities \(pid 13\)"):
        IdentitySampler(pids, modalities, SamplerRecipe(identities=2), seed=0)
