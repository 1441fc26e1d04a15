"""Channel operations: how often each outcome is drawn, and what it does to an image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vibench.data.channels import OUTCOMES, change_channels, draw_channels

EXPECTED = {
    "none": {"unchanged": 1.0},
    "exchange": {"red": 1 / 3, "green": 1 / 3, "blue": 1 / 3},
    "exchange+grey": {"red": 0.25, "green": 0.25, "blue": 0.25, "grey": 0.25},
    "adaptive": {"red": 0.25, "green": 0.25, "blue": 0.25, "unchanged": 0.25},
    "adaptive+grey": {"red": 0.25, "green": 0.25, "blue": 0.25, "grey": 0.125, "unchanged": 0.125},
}


@pytest.mark.parametrize("operation", EXPECTED)
def test_outcomes_have_their_probabilities(operation):
    drawn = draw_channels(operation, 40000, np.random.default_rng(0))
    for place, outcome in enumerate(OUTCOMES):
        assert abs((drawn == place).mean() - EXPECTED[operation].get(outcome, 0.0)) < 0.01
    halved = draw_channels(operation, 40000, np.random.default_rng(0), probability=0.5)
    assert abs((halved != 0).mean() - 0.5 * (drawn != 0).mean()) < 0.01


def test_every_image_is_drawn_on_its_own():
    drawn = draw_channels("exchange", 40000, np.random.default_rng(1))
    assert abs((drawn[1:] == drawn[:-1]).mean() - 1 / 3) < 0.01


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_images_change_as_drawn(memory_format):
    images = torch.randn(6, 3, 5, 4).contiguous(memory_format=memory_format)
    outcomes = np.array([2, 0, 4, 1, 3, 0])
    expected = images.clone()
    for image, outcome in zip(expected, outcomes, strict=True):
        red, green, blue = image.clone()
        if outcome == 4:
            image[:] = 0.2989 * red + 0.5870 * green + 0.1140 * blue
        elif outcome:
            image[:] = (red, green, blue)[outcome - 1]
    changed = change_channels(images.clone(memory_format=torch.preserve_format), torch.from_numpy(outcomes))
    torch.testing.assert_close(changed, expected)
    copied = [0, 1, 3, 4, 5]
    assert torch.equal(changed[copied], expected[copied]), "copies are exact"
    assert changed.is_contiguous(memory_format=memory_format)
