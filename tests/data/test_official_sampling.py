"""The batches of an epoch on SYSU-MM01 and RegDB against what the official codes' samplers draw.

`SHEETS` holds batch sizes, kinds and lengths of an epoch as the official codes have them (the papers, where there is
none), typed here and not read from the recipes. The images are known by name: no copy of a data set is needed. An
epoch is a function of seed and epoch, so that its random numbers can be drawn a second time; a literal sampler, one
identity and image at a time, then gives equal batches. What it gives is counted as well, with its own random numbers.
"""

from __future__ import annotations

import math
import random as python_random
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vibench.data.exhaustive_sampler import ExhaustiveSampler
from vibench.data.loader import SAMPLERS, TrainingLoader
from vibench.data.sampler import IdentitySampler
from vibench.data.sections import SamplerRecipe
from vibench.datasets import regdb, sysu_mm01
from vibench.datasets.matlab import read_variable
from vibench.methods.recipe import load_recipe
from vibench.methods.sections import Recipe
from vibench.runtime.randomness import generator

SEED = 11


@dataclass(frozen=True)
class Sheet:
    """One epoch of an official code."""

    identities: int
    """P, identities of a batch."""
    images: int
    """K, images of an identity and modality."""
    batches: tuple[int, ...]
    """How many batches an epoch may have."""
    kind: str = "with-replacement"
    """Whether a batch may hold an image twice, or an epoch."""


def code_line(identities: int, images: int, batches: int) -> Sheet:
    """mangye16/Cross-Modal-Re-ID-baseline and its descendants."""
    return Sheet(identities, images, (batches,))


SHEETS = {
    **{
        (name, dataset): code_line(8, 4, batches)
        for name in ("agw", "baseline", "ddag", "caj", "paenet:agw-pae-aal", "paenet:ddag-pae-aal")
        for dataset, batches in (("sysu-mm01", 696), ("regdb", 65))
    },
    # hijune6/Hetero-center-triplet-loss-for-VT-Re-ID: another batch on either data set.
    **{(name, "sysu-mm01"): code_line(6, 8, 464) for name in ("hct", "paenet:hct-pae-aal")},
    **{(name, "regdb"): code_line(8, 4, 65) for name in ("hct", "paenet:hct-pae-aal")},
    # vcl-iisc/MMD-ReID and aihuazheng/PAENet. There is no command for RegDB.
    **{(name, "sysu-mm01"): code_line(4, 4, 1392) for name in ("mmd", "paenet")},
    **{(name, "regdb"): code_line(4, 4, 129) for name in ("mmd", "paenet")},
    # ZYK100/LLCM, folder DEEN.
    ("deen", "sysu-mm01"): code_line(6, 4, 928),
    ("deen", "regdb"): code_line(6, 4, 86),
    # DoubtedSteam/MPANet: every image once at most; 181 batches are rare. Its sampler says 86 and 17 before a pass.
    **{
        (name, "sysu-mm01"): Sheet(16, 4, (181, 182, 183), "exhaustive") for name in ("mpanet", "paenet:mpanet-pae-aal")
    },
    **{(name, "regdb"): Sheet(12, 5, (33, 34), "exhaustive") for name in ("mpanet", "paenet:mpanet-pae-aal")},
    # No official code: batches of 64, and max(visible, infrared) / 32 of them.
    **{(name, "sysu-mm01"): code_line(8, 4, 696) for name in ("cm-ssft", "cal")},
    **{(name, "regdb"): code_line(8, 4, 65) for name in ("cm-ssft", "cal")},
    # hulu88/PMT: as many batches as the code line, and no image twice in a batch.
    ("pmt", "sysu-mm01"): Sheet(8, 4, (696,), "distinct"),
    ("pmt", "regdb"): Sheet(8, 4, (65,), "distinct"),
    # Pose: the paper says 8 identities, and not whether images repeat; yoqim/Pose_VIReID has 16 and no image twice.
    ("pose", "sysu-mm01"): code_line(8, 4, 696),
    ("pose", "regdb"): code_line(8, 4, 65),
    ("pose:code", "sysu-mm01"): Sheet(16, 4, (348,), "distinct"),
    ("pose:code-regdb", "regdb"): Sheet(16, 4, (33,), "distinct"),
}
"""By method, or method:variant, and data set."""

CASES = [pytest.param(name, dataset, id=f"{name}-{dataset}") for name, dataset in SHEETS]
FORMS = [
    pytest.param(dataset, sheet, id=f"{dataset}-{sheet.kind}-{sheet.identities}x{sheet.images}")
    for dataset, sheet in dict.fromkeys((dataset, sheet) for (_, dataset), sheet in SHEETS.items())
]
"""The different epochs among them."""


@lru_cache(maxsize=2)
def training_images(dataset: str) -> pd.DataFrame:
    """The index of what methods train on, from names alone."""
    if dataset == "regdb":
        # Which 206 of the 412 identities does not matter; every one has ten images of either modality.
        pids = np.random.default_rng(0).permutation(412)[:206] + 1
        names = [
            f"{folder}/{pid}/male_back_{folder[0].lower()}_{number:05d}_{pid}.bmp"
            for folder in ("Visible", "Thermal")
            for pid in sorted(pids.tolist())
            for number in range(10)
        ]
        return regdb.index_from_names(names)
    skeleton = sysu_mm01.sysu_skeleton()
    rows = skeleton[skeleton["split"].isin(("train", "val"))].itertuples(index=False)
    names = [f"cam{row.camera}/{row.pid:04d}/{at:04d}.jpg" for row in rows for at in range(1, row.images + 1)]
    return sysu_mm01.index_from_names(names)


def columns(dataset: str) -> tuple[np.ndarray, np.ndarray]:
    images = training_images(dataset)
    return images["pid"].to_numpy(dtype=np.int64), images["modality"].to_numpy(dtype=object)


@lru_cache(maxsize=64)
def sampler_of(dataset: str, sheet: Sheet) -> IdentitySampler | ExhaustiveSampler:
    recipe = SamplerRecipe(sheet.identities, sheet.images, kind=sheet.kind)
    return SAMPLERS[sheet.kind](*columns(dataset), recipe, SEED)


@lru_cache(maxsize=64)
def epoch_of(dataset: str, sheet: Sheet, epoch: int = 0) -> np.ndarray:
    return sampler_of(dataset, sheet).epoch(epoch)


@lru_cache(maxsize=2)
def images_by_identity(dataset: str) -> dict[int, tuple[list[int], list[int]]]:
    """The rows of every identity, visible and infrared, in the order of the index; identities ascending."""
    found: dict[int, tuple[list[int], list[int]]] = {}
    pids, modalities = columns(dataset)
    for row, (pid, modality) in enumerate(zip(pids.tolist(), modalities, strict=True)):
        found.setdefault(pid, ([], []))[("visible", "infrared").index(modality)].append(row)
    return dict(sorted(found.items()))


# Lengths.


def test_the_training_images_are_those_of_the_data_sets(shared: Path):
    pids, modalities = columns("sysu-mm01")
    assert Counter(modalities) == {"visible": 22258, "infrared": 11909} and len(set(pids)) == 395
    train = set(read_variable(shared / "sysu-mm01" / "train_id.mat", "id").ravel().astype(int).tolist())
    assert len(train) == 296 and train < set(pids.tolist())
    pids, modalities = columns("regdb")
    assert Counter(modalities) == {"visible": 2060, "infrared": 2060} and len(set(pids)) == 206


@pytest.mark.parametrize(("name", "dataset"), CASES)
def test_an_epoch_has_as_many_batches_as_in_the_official_code(name: str, dataset: str):
    sheet = SHEETS[name, dataset]
    method, _, variant = name.partition(":")
    recipe = load_recipe(method, variant, dataset)
    assert (recipe.sampler.identities, recipe.sampler.images) == (sheet.identities, sheet.images)
    assert recipe.sampler.kind == sheet.kind
    loader = loader_of(recipe, dataset)
    assert {loader.batches(epoch) for epoch in range(8)} <= set(sheet.batches)
    assert loader.batch_size == sheet.identities * sheet.images * (3 if method == "caj" else 2)


def loader_of(recipe: Recipe, dataset: str) -> TrainingLoader:
    images = training_images(dataset)
    nothing = np.zeros((1, 32, 16, 3), dtype=np.uint8)
    return TrainingLoader(nothing, np.zeros(len(images)), images, recipe, SEED, torch.device("cpu"))


def test_lengths_follow_from_the_counts():
    """The code line has one batch more than fit, also where all fit: a rounding up would have one less there."""
    for (_, dataset), sheet in SHEETS.items():
        larger = max(Counter(columns(dataset)[1]).values())
        if sheet.kind != "exhaustive":
            assert sheet.batches == (larger // (sheet.identities * sheet.images) + 1,)
    pids, modalities = np.repeat(np.arange(16), 8), np.array(["visible", "infrared"] * 64, dtype=object)
    for kind in ("with-replacement", "distinct"):
        assert SAMPLERS[kind](pids, modalities, SamplerRecipe(8, 4, kind=kind), 0).batches(0) == 64 // 32 + 1


def test_mpanets_epochs_have_182_and_34_batches_on_average():
    """As many as a literal sampler gives with random numbers of its own, and twice what it says of itself."""
    for dataset, expected in (("sysu-mm01", 182), ("regdb", 34)):
        sheet = SHEETS["mpanet", dataset]
        sampler = sampler_of(dataset, sheet)
        ours = np.array([sampler.batches(epoch) for epoch in range(40)])
        luck = python_random.Random(0)
        theirs = np.array([len(exhaustive_epoch(dataset, sheet, luck)) for _ in range(40)])
        assert np.rint(ours.mean()) == np.rint(theirs.mean()) == expected
        assert abs(ours.mean() - theirs.mean()) < 0.3
        assert expected > 1.9 * {"sysu-mm01": 86, "regdb": 17}[dataset]


# Literal samplers, with the random numbers of the epoch drawn again.

Batch = list[tuple[int, list[int], list[int]]]
"""Identity by identity: its number, its visible and its infrared rows."""


def rows_of(batches: list[Batch]) -> np.ndarray:
    """(batches, 2, P*K), as samplers give them."""
    return np.array([[[row for one in batch for row in one[code]] for code in (1, 2)] for batch in batches])


def replayed_code_line(dataset: str, sheet: Sheet, epoch: int) -> list[Batch]:
    """Every batch P identities without replacement, and K images of either modality of each, with or without."""
    images = images_by_identity(dataset)
    (count,) = sheet.batches
    random = generator(SEED, "sampler", epoch)
    keys = random.random((count, len(images)))
    places = random.random((count, 2, sheet.identities, sheet.images))
    batches = []
    for of_identities, of_images in zip(keys, places, strict=True):
        batch: Batch = []
        for pid in [pid for _, pid in sorted(zip(of_identities, images, strict=True))][: sheet.identities]:
            chosen = []
            for modality, rows in enumerate(images[pid]):
                left, taken = list(rows), []
                for place in of_images[modality, len(batch)]:
                    taken.append(left[int(place * len(left))])
                    if sheet.kind == "distinct":
                        left.remove(taken[-1])
                chosen.append(taken)
            batch.append((pid, *chosen))
        batches.append(batch)
    return batches


def replayed_exhaustive(dataset: str, sheet: Sheet, epoch: int) -> list[Batch]:
    """Blocks of K images of either modality, shuffled, without replacement, until P identities have none left."""
    images = images_by_identity(dataset)
    random = generator(SEED, "sampler", epoch, 0)
    blocks = {pid: min(map(len, rows)) // sheet.images for pid, rows in images.items()}
    drawn: list[list[int]] = []
    while len(left := [pid for pid, number in blocks.items() if number > 0]) >= sheet.identities:
        drawn.append(random.choice(left, sheet.identities, replace=False).tolist())
        for pid in drawn[-1]:
            blocks[pid] -= 1
    shuffled: dict[int, list[list[int]]] = {pid: [] for pid in images}
    for modality in (0, 1):
        for pid, rows in images.items():
            keys = random.random(len(rows[modality]))
            shuffled[pid].append([row for _, row in sorted(zip(keys, rows[modality], strict=True))])
    return [[(pid, *(_taken_off(rows, sheet.images) for rows in shuffled[pid])) for pid in batch] for batch in drawn]


def _taken_off(rows: list[int], count: int) -> list[int]:
    taken, rows[:] = rows[:count], rows[count:]
    return taken


@pytest.mark.parametrize(("dataset", "sheet"), FORMS)
def test_batches_are_those_of_the_literal_sampler(dataset: str, sheet: Sheet):
    literal = replayed_exhaustive if sheet.kind == "exhaustive" else replayed_code_line
    np.testing.assert_array_equal(epoch_of(dataset, sheet, 3), rows_of(literal(dataset, sheet, 3)))


# Distributions: what is counted of several epochs, also of those of literal samplers with random numbers of their own.

EPOCHS = 6


def code_line_epoch(dataset: str, sheet: Sheet, luck: python_random.Random) -> list[Batch]:
    images = images_by_identity(dataset)
    pids = list(images)
    draw = luck.sample if sheet.kind == "distinct" else luck.choices
    return [
        [(pid, *(draw(rows, k=sheet.images) for rows in images[pid])) for pid in luck.sample(pids, sheet.identities)]
        for _ in range(sheet.batches[0])
    ]


def exhaustive_epoch(dataset: str, sheet: Sheet, luck: python_random.Random) -> list[Batch]:
    left = {}
    for pid, rows in images_by_identity(dataset).items():
        fewer = min(map(len, rows))
        both = [luck.sample(of_modality, fewer) for of_modality in rows]
        if fewer >= sheet.images:
            left[pid] = both
    batches = []
    while len(left) >= sheet.identities:
        chosen = luck.sample(list(left), sheet.identities)
        batches.append([(pid, *(_taken_off(rows, sheet.images) for rows in left[pid])) for pid in chosen])
        for pid in chosen:
            if len(left[pid][0]) < sheet.images:
                del left[pid]
    return batches


@lru_cache(maxsize=32)
def literal_epochs(dataset: str, sheet: Sheet) -> list[np.ndarray]:
    luck = python_random.Random(1)
    draw = exhaustive_epoch if sheet.kind == "exhaustive" else code_line_epoch
    return [rows_of(draw(dataset, sheet, luck)) for _ in range(EPOCHS)]


def epochs_of(dataset: str, sheet: Sheet) -> list[np.ndarray]:
    return [epoch_of(dataset, sheet, epoch) for epoch in range(EPOCHS)]


def identities_of(dataset: str, sheet: Sheet, epoch: np.ndarray) -> np.ndarray:
    """(batches, P) places of the identities among all, of an epoch (batches, 2, P*K)."""
    pids = columns(dataset)[0]
    return np.unique(pids, return_inverse=True)[1].reshape(-1)[epoch[:, 0, :: sheet.images]]


def repeats(dataset: str, sheet: Sheet, epochs: list[np.ndarray]) -> np.ndarray:
    """(epochs, identities): in how many batches of each epoch an identity is."""
    count = len(images_by_identity(dataset))
    return np.stack([np.bincount(identities_of(dataset, sheet, one).ravel(), minlength=count) for one in epochs])


@pytest.mark.parametrize(("dataset", "sheet"), FORMS)
def test_identities_repeat_as_with_the_literal_sampler(dataset: str, sheet: Sheet):
    """Notices a sampler that deals identities out evenly where batches are independent, and the other way round."""
    ours, theirs = (repeats(dataset, sheet, epochs(dataset, sheet)) for epochs in (epochs_of, literal_epochs))
    top = max(ours.max(), theirs.max()) + 1
    histograms = np.stack([np.bincount(found.ravel(), minlength=top) for found in (ours, theirs)]).astype(float)
    seen = histograms.sum(axis=0)
    bins = seen > 0
    statistic = ((histograms[0] - histograms[1])[bins] ** 2 / seen[bins]).sum()
    assert statistic < bins.sum() + 4.5 * math.sqrt(2 * bins.sum())
    assert abs(ours.mean() - theirs.mean()) < 0.02 * theirs.mean()
    assert abs(ours.std() - theirs.std()) < 0.1 * theirs.std() + 0.05
    if sheet.kind == "exhaustive":
        # Of all identities but the P - 1 that are left over at most, every block is shown.
        fewer = [min(map(len, rows)) // sheet.images for rows in images_by_identity(dataset).values()]
        assert (ours <= fewer).all() and ((ours < fewer).sum(axis=1) < sheet.identities).all()
    else:
        # The number of batches that an identity is in is binomial.
        share = sheet.identities / ours.shape[1]
        (batches,) = sheet.batches
        freedom = ours.size
        statistic = ((ours - batches * share) ** 2 / (batches * share * (1 - share))).sum()
        assert abs(statistic - freedom) < 6 * math.sqrt(2 * freedom)


@pytest.mark.parametrize(("dataset", "sheet"), FORMS)
def test_a_batch_shares_as_many_identities_with_the_next_as_with_the_literal_sampler(dataset: str, sheet: Sheet):
    """Notices identities that wait for all others before they return."""
    shared = []
    for epochs in (epochs_of(dataset, sheet), literal_epochs(dataset, sheet)):
        places = [identities_of(dataset, sheet, one) for one in epochs]
        assert all(len(set(batch)) == sheet.identities for one in places for batch in one.tolist())
        shared.append(
            [len(set(a) & set(b)) for one in places for a, b in zip(one.tolist(), one[1:].tolist(), strict=False)]
        )
    ours, theirs = map(np.array, shared)
    error = math.sqrt(ours.var() / len(ours) + theirs.var() / len(theirs))
    assert abs(ours.mean() - theirs.mean()) < 4.5 * error
    if sheet.kind != "exhaustive":
        expected = sheet.identities**2 / len(images_by_identity(dataset))
        assert abs(ours.mean() - expected) < 4.5 * ours.std() / math.sqrt(len(ours))


@pytest.mark.parametrize(("dataset", "sheet"), FORMS)
def test_every_image_of_an_identity_is_drawn_equally_often(dataset: str, sheet: Sheet):
    """Notices an image that is never drawn, the first or the last, and draws with replacement where there are none."""
    epochs = epochs_of(dataset, sheet)
    of_identity = repeats(dataset, sheet, epochs) * sheet.images
    for modality in (0, 1):
        drawn = np.stack([np.bincount(one[:, modality].ravel(), minlength=len(columns(dataset)[0])) for one in epochs])
        statistic, rows_counted = 0.0, 0
        for place, rows in enumerate(images_by_identity(dataset).values()):
            size = len(rows[modality])
            takes = of_identity[:, place]
            assert (drawn[:, rows[modality]].sum(axis=1) == takes).all()
            # The variance of an image's count: K of n at a time, or one, or all of the epoch's at once.
            at_once = {"with-replacement": np.ones_like(takes), "distinct": np.full_like(takes, sheet.images)}
            group = at_once.get(sheet.kind, takes)
            variance = (takes / size * (1 - group / size)).sum()
            if variance > 0:
                found = drawn[:, rows[modality]].sum(axis=0)
                statistic += ((found - takes.sum() / size) ** 2).sum() / variance
                rows_counted += size
        if rows_counted:
            assert abs(statistic - rows_counted) < 7 * math.sqrt(2 * rows_counted)


@pytest.mark.parametrize(("dataset", "sheet"), FORMS)
def test_images_return_in_a_batch_as_often_as_the_official_code_lets_them(dataset: str, sheet: Sheet):
    for modality in (0, 1):
        different, expected, groups = 0, 0.0, 0
        sizes = np.array([len(rows[modality]) for rows in images_by_identity(dataset).values()])
        for epoch in epochs_of(dataset, sheet):
            if sheet.kind == "exhaustive":
                assert len(set(epoch[:, modality].ravel().tolist())) == epoch[:, modality].size
            of_groups = np.sort(epoch[:, modality].reshape(-1, sheet.images), axis=1)
            different += int((of_groups[:, 1:] != of_groups[:, :-1]).all(axis=1).sum())
            chosen = sizes[identities_of(dataset, sheet, epoch).ravel()]
            expected += float(np.prod([1 - taken / chosen for taken in range(sheet.images)], axis=0).sum())
            groups += len(of_groups)
        if sheet.kind == "with-replacement":
            # Half of the groups on RegDB, where four of ten images are drawn.
            share = expected / groups
            assert abs(different / groups - share) < 4.5 * math.sqrt(share * (1 - share) / groups)
        else:
            assert different == groups


@pytest.mark.parametrize(("dataset", "sheet"), FORMS)
def test_visible_and_infrared_images_are_drawn_independently(dataset: str, sheet: Sheet):
    """Notices a sampler that draws both by the same random numbers: image i of one with image i of the other."""
    place = np.zeros(len(columns(dataset)[0]))
    size = np.zeros_like(place)
    for pair in images_by_identity(dataset).values():
        for rows in pair:
            place[rows], size[rows] = np.arange(len(rows)), len(rows)
    visible, infrared = np.concatenate(epochs_of(dataset, sheet)).swapaxes(0, 1).reshape(2, -1)
    pids = columns(dataset)[0]
    assert (pids[visible] == pids[infrared]).all()
    shares = (place + 0.5) / size
    count = len(visible)
    assert abs(np.corrcoef(shares[visible], shares[infrared])[0, 1]) < 4.5 / math.sqrt(count)
    # Also against the partner of the image before and behind it.
    for shift in (1, -1):
        table = np.corrcoef(shares[visible], np.roll(shares[infrared], shift))
        assert abs(table[0, 1]) < 4.5 / math.sqrt(count)
    equal = (place[visible] == place[infrared]).mean()
    expected = (1 / np.maximum(size[visible], size[infrared])).mean()
    assert abs(equal - expected) < 4.5 * math.sqrt(expected / count)
