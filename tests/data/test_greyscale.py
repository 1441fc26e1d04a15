import numpy as np
import torch
from PIL import Image

from vibench.data.greyscale import turn_grey, turn_grey_there


def test_is_what_pillow_makes_of_the_chosen_images():
    images = np.random.default_rng(0).integers(0, 256, (5, 40, 30, 3), dtype=np.uint8)
    images[0, 0, :2] = [[0, 0, 0], [255, 255, 255]]
    chosen = np.array([True, False, True, False, True])
    grey = images.copy()
    turn_grey(grey, chosen)
    for before, after, wanted in zip(images, grey, chosen, strict=True):
        expected = Image.fromarray(before).convert("L").convert("RGB") if wanted else before
        np.testing.assert_array_equal(after, expected)
    there = turn_grey_there(torch.from_numpy(images), torch.from_numpy(chosen).long())
    np.testing.assert_array_equal(there.numpy(), grey)


def test_grey_images_stay_as_they_are():
    levels = np.arange(256, dtype=np.uint8)
    images = np.repeat(levels[None, :, None, None], 3, axis=3)
    turn_grey(images, np.array([True]))
    np.testing.assert_array_equal(images[0, :, 0], np.repeat(levels[:, None], 3, axis=1))
