"""The sampler that runs an epoch to exhaustion, against what its definition says."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import vibench.datasets
from tests.data.test_sampler import make_rows
from vibench.data.exhaustive_sampler import ExhaustiveSampler
from vibench.data.sections import SamplerRecipe
from vibench.errors import UsageError


@settings(max_examples=60)
@given(
    counts=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=9),
    identities=st.integers(2, 4),
    images=st.integers(1, 3),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 100),
)
def test_an_epoch_takes_blocks_until_fewer_than_p_identities_have_one(counts, identities, images, seed, epoch):
    blocks = {10 * i + 3: min(pair) // images for i, pair in enumerate(counts)}
    pids, modalities = make_rows(counts, shuffle=seed % 7)
    recipe = SamplerRecipe(identities, images, kind="exhaustive")
    if sum(n > 0 for n in blocks.values()) < identities:
        with pytest.raises(UsageError, match="identities of the training split have"):
            ExhaustiveSampler(pids, modalities, recipe, seed)
        return
    sampler = ExhaustiveSampler(pids, modalities, recipe, seed)
    plan = sampler.epoch(epoch)
    assert plan.shape == (sampler.batches(epoch), 2, identities * images)
    assert np.array_equal(plan, sampler.epoch(epoch))
    for code, modality in enumerate(("visible", "infrared")):
        rows = plan[:, code].ravel()
        assert set(modalities[rows]) == {modality}
        assert len(set(rows)) == len(rows), "an image twice in an epoch"
    taken: Counter = Counter()
    for batch in plan:
        assert np.array_equal(pids[batch[0]], pids[batch[1]])
        groups = pids[batch[0]].reshape(identities, images)
        assert (groups == groups[:, :1]).all() and len(set(groups[:, 0])) == identities
        # Another batch was still possible before this one, and none is after the last.
        assert sum(taken[pid] < n for pid, n in blocks.items()) >= identities
        taken.update(groups[:, 0].tolist())
    assert all(taken[pid] <= n for pid, n in blocks.items())
    assert sum(taken[pid] < n for pid, n in blocks.items()) < identities


def sysu_training_counts() -> list[tuple[int, int]]:
    counts: dict[int, list[int]] = {}
    with (Path(vibench.datasets.__file__).parent / "sysu_mm01_skeleton.csv").open(newline="") as table:
        for row in csv.DictReader(table):
            if row["split"] in ("train", "val"):
                pair = counts.setdefault(int(row["pid"]), [0, 0])
                pair[row["camera"] in ("3", "6")] += int(row["images"])
    return [(visible, infrared) for visible, infrared in counts.values()]


def test_epochs_of_the_real_data_sets_have_the_known_number_of_batches():
    pids, modalities = make_rows(sysu_training_counts())
    assert len(pids) == 22258 + 11909
    sampler = ExhaustiveSampler(pids, modalities, SamplerRecipe(16, 4, kind="exhaustive"), seed=0)
    assert {sampler.batches(epoch) for epoch in range(20)} <= {182, 183}
    pids, modalities = make_rows([(10, 10)] * 206)
    sampler = ExhaustiveSampler(pids, modalities, SamplerRecipe(12, 5, kind="exhaustive"), seed=0)
    assert Counter(sampler.batches(epoch) for epoch in range(20)).most_common(1)[0][0] == 34


def test_images_and_their_partners_are_shuffled():
    pids, modalities = make_rows([(3, 7)] * 3)
    sampler = ExhaustiveSampler(pids, modalities, SamplerRecipe(2, 3, kind="exhaustive"), seed=1)
    drawn = Counter(row for epoch in range(2000) for row in sampler.epoch(epoch)[0, 1].tolist())
    # The first batch takes two of three identities and three of their seven infrared images: 2/3 * 3/7.
    infrared = np.flatnonzero(modalities == "infrared")
    assert set(drawn) == set(infrared.tolist())
    assert all(abs(count / 2000 - 2 / 7) < 0.06 for count in drawn.values())


def test_a_number_of_batches_is_as_many_passes_as_it_takes():
    pids, modalities = make_rows([(4, 4)] * 6)
    whole = ExhaustiveSampler(pids, modalities, SamplerRecipe(3, 2, kind="exhaustive"), seed=0)
    length = whole.batches(0)
    for wanted in (1, length, 3 * length + 1):
        recipe = SamplerRecipe(3, 2, batches_per_epoch=wanted, kind="exhaustive")
        sampler = ExhaustiveSampler(pids, modalities, recipe, seed=0)
        plan = sampler.epoch(0)
        assert len(plan) == sampler.batches(0) == wanted
        assert np.array_equal(plan[:length], whole.epoch(0)[:wanted])
    assert not np.array_equal(plan[:length], plan[length : 2 * length])


def test_seed_and_epoch_change_the_draw():
    pids, modalities = make_rows([(4, 4)] * 6)
    recipe = SamplerRecipe(3, 2, kind="exhaustive")
    first = ExhaustiveSampler(pids, modalities, recipe, seed=0)
    others = (first.epoch(1), ExhaustiveSampler(pids, modalities, recipe, seed=1).epoch(0))
    assert not any(np.array_equal(first.epoch(0), other) for other in others)


def test_too_few_images_are_refused():
    pids, modalities = make_rows([(4, 4), (4, 3), (9, 2)])
    with pytest.raises(UsageError, match=r"only 1 identities .* have 4 images of either modality; .*sampler.images=K"):
        ExhaustiveSampler(pids, modalities, SamplerRecipe(2, 4, kind="exhaustive"), seed=0)
    with pytest.raises(UsageError, match=r"no infrared image of 1 identities \(pid 3\)"):
        ExhaustiveSampler(*make_rows([(2, 0), (1, 1), (1, 1)]), SamplerRecipe(2, 1, kind="exhaustive"), seed=0)
