"""Heatmaps go where their images go."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from vibench.data.augmentation import AugmentationDraw, crop_and_flip, draw_augmentation
from vibench.data.heatmap_augmentation import crop_and_flip_heatmaps, erase_heatmaps
from vibench.data.sections import AugmentationRecipe
from vibench.datasets.twin.pose import KEYPOINTS

NOTHING = AugmentationDraw(
    pad=0,
    top=np.zeros(1, dtype=np.int64),
    left=np.zeros(1, dtype=np.int64),
    flip=np.zeros(1, dtype=bool),
    erased=np.zeros((1, 4), dtype=np.int64),
)


def moved(heatmap: np.ndarray, down: float, right: float) -> np.ndarray:
    """``heatmap`` (h, w) read ``down`` and ``right`` cells further, one cell at a time, zero outside."""
    height, width = heatmap.shape

    def value(row: int, column: int) -> float:
        return float(heatmap[row, column]) if 0 <= row < height and 0 <= column < width else 0.0

    out = np.zeros_like(heatmap)
    for row in range(height):
        for column in range(width):
            y, x = row + down, column + right
            top, left = int(np.floor(y)), int(np.floor(x))
            for near, share in ((top, top + 1 - y), (top + 1, y - top)):
                out[row, column] += share * (left + 1 - x) * value(near, left)
                out[row, column] += share * (x - left) * value(near, left + 1)
    return out


@pytest.mark.parametrize("pad", [0, 3, 10])
def test_crop_and_flip_equal_the_reference(pad: int):
    random = np.random.default_rng(pad)
    draw = draw_augmentation(AugmentationRecipe(pad=pad), 12, 48, 32, random)
    heatmaps = random.random((12, 3, 12, 8), dtype=np.float32)
    found = crop_and_flip_heatmaps(torch.from_numpy(heatmaps), draw).numpy()
    for i in range(12):
        down, right = (draw.top[i] - pad) / 4, (draw.left[i] - pad) / 4
        expected = np.stack([moved(channel, down, right) for channel in heatmaps[i]])
        np.testing.assert_allclose(found[i], expected[..., ::-1] if draw.flip[i] else expected, atol=1e-6)


def test_whole_cells_are_copied_unchanged():
    heatmaps = torch.rand(4, 1, 12, 8)
    draw = dataclasses.replace(
        NOTHING, pad=8, top=np.array([8, 12, 8, 0]), left=np.array([8, 8, 4, 16]), flip=np.array([False] * 3 + [True])
    )
    same, lower, left, corner = crop_and_flip_heatmaps(heatmaps, draw)
    assert torch.equal(same, heatmaps[0])
    assert torch.equal(lower[:, :11], heatmaps[1, :, 1:]) and not lower[:, 11].any()
    assert torch.equal(left[:, :, 1:], heatmaps[2, :, :, :7]) and not left[:, :, 0].any()
    assert torch.equal(corner.flip(2)[:, 2:, :6], heatmaps[3, :, :10, 2:])


def test_peaks_stay_on_what_the_image_shows():
    """A white disc in the image and its Gaussian have the same centre of mass after any crop and flip."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[0:96, 0:48]
    images = np.zeros((16, 96, 48, 3), dtype=np.uint8)
    heatmaps = np.zeros((16, 1, 24, 12), dtype=np.float32)
    for i in range(16):
        y, x = random.uniform(36, 60), random.uniform(18, 30)
        images[i][(rows + 0.5 - y) ** 2 + (columns + 0.5 - x) ** 2 < 36] = 255
        heatmaps[i, 0] = np.exp(-0.5 * ((rows[:24, :12] + 0.5 - y / 4) ** 2 + (columns[:24, :12] + 0.5 - x / 4) ** 2))
    draw = draw_augmentation(AugmentationRecipe(pad=7), 16, 96, 48, random)
    assert draw.flip.any() and not draw.flip.all()
    pixels = crop_and_flip(images, np.arange(16), draw)[..., 0].astype(float)
    maps = crop_and_flip_heatmaps(torch.from_numpy(heatmaps), draw)[:, 0].double().numpy()
    for image, heatmap in zip(pixels, maps, strict=True):
        for axis in (0, 1):
            of_image, of_map = (
                (values.sum(axis=1 - axis) * (np.arange(values.shape[axis]) + 0.5)).sum() / values.sum()
                for values in (image, heatmap)
            )
            assert of_image == pytest.approx(4 * of_map, abs=0.25)


def test_left_and_right_joints_change_places_in_a_mirrored_image():
    heatmaps = torch.arange(17.0).view(1, 17, 1, 1).expand(2, 17, 12, 8)
    draw = dataclasses.replace(
        NOTHING, top=np.zeros(2, dtype=np.int64), left=np.zeros(2, dtype=np.int64), flip=np.array([False, True])
    )
    plain, mirrored = crop_and_flip_heatmaps(heatmaps, draw)[:, :, 0, 0].tolist()
    assert plain == list(range(17))
    swapped = [name.replace("left", "x").replace("right", "left").replace("x", "right") for name in KEYPOINTS[:17]]
    assert [KEYPOINTS[int(place)] for place in mirrored] == swapped


def test_cells_are_erased_whose_centres_are():
    heatmaps = torch.ones(3, 2, 12, 8)
    # Centres lie at 2, 6, 10, ... pixels.
    erased = erase_heatmaps(heatmaps, np.array([[0, 0, 0, 0], [2, 6, 9, 1], [3, 0, 4, 32]]))
    assert erased[0].all()
    assert (erased[1] == 0).nonzero()[:, 1:].unique(dim=0).tolist() == [[0, 1], [1, 1], [2, 1]]
    assert (erased[2] == 0).nonzero()[:, 1].unique().tolist() == [1]
    assert not erased[2, :, 1].any()
