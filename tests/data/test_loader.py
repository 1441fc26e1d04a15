"""The training loader: what a batch holds, and that it depends on seed, epoch and step alone."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from vibench.data.loader import TrainingLoader
from vibench.data.normalise import MEAN, STD, normalise
from vibench.data.sections import AugmentationRecipe, SamplerRecipe
from vibench.data.training_inputs import Attributes, Heatmaps, TrainingInputs
from vibench.methods.sections import Recipe
from vibench.nn.torchvision_ops import import_torchvision

PLAIN = AugmentationRecipe(pad=0, flip=0.0)
RECIPE = Recipe("m", "", "d", None, sampler=SamplerRecipe(identities=2, images=2), augmentation=PLAIN)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 32, 16, 3), dtype=np.uint8)


@pytest.fixture
def index() -> pd.DataFrame:
    """24 training images of the identities 7, 40 and 9, four per modality."""
    pids = np.repeat([40, 7, 9], 8)
    modality = ["visible", "infrared"] * 12
    return pd.DataFrame({"pid": pids, "camera": np.arange(24) % 6 + 1, "modality": modality})


def make_loader(
    images: np.ndarray,
    index: pd.DataFrame,
    recipe: Recipe = RECIPE,
    seed: int = 0,
    inputs: TrainingInputs | None = None,
    size: tuple[int, int] | None = None,
) -> TrainingLoader:
    # The training images lie in the cache in another order, between images of other splits.
    return TrainingLoader(images, np.arange(39, 15, -1), index, recipe, seed, torch.device("cpu"), inputs, size)


def make_inputs(channels: int = 1) -> TrainingInputs:
    """Attributes that spell the row of the index, and heatmaps whose first cell does; some are unknown."""
    rows = np.arange(24)
    bits = (rows[:, None] >> np.arange(8) & 1).astype(np.uint8)
    maps = np.random.default_rng(1).integers(0, 256, (24, channels, 8, 4), dtype=np.uint8)
    maps[:, :, 0, 0] = rows[:, None]
    return TrainingInputs(Attributes(bits, rows % 3 > 0), Heatmaps(maps, rows % 5 > 0))


def test_batches_hold_the_cached_images_with_their_labels(images: np.ndarray, index: pd.DataFrame):
    loader = make_loader(images, index)
    assert loader.batches(0) == 12 // 4 + 1 and loader.batch_size == 8
    assert loader.pids.tolist() == [7, 9, 40]
    normal = normalise(torch.from_numpy(images))
    batches = list(loader.epoch(0))
    assert len(batches) == loader.batches(0)
    for batch in batches:
        assert batch.images.shape == (8, 3, 32, 16)
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.modality.tolist() == [0] * 4 + [1] * 4
        assert torch.equal(batch.labels[:4], batch.labels[4:])
        for image, label, modality, camera in zip(
            batch.images, batch.labels, batch.modality, batch.cameras, strict=True
        ):
            (place,) = [row for row in range(40) if torch.equal(normal[row], image)]
            row = index.iloc[39 - place]
            assert loader.pids[label] == row["pid"]
            assert ("visible", "infrared")[modality] == row["modality"]
            assert camera == row["camera"]


def test_further_visible_views_are_the_same_images_augmented_anew(images: np.ndarray, index: pd.DataFrame):
    views = AugmentationRecipe(
        pad=4, erasing=0.5, visible_views=("none", "exchange"), infrared_channels="adaptive+grey"
    )
    loader = make_loader(images, index, dataclasses.replace(RECIPE, augmentation=views))
    assert loader.batch_size == 12
    coloured, copies = 0, 0
    for batch in loader.epoch(0):
        assert (len(batch), batch.visible_views) == (12, 2)
        assert batch.modality.tolist() == [0] * 8 + [1] * 4
        assert all(torch.equal(batch.labels[:4], part) for part in (batch.labels[4:8], batch.labels[8:]))
        assert torch.equal(batch.cameras[:4], batch.cameras[4:8])
        visible, infrared = batch.by_modality(batch.images)
        assert torch.equal(visible, batch.images[:8]) and torch.equal(infrared, batch.images[8:])
        # The second view has three equal channels, and another crop than the first.
        assert torch.equal(visible[4:], visible[4:, :1].expand_as(visible[4:]))
        coloured += sum(not torch.equal(image[0], image[1]) for image in visible[:4])
        copies += sum(
            any(torch.equal(channel, view[0]) for channel in image)
            for image, view in zip(visible[:4], visible[4:], strict=True)
        )
    assert coloured == 4 * loader.batches(0) and copies == 0


def test_views_do_not_change_what_else_is_drawn(images: np.ndarray, index: pd.DataFrame):
    plain, exchanged = (
        dataclasses.replace(RECIPE, augmentation=AugmentationRecipe(pad=4, visible_views=(operation,)))
        for operation in ("none", "exchange")
    )
    one, other = (next(make_loader(images, index, recipe).epoch(0)) for recipe in (plain, exchanged))
    assert torch.equal(one.images[4:], other.images[4:])
    for before, after in zip(one.images[:4], other.images[:4], strict=True):
        assert any(torch.equal(after, channel.expand(3, -1, -1)) for channel in before)


def test_greyscale_turns_images_of_either_modality_grey_before_normalisation(images: np.ndarray, index: pd.DataFrame):
    plain, grey = (
        dataclasses.replace(RECIPE, augmentation=AugmentationRecipe(pad=4, greyscale=probability))
        for probability in (0.0, 0.5)
    )
    pairs = zip(*(make_loader(images, index, recipe).epoch(0) for recipe in (plain, grey)), strict=True)
    changed = [
        not torch.equal(one, other)
        for before, after in pairs
        for one, other in zip(before.images, after.images, strict=True)
    ]
    blocks = np.array(changed).reshape(-1, 2, 4).sum(axis=(0, 2))
    assert blocks.min() > 0 and blocks.max() < len(changed) // 2
    (batch,) = (batch for step, batch in enumerate(make_loader(images, index, grey).epoch(0)) if step == 0)
    levels = (batch.images * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)) * 255
    equal = (levels - levels[:, :1]).abs().amax(dim=(1, 2, 3)) < 0.01
    assert equal.tolist() == changed[:8]


def test_the_recipe_names_the_sampler(images: np.ndarray, index: pd.DataFrame):
    recipe = dataclasses.replace(RECIPE, sampler=SamplerRecipe(2, 2, kind="exhaustive"))
    loader = make_loader(images, index, recipe)
    batches = list(loader.epoch(0))
    # Three identities with two blocks each, two a batch: three batches, or two if one identity is left over.
    assert len(batches) == loader.batches(0) and len(batches) in (2, 3)
    seen = [image.numpy().tobytes() for batch in batches for image in batch.images]
    assert len(set(seen)) == len(seen)


def test_an_epoch_can_be_entered_at_any_step(images: np.ndarray, index: pd.DataFrame):
    augmentation = AugmentationRecipe(pad=4, erasing=0.5, visible_views=("none", "exchange"))
    augmented = dataclasses.replace(RECIPE, augmentation=augmentation)
    whole = list(make_loader(images, index, augmented).epoch(2))
    for start in range(len(whole) + 1):
        rest = list(make_loader(images, index, augmented).epoch(2, start))
        assert len(rest) == len(whole) - start
        for one, other in zip(rest, whole[start:], strict=True):
            assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)


EVERYTHING = AugmentationRecipe(
    pad=4,
    pad_value=(127, 0, 9),
    greyscale=0.3,
    erasing=0.5,
    erasing_random_fill=True,
    visible_views=("none", "exchange+grey"),
    infrared_channels="adaptive",
)


def test_what_a_gpu_augments_is_what_a_cpu_does_to_the_bit(
    images: np.ndarray, index: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
):
    plain = AugmentationRecipe(pad=2)
    for augmentation in (EVERYTHING, plain):
        recipe = dataclasses.replace(RECIPE, augmentation=augmentation)
        here, there = (make_loader(images, index, recipe, inputs=make_inputs()) for _ in range(2))
        monkeypatch.setattr(there, "_augments_there", True)
        for one, other in zip(here.epoch(1), there.epoch(1), strict=True):
            assert torch.equal(one.images, other.images)
            assert one.images.stride() == other.images.stride()
            assert torch.equal(one.heatmaps, other.heatmaps)


@pytest.mark.parametrize("augments_there", [False, True])
def test_every_image_is_cropped_and_mirrored_as_torchvision_does_one_by_one(
    index: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, augments_there: bool
):
    """Crop and flip are read off images whose pixels say where they were, image by image."""
    height, width, pad = 32, 16, 2
    places = np.zeros((40, height, width, 3), dtype=np.uint8)
    places[..., 0], places[..., 1] = np.arange(height)[:, None], np.arange(width)
    recipe = dataclasses.replace(
        RECIPE,
        augmentation=AugmentationRecipe(pad=pad),
        sampler=SamplerRecipe(identities=2, images=2, batches_per_epoch=250),
    )
    loader = make_loader(places, index, recipe)
    monkeypatch.setattr(loader, "_augments_there", augments_there)

    def outcomes(pixels: np.ndarray) -> np.ndarray:
        """(B,) which of the 50 crops and flips happened, from rows and columns in the middle of (B, H, W, 3)."""
        middle = pixels[:, height // 2, width // 2 - 1 : width // 2 + 1].astype(int)
        flipped = middle[:, 0, 1] > middle[:, 1, 1]
        column = np.where(flipped, width // 2, width // 2 - 1)
        return ((middle[:, 0, 0] - height // 2 + pad) * 5 + middle[:, 0, 1] - column + pad) * 2 + flipped

    mean, std = (np.array(values) for values in (MEAN, STD))
    ours = np.stack(
        [outcomes(np.rint((batch.images.permute(0, 2, 3, 1).numpy() * std + mean) * 255)) for batch in loader.epoch(0)]
    )
    torchvision = import_torchvision()
    reference = torchvision.transforms.Compose(
        [
            torchvision.transforms.Pad(pad),
            torchvision.transforms.RandomCrop((height, width)),
            torchvision.transforms.RandomHorizontalFlip(),
        ]
    )
    torch.manual_seed(0)
    image = Image.fromarray(places[0])
    theirs = outcomes(np.stack([np.asarray(reference(image)) for _ in range(ours.size)]))
    ours_counts, their_counts = (np.bincount(found.ravel(), minlength=50) for found in (ours, theirs))
    statistic = ((ours_counts - their_counts) ** 2 / (ours_counts + their_counts)).sum()
    assert statistic < 85.4, "the 0.1 % point of chi-squared with 49 degrees of freedom"
    # Two images of one batch agree as seldom as any two do: one draw per image and not per batch.
    assert abs((ours[:, 1:] == ours[:, :-1]).mean() - 1 / 50) < 0.01


def test_epochs_steps_and_seeds_differ(images: np.ndarray, index: pd.DataFrame):
    augmented = dataclasses.replace(RECIPE, augmentation=AugmentationRecipe(pad=4))
    loader = make_loader(images, index, augmented)
    first, second = list(loader.epoch(0))[:2]
    others = (second, next(loader.epoch(1)), next(make_loader(images, index, augmented, seed=1).epoch(0)))
    assert not any(torch.equal(first.images, other.images) for other in others)


def test_an_abandoned_epoch_leaves_no_thread(images: np.ndarray, index: pd.DataFrame):
    before = threading.active_count()
    batches = make_loader(images, index, dataclasses.replace(RECIPE, sampler=SamplerRecipe(2, 2, 1000))).epoch(0)
    next(batches)
    assert threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before


def test_an_error_of_the_background_thread_reaches_the_caller(images: np.ndarray, index: pd.DataFrame):
    loader = TrainingLoader(images, np.full(24, 1000), index, RECIPE, 0, torch.device("cpu"))
    with pytest.raises(IndexError):
        next(loader.epoch(0))


def test_inputs_are_those_of_the_batches_images(images: np.ndarray, index: pd.DataFrame):
    inputs = make_inputs()
    views = dataclasses.replace(PLAIN, visible_views=("none", "none"))
    recipe = dataclasses.replace(RECIPE, augmentation=views)
    normal = normalise(torch.from_numpy(images))
    for batch in make_loader(images, index, recipe, inputs=inputs).epoch(0):
        assert batch.attributes.shape == (12, 8) and batch.attributes.dtype == torch.float32
        assert batch.heatmaps.shape == (12, 1, 8, 4) and batch.heatmaps.dtype == torch.float32
        for i, image in enumerate(batch.images):
            (place,) = [place for place in range(40) if torch.equal(normal[place], image)]
            row = 39 - place
            assert batch.attributes[i].tolist() == inputs.attributes.bits[row].tolist()
            assert batch.attributes_known[i] == (row % 3 > 0)
            assert torch.equal(batch.heatmaps[i] * 255, torch.from_numpy(inputs.heatmaps.maps[row]).float())
            assert batch.heatmaps_known[i] == (row % 5 > 0)


def test_inputs_change_nothing_else_in_a_batch(images: np.ndarray, index: pd.DataFrame):
    augmentation = AugmentationRecipe(pad=4, erasing=0.5, erase_heatmap="independent", visible_views=("exchange",))
    recipe = dataclasses.replace(RECIPE, augmentation=augmentation)
    plain = list(make_loader(images, index, recipe).epoch(1))
    needing = list(make_loader(images, index, recipe, inputs=make_inputs()).epoch(1))
    for one, other in zip(plain, needing, strict=True):
        assert torch.equal(one.images, other.images) and torch.equal(one.labels, other.labels)
        assert one.attributes is one.attributes_known is one.heatmaps is one.heatmaps_known is None


def test_heatmaps_are_augmented_as_their_images(images: np.ndarray, index: pd.DataFrame):
    """Heatmaps made of the images themselves, four pixels a cell, still are theirs after crop and flip."""
    smooth = np.repeat(np.repeat(images[:, ::8, ::8], 8, axis=1), 8, axis=2)
    means = smooth.reshape(40, 8, 4, 4, 4, 3).mean(axis=(2, 4))[..., 0].round().astype(np.uint8)
    inputs = TrainingInputs(heatmaps=Heatmaps(means[np.arange(39, 15, -1)][:, None], np.ones(24, dtype=bool)))
    recipe = dataclasses.replace(RECIPE, augmentation=AugmentationRecipe(pad=4))
    correlations = []
    for batch in make_loader(smooth, index, recipe, inputs=inputs).epoch(0):
        red = (batch.images[:, 0] * STD[0] + MEAN[0]).view(8, 8, 4, 4, 4).mean(dim=(2, 4))
        pairs = zip(red.flatten(1), batch.heatmaps.flatten(1), strict=True)
        correlations += [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in pairs]
    assert min(correlations) > 0.9


@pytest.mark.parametrize("mode", ["none", "same", "independent"])
def test_the_recipe_says_how_heatmaps_are_erased(images: np.ndarray, index: pd.DataFrame, mode: str):
    augmentation = dataclasses.replace(PLAIN, erasing=1.0, erase_heatmap=mode, erasing_fill=(9.0, 9.0, 9.0))
    recipe = dataclasses.replace(RECIPE, augmentation=augmentation)
    ones = TrainingInputs(heatmaps=Heatmaps(np.full((24, 1, 8, 4), 255, dtype=np.uint8), np.ones(24, dtype=bool)))
    loader = make_loader(images, index, recipe, inputs=ones)
    erased, same = 0, 0
    for batch in loader.epoch(0):
        hidden = batch.images[:, 0, 2::4, 2::4] == 9.0
        missing = batch.heatmaps[:, 0] == 0
        erased += int(missing.sum())
        same += int((missing == hidden).all(dim=(1, 2)).sum())
    drawn = loader.batches(0) * 8
    if mode == "none":
        assert erased == 0
    elif mode == "same":
        assert erased > 0 and same == drawn
    else:
        assert erased > 0 and same < drawn / 2


def test_an_epoch_with_inputs_can_be_entered_at_any_step(images: np.ndarray, index: pd.DataFrame):
    augmentation = AugmentationRecipe(pad=4, erasing=0.5, erase_heatmap="independent")
    recipe = dataclasses.replace(RECIPE, augmentation=augmentation)
    whole = list(make_loader(images, index, recipe, inputs=make_inputs(17)).epoch(2))
    rest = list(make_loader(images, index, recipe, inputs=make_inputs(17)).epoch(2, 2))
    for one, other in zip(rest, whole[2:], strict=True):
        assert torch.equal(one.heatmaps, other.heatmaps) and torch.equal(one.attributes, other.attributes)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_batches_are_the_same_on_cuda(images: np.ndarray, index: pd.DataFrame):
    recipe = dataclasses.replace(RECIPE, augmentation=EVERYTHING)
    inputs = make_inputs()
    on_cuda = TrainingLoader(images, np.arange(39, 15, -1), index, recipe, 0, torch.device("cuda"), inputs)
    on_cpu = make_loader(images, index, recipe, inputs=inputs)
    for one, other in zip(on_cpu.epoch(0), on_cuda.epoch(0), strict=True):
        torch.testing.assert_close(one.images, other.images.cpu(), atol=1e-6, rtol=0)
        assert torch.equal(one.labels, other.labels.cpu()) and torch.equal(one.cameras, other.cameras.cpu())
        for name in ("attributes", "attributes_known", "heatmaps", "heatmaps_known"):
            assert torch.equal(getattr(one, name), getattr(other, name).cpu())


@pytest.mark.parametrize("there", [False, True])
def test_images_of_another_size_are_resized_as_they_leave_the_cache(
    images: np.ndarray, index: pd.DataFrame, there: bool
):
    loader = make_loader(images, index, size=(24, 20))
    loader._augments_there = there
    whole = np.stack(
        [np.asarray(Image.fromarray(image).resize((20, 24), Image.Resampling.BILINEAR)) for image in images]
    )
    for batch, expected in zip(loader.epoch(0), make_loader(whole, index).epoch(0), strict=True):
        assert torch.equal(batch.images, expected.images)


@pytest.mark.parametrize("there", [False, True])
def test_visible_images_are_grey_in_the_first_epochs_alone(images: np.ndarray, index: pd.DataFrame, there: bool):
    plain = list(make_loader(images, index).epoch(1))
    recipe = dataclasses.replace(RECIPE, augmentation=dataclasses.replace(PLAIN, visible_grey_epochs=2))
    loader = make_loader(images, index, recipe)
    loader._augments_there = there
    for batch, colour in zip(loader.epoch(1), plain, strict=True):
        pixels = ((batch.images * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]) * 255).round()
        visible, _ = batch.by_modality(pixels)
        assert (visible == visible[:, :1]).all() and visible.std() > 0
        assert torch.equal(batch.by_modality(batch.images)[1], colour.by_modality(colour.images)[1])
    later = list(zip(loader.epoch(2), make_loader(images, index).epoch(2), strict=True))
    assert later and all(torch.equal(batch.images, colour.images) for batch, colour in later)
