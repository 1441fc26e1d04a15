"""Augmentation: against an image-by-image reference, and the distributions of what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from vibench.data.augmentation import (
    BLACK,
    AugmentationDraw,
    Colour,
    crop_and_flip,
    crop_and_flip_there,
    draw_augmentation,
    erase,
)
from vibench.data.normalise import MEAN, STD, normalise
from vibench.data.sections import AugmentationRecipe


def reference_crop(image: np.ndarray, pad: int, top: int, left: int, flip: bool, colour: Colour) -> np.ndarray:
    """Pad, crop, flip with Pillow, one image at a time."""
    height, width = image.shape[:2]
    padded = ImageOps.expand(Image.fromarray(image), border=pad, fill=colour)
    crop = padded.crop((left, top, left + width, top + height))
    return np.asarray(ImageOps.mirror(crop) if flip else crop)


@pytest.mark.parametrize(("pad", "colour"), [(0, BLACK), (3, BLACK), (10, BLACK), (3, (127,) * 3), (3, (127, 0, 9))])
def test_crop_and_flip_equals_the_reference_everywhere(pad, colour):
    random = np.random.default_rng(pad)
    images = random.integers(0, 256, (5, 24, 12, 3), dtype=np.uint8)
    places = np.arange(2 * pad + 1)
    top, left = (grid.ravel() for grid in np.meshgrid(places, places))
    rows = random.integers(0, 5, len(top))
    flip = random.random(len(top)) < 0.5
    draw = AugmentationDraw(pad, top, left, flip, np.zeros((len(top), 4), dtype=np.int64), colour)
    out = crop_and_flip(images, rows, draw)
    for i, row in enumerate(rows):
        assert np.array_equal(out[i], reference_crop(images[row], pad, top[i], left[i], flip[i], colour))
    there = [torch.from_numpy(part) for part in (images[rows], top, left, flip.astype(np.int64))]
    assert np.array_equal(crop_and_flip_there(*there, pad, colour).numpy(), out)


def test_normalise_is_imagenet_in_channels_last():
    images = torch.randint(0, 256, (3, 8, 4, 3), dtype=torch.uint8)
    out = normalise(images)
    expected = (images.permute(0, 3, 1, 2) / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    torch.testing.assert_close(out, expected, atol=1e-6, rtol=1e-5)
    assert out.dtype == torch.float32 and out.is_contiguous(memory_format=torch.channels_last)


def test_crops_and_flips_are_uniform_and_independent_per_image():
    draw = draw_augmentation(AugmentationRecipe(pad=2, flip=0.25), 50000, 24, 12, np.random.default_rng(0))
    places = np.bincount(draw.top * 5 + draw.left, minlength=25)
    assert np.abs(places - 2000).max() < 6 * np.sqrt(2000)
    assert abs(draw.flip.mean() - 0.25) < 0.01
    assert abs(np.corrcoef(draw.flip, draw.top)[0, 1]) < 0.02
    assert not draw.erased.any()


def reference_rectangle(height: int, width: int, recipe: AugmentationRecipe, random: np.random.Generator):
    """Random erasing, one image at a time, as the paper's pseudo code has it."""
    if random.random() >= recipe.erasing:
        return 0, 0, 0, 0
    while True:
        area = random.uniform(*recipe.erasing_area) * height * width
        if recipe.erasing_aspect_scale == "log":
            aspect = np.exp(random.uniform(np.log(recipe.erasing_aspect[0]), np.log(recipe.erasing_aspect[1])))
        else:
            aspect = random.uniform(*recipe.erasing_aspect)
        high, wide = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if high < height and wide < width:
            return int(random.integers(height - high + 1)), int(random.integers(width - wide + 1)), high, wide


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_erasing_has_the_reference_distribution(scale):
    recipe = AugmentationRecipe(erasing=0.5, erasing_aspect_scale=scale)
    count, height, width = 20000, 48, 24
    drawn = draw_augmentation(recipe, count, height, width, np.random.default_rng(1)).erased
    random = np.random.default_rng(2)
    reference = np.array([reference_rectangle(height, width, recipe, random) for _ in range(count)])
    assert abs((drawn[:, 2] > 0).mean() - 0.5) < 0.02
    for column in range(4):
        ours, theirs = (np.sort(table[table[:, 2] > 0, column]) for table in (drawn, reference))
        # Two-sample Kolmogorov-Smirnov statistic; 0.027 is its 0.1 % point for two samples of 10,000.
        values = np.arange(max(ours.max(), theirs.max()) + 1)
        distance = np.abs(
            np.searchsorted(ours, values, "right") / len(ours) - np.searchsorted(theirs, values, "right") / len(theirs)
        ).max()
        assert distance < 0.03, column
    assert (drawn[:, 0] + drawn[:, 2] <= height).all() and (drawn[:, 1] + drawn[:, 3] <= width).all()


def test_erase_blanks_exactly_the_rectangle_of_each_image():
    images = torch.ones(3, 3, 6, 5).contiguous(memory_format=torch.channels_last)
    out = erase(images, torch.tensor([[1, 2, 3, 2], [0, 0, 0, 0], [5, 4, 1, 1]]))
    expected = torch.ones(3, 3, 6, 5)
    expected[0, :, 1:4, 2:4] = 0
    expected[2, :, 5, 4] = 0
    assert torch.equal(out, expected)


def test_a_rectangle_is_drawn_again_as_often_as_the_recipe_says():
    # Upright rectangles of a third of a wide image fit in some draws only.
    shares = []
    for attempts in (1, 2, 100):
        recipe = AugmentationRecipe(
            erasing=1.0, erasing_area=(0.3, 0.4), erasing_aspect=(0.5, 3.0), erasing_attempts=attempts
        )
        drawn = draw_augmentation(recipe, 20000, 24, 48, np.random.default_rng(0)).erased
        shares.append((drawn[:, 2] > 0).mean())
    once, twice, often = shares
    assert 0.1 < once < 0.9
    assert abs(twice - (1 - (1 - once) ** 2)) < 0.02 and often > 0.999


def test_rectangles_are_filled_with_the_colour_asked_for():
    colour = (0.4914, 0.4822, 0.4465)
    fixed = draw_augmentation(
        AugmentationRecipe(erasing=1.0, erasing_fill=colour), 200, 24, 12, np.random.default_rng(0)
    )
    own = draw_augmentation(
        AugmentationRecipe(erasing=1.0, erasing_random_fill=True), 200, 24, 12, np.random.default_rng(0)
    )
    assert np.array_equal(fixed.erased, own.erased)
    for draw in (fixed, own):
        images = torch.full((200, 3, 24, 12), 7.0).contiguous(memory_format=torch.channels_last)
        out = erase(images, torch.from_numpy(draw.erased), torch.from_numpy(draw.fill))
        for image, fill, (top, left, high, wide) in zip(out, draw.fill, draw.erased, strict=True):
            inside = image[:, top : top + high, left : left + wide]
            assert torch.equal(inside, torch.from_numpy(fill)[:, None, None].expand_as(inside))
            assert (image == 7.0).sum() == 3 * (24 * 12 - high * wide)
    np.testing.assert_allclose(fixed.fill, np.tile(colour, (200, 1)), rtol=1e-6)
    # A value per image and channel, uniform over the range of pixel values.
    pixels = own.fill * STD + MEAN
    assert len(np.unique(pixels)) == 600 and pixels.min() >= 0 and pixels.max() <= 1
    assert abs(pixels.mean() - 0.5) < 0.05 and abs(pixels.std() - 1 / np.sqrt(12)) < 0.03


def test_draws_follow_from_the_generator_alone():
    recipe = AugmentationRecipe(erasing=0.5)
    first, again = (draw_augmentation(recipe, 16, 48, 24, np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in ("top", "left", "flip", "erased"))
