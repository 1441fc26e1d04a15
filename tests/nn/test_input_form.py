import copy

import pytest
import torch
from torch import nn

from vibench.nn.input_form import RGB_MEAN, RGB_STD, to_grey, to_input_form
from vibench.nn.resnet import TwoStreamResNet


def normalised(values: torch.Tensor) -> torch.Tensor:
    return (values - torch.tensor(RGB_MEAN).view(3, 1, 1)) / torch.tensor(RGB_STD).view(3, 1, 1)


@pytest.mark.parametrize("level", [0.0, 0.449, 1.0])
def test_a_grey_image_keeps_its_level(level):
    grey = to_grey(normalised(torch.full((1, 3, 4, 4), level)))
    torch.testing.assert_close(grey, torch.full((1, 1, 4, 4), (level - 0.449) / 0.226), atol=1e-5, rtol=1e-5)


def test_grey_is_the_luma_of_the_colours():
    pure = torch.eye(3).view(3, 3, 1, 1)
    luma = to_grey(normalised(pure)).flatten() * 0.226 + 0.449
    torch.testing.assert_close(luma, torch.tensor([0.299, 0.587, 0.114]), atol=1e-5, rtol=1e-5)


def test_zero_padding_puts_exact_zeros_beside_the_normalised_image():
    images = torch.randn(2, 3, 8, 8)
    visible = to_input_form(images, "visible", "zero-padding")
    infrared = to_input_form(images, "infrared", "zero-padding")
    torch.testing.assert_close(visible[:, :1], to_grey(images))
    torch.testing.assert_close(infrared[:, 1:], to_grey(images))
    assert (visible[:, 1] == 0).all() and (infrared[:, 0] == 0).all()
    assert to_input_form(images, "visible", "rgb") is images
    assert to_input_form(images, "infrared", "grey").shape == (2, 1, 8, 8)


@pytest.mark.parametrize("training", [False, True])
def test_zero_padding_is_a_specific_first_convolution_and_all_else_shared(training):
    """Wu et al.'s one-stream net on padded images equals two one-channel convolutions before a shared network."""
    images = torch.randn(4, 3, 64, 32)
    padded_network = TwoStreamResNet("resnet18", 0, in_channels=2)
    nn.init.normal_(padded_network.shared.conv1.weight, std=0.1)
    padded_network.train(training)
    reference = copy.deepcopy(padded_network.shared)
    slices = padded_network.shared.conv1.weight.detach().clone()
    reference.conv1 = nn.Identity()
    grey = to_grey(images)
    maps = [
        nn.functional.conv2d(part, slices[:, [channel]], stride=2, padding=3)
        for channel, part in enumerate((grey[:2], grey[2:]))
    ]
    expected = reference(torch.cat(maps), nn.ModuleDict())
    actual = padded_network(
        visible=to_input_form(images[:2], "visible", "zero-padding"),
        infrared=to_input_form(images[2:], "infrared", "zero-padding"),
    )
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)
