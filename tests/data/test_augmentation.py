"""Augmentation: against an image-by-image reference, and the distributions of what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from vibench.data.augmentation import AugmentationDraw, crop_and_flip, draw_augmentation, erase
from vibench.data.normalise import MEAN, STD, normalise
from vibench.methods.recipe import AugmentationRecipe


def reference_crop(image: np.ndarray, pad: int, top: int, left: int, flip: bool) -> np.ndarray:
    """Pad, crop, flip with Pillow, one image at a time."""
    height, width = image.shape[:2]
    padded = ImageOps.expand(Image.fromarray(image), border=pad, fill=0)
    crop = padded.crop((left, top, left + width, top + height))
    return np.asarray(ImageOps.mirror(crop) if flip else crop)


@pytest.mark.parametrize("pad", [0, 3, 10])
def test_crop_and_flip_equals_the_reference_everywhere(pad):
    random = np.random.default_rng(pad)
    images = random.integers(0, 256, (5, 24, 12, 3), dtype=np.uint8)
    places = np.arange(2 * pad + 1)
    top, left = (grid.ravel() for grid in np.meshgrid(places, places))
    rows = random.integers(0, 5, len(top))
    flip = random.random(len(top)) < 0.5
    draw = AugmentationDraw(pad, top, left, flip, np.zeros((len(top), 4), dtype=np.int64))
    out = crop_and_flip(images, rows, draw)
    for i, row in enumerate(rows):
        assert np.array_equal(out[i], reference_crop(images[row], pad, top[i], left[i], flip[i]))


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
        aspect = random.uniform(*recipe.erasing_aspect)
        high, wide = round(np.sqrt(area * aspect)), round(np.sqrt(area / aspect))
        if high < height and wide < width:
            return int(random.integers(height - high + 1)), int(random.integers(width - wide + 1)), high, wide


def test_erasing_has_the_reference_distribution():
    recipe = AugmentationRecipe(erasing=0.5)
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
    zeros = np.zeros(3, dtype=np.int64)
    erased = np.array([[1, 2, 3, 2], [0, 0, 0, 0], [5, 4, 1, 1]])
    out = erase(images, AugmentationDraw(0, zeros, zeros, zeros.astype(bool), erased))
    expected = torch.ones(3, 3, 6, 5)
    expected[0, :, 1:4, 2:4] = 0
    expected[2, :, 5, 4] = 0
    assert torch.equal(out, expected)


def test_draws_follow_from_the_generator_alone():
    recipe = AugmentationRecipe(erasing=0.5)
    first, again = (draw_augmentation(recipe, 16, 48, 24, np.random.default_rng(5)) for _ in range(2))
    assert all(np.array_equal(getattr(first, name), getattr(again, name)) for name in ("top", "left", "flip", "erased"))
