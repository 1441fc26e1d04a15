"""The decoder that draws an image from its shared and its specific feature map."""

from __future__ import annotations

from torch import nn

UPSAMPLINGS = 4
"""Doublings of the resolution: from a sixteenth of the image, as layer4 with stride 1 leaves it, to the image."""


class SubPixelDecoder(nn.Sequential):
    """Four sub-pixel layers, each a 3x3 convolution to 4 * channels, a pixel shuffle and ReLU, and a 3x3 convolution.

    (B, in_channels, H/16, W/16) -> (B, out_channels, H, W). Shi et al., "Real-Time Single Image and Video
    Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016; cm-SSFT (Lu et al., CVPR
    2020), Eq. (16), Sec. 4.1.
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int) -> None:
        layers: list[nn.Module] = []
        for number in range(UPSAMPLINGS):
            width = in_channels if number == 0 else channels
            layers += [nn.Conv2d(width, 4 * channels, 3, padding=1), nn.PixelShuffle(2), nn.ReLU(inplace=True)]
        super().__init__(*layers, nn.Conv2d(channels, out_channels, 3, padding=1))
