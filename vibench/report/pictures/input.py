"""From an image that is to be pictured to the network's input, for the pictures of single methods."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vibench.data.normalise import normalise
from vibench.methods.base import Method
from vibench.report.pictures.pair import Shown


def network_input(method: Method, shown: Shown) -> Tensor:
    """The image as `Method.embed` takes it, (1, 3, H, W), on the method's device."""
    device = next(method.parameters()).device
    return normalise(torch.from_numpy(np.array(shown.pixels[None])).to(device))


def as_maps(values: Tensor, size: tuple[int, int] | torch.Size) -> list[np.ndarray]:
    """Values (N, h * w) over the positions of a map of ``size`` (h, w), row by row, as N arrays (h, w)."""
    return list(values.unflatten(1, tuple(size)).float().cpu().numpy())
