"""Operations on the colour channels of normalised images, drawn independently for every image.

Ye et al., "Channel Augmented Joint Learning for Visible-Infrared Recognition", ICCV 2021: an image whose three
channels are copies of one of its colour channels keeps its content and loses its colour, like an infrared image. The
operations act behind normalisation, where the channels of a grey image differ, so they change infrared images too.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vibench.data.sections import ChannelOperation

OUTCOMES = ("unchanged", "red", "green", "blue", "grey")
"""What can become of an image: itself, one of its channels copied to all three, or its luma in all three."""

PROBABILITIES: dict[ChannelOperation, tuple[float, float, float, float, float]] = {
    "none": (1.0, 0.0, 0.0, 0.0, 0.0),
    "exchange": (0.0, 1 / 3, 1 / 3, 1 / 3, 0.0),
    "exchange+grey": (0.0, 1 / 4, 1 / 4, 1 / 4, 1 / 4),
    "adaptive": (1 / 4, 1 / 4, 1 / 4, 1 / 4, 0.0),
    "adaptive+grey": (1 / 8, 1 / 4, 1 / 4, 1 / 4, 1 / 8),
}
"""Probability of every outcome. ``adaptive+grey`` turns half of those grey that ``adaptive`` leaves unchanged."""

_WEIGHTS = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.2989, 0.5870, 0.1140]])


def draw_channels(
    operation: ChannelOperation, count: int, random: np.random.Generator, probability: float = 1.0
) -> np.ndarray:
    """Draw places in `OUTCOMES`, (count,) int64; ``probability`` is that of the operation happening at all."""
    bounds = np.cumsum(PROBABILITIES[operation])[:-1]
    drawn = np.searchsorted(bounds, random.random(count), side="right")
    return np.where(random.random(count) < probability, drawn, 0)


def change_channels(images: Tensor, outcomes: Tensor) -> Tensor:
    """Carry out the drawn ``outcomes`` (B,) on normalised ``images`` (B, 3, H, W), both on one device."""
    weights = _weights(images.device)[outcomes]
    mixed = (images * weights[:, :, None, None]).sum(dim=1, keepdim=True)
    return torch.where((outcomes > 0)[:, None, None, None], mixed, images)


@lru_cache(maxsize=16)
def _weights(device: torch.device) -> Tensor:
    """`_WEIGHTS` on a device; kept, because copying them to a GPU would stall it at every batch."""
    return _WEIGHTS.to(device)
