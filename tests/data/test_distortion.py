"""Jitter and blur of infrared images against Pillow and torchvision, and what is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

from vibench.data.distortion import distort, distort_infrared, draw_distortion
from vibench.data.sections import AugmentationRecipe
from vibench.nn.torchvision_ops import import_torchvision

COUNT = 20000
BOTH = AugmentationRecipe(infrared_jitter=(0.7, 1.3), infrared_blur=(0.1, 3.0))


def pictures(count: int = 6) -> np.ndarray:
    """Random colours, and the same in a narrow range, whose contrast is not cut off."""
    random = np.random.default_rng(0)
    wide = random.integers(0, 256, (count // 2, 40, 32, 3))
    return np.concatenate([wide, random.integers(90, 170, wide.shape)]).astype(np.uint8)


def columns(brightness: float = 1.0, contrast: float = 1.0, first: bool = False, sigma: float = 0.0) -> torch.Tensor:
    return torch.tensor([[brightness], [contrast], [float(first)], [sigma]])


@pytest.mark.parametrize("factor", [0.7, 0.931, 1.0, 1.07, 1.3])
def test_jitter_is_pillows_to_the_bit(factor: float):
    for picture in pictures():
        image, tensor = Image.fromarray(picture), torch.from_numpy(picture)[None]
        for enhance, drawn in (
            (ImageEnhance.Brightness, columns(brightness=factor)),
            (ImageEnhance.Contrast, columns(contrast=factor)),
        ):
            expected = np.asarray(enhance(image).enhance(factor))
            np.testing.assert_array_equal(distort(tensor, drawn)[0].numpy(), expected)


def test_the_order_of_brightness_and_contrast():
    picture = pictures()[0]
    image, tensor = Image.fromarray(picture), torch.from_numpy(picture)[None]
    bright, rich = ImageEnhance.Brightness, ImageEnhance.Contrast
    for first, expected in (
        (False, rich(bright(image).enhance(1.3)).enhance(0.7)),
        (True, bright(rich(image).enhance(0.7)).enhance(1.3)),
    ):
        found = distort(tensor, columns(1.3, 0.7, first))[0].numpy()
        np.testing.assert_array_equal(found, np.asarray(expected))
    assert (distort(tensor, columns(1.3, 0.7, True)) != distort(tensor, columns(1.3, 0.7, False))).any()


@pytest.mark.parametrize("sigma", [0.1, 0.8, 3.0])
def test_blur_is_torchvisions_but_for_rounding(sigma: float):
    blur = import_torchvision().transforms.functional.gaussian_blur
    for picture in pictures():
        expected = np.asarray(blur(Image.fromarray(picture), [21, 21], [sigma, sigma])).astype(int)
        found = distort(torch.from_numpy(picture)[None], columns(sigma=sigma))[0].numpy().astype(int)
        apart = np.abs(found - expected)
        assert apart.max() <= 1 and (apart > 0).mean() < 2e-3


def test_every_image_has_its_own_and_the_visible_stay():
    batch = torch.from_numpy(pictures())
    drawn = torch.cat([columns(sigma=2.0), columns(1.2, 0.9, True), columns()], dim=1)
    found = batch.clone()
    distort_infrared(found, drawn)
    assert torch.equal(found[:3], batch[:3])
    for at in range(3):
        assert torch.equal(found[3 + at : 4 + at], distort(batch[3 + at : 4 + at], drawn[:, at : at + 1]))
    assert torch.equal(found[5], batch[5])


def test_one_of_both_happens_equally_often_and_always():
    brightness, contrast, first, sigma = draw_distortion(BOTH, COUNT, np.random.default_rng(1))
    blurred = sigma > 0
    assert abs(blurred.mean() - 0.5) < 4 * 0.5 / COUNT**0.5
    assert (brightness[blurred] == 1).all() and (contrast[blurred] == 1).all()
    assert (brightness[~blurred] != 1).all() and (contrast[~blurred] != 1).all()
    assert abs(first.mean() - 0.5) < 4 * 0.5 / COUNT**0.5
    for values, low, high in (
        (brightness[~blurred], 0.7, 1.3),
        (contrast[~blurred], 0.7, 1.3),
        (sigma[blurred], 0.1, 3.0),
    ):
        shares = (values - low) / (high - low)
        assert shares.min() >= 0 and shares.max() <= 1 + 1e-6
        assert abs(shares.mean() - 0.5) * (12 * len(shares)) ** 0.5 < 4.5
        assert shares.min() < 0.01 and shares.max() > 0.99
    assert abs(np.corrcoef(brightness[~blurred], contrast[~blurred])[0, 1]) < 5 / COUNT**0.5


def test_one_alone_happens_to_every_image():
    jitter, blur = AugmentationRecipe(infrared_jitter=(0.7, 0.9)), AugmentationRecipe(infrared_blur=(1.0, 2.0))
    drawn = draw_distortion(jitter, 50, np.random.default_rng(0))
    assert drawn is not None and (drawn[:2] < 1).all() and (drawn[3] == 0).all()
    drawn = draw_distortion(blur, 50, np.random.default_rng(0))
    assert drawn is not None and (drawn[:2] == 1).all() and (drawn[3] >= 1).all()
    assert draw_distortion(AugmentationRecipe(), 50, np.random.default_rng(0)) is None


@pytest.mark.parametrize("key", ["infrared_jitter", "infrared_blur"])
def test_impossible_ranges_are_refused(key: str):
    with pytest.raises(ValueError, match=f"'{key}' must be two numbers with 0 < low <= high"):
        AugmentationRecipe(**{key: (2.0, 1.0)})
    with pytest.raises(ValueError, match="'visible_grey_epochs' must be at least 0"):
        AugmentationRecipe(visible_grey_epochs=-1)
