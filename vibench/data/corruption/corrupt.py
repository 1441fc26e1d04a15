"""One corrupted image."""

from __future__ import annotations

import numpy as np
from PIL import Image

from vibench.corruption import NONE, Corruption, ImageCorruption
from vibench.data.corruption import imagenet_c
from vibench.data.corruption.imagenet_c import NOISE
from vibench.data.corruption.occlusion import occlude
from vibench.data.corruption.rain import rain
from vibench.modality import INFRARED

OCCLUSION, RAIN = "occlusion", "rain"


def corrupt(image: np.ndarray, drawn: ImageCorruption, modality: str, other: np.ndarray | None = None) -> np.ndarray:
    """``image`` (H, W, 3) uint8 of a modality as ``drawn`` says; a new array of the same form.

    An infrared image counts as one channel: what comes out is grey, and noise is drawn once for all three. ``other`` is
    an image of somebody else in the same modality, which occlusion needs.
    """
    if modality != INFRARED:
        return _corrupted(image, drawn, other)
    if drawn.kind == NONE:
        return np.array(image)
    grey = _grey(image)
    if drawn.kind in NOISE:
        return _three(imagenet_c.corrupt(grey, drawn.kind, drawn.severity, drawn.seed))
    return _three(_grey(_corrupted(_three(grey), drawn, None if other is None else _three(_grey(other)))))


def require_libraries(corruption: Corruption) -> None:
    """`UsageError` where a library is missing that a corruption needs."""
    if corruption.kind != OCCLUSION:
        imagenet_c.require_libraries()


def _corrupted(image: np.ndarray, drawn: ImageCorruption, other: np.ndarray | None) -> np.ndarray:
    generator = np.random.default_rng(drawn.seed)
    if drawn.kind == NONE:
        return np.array(image)
    if drawn.kind == RAIN:
        return rain(image, drawn.severity, generator)
    if drawn.kind == OCCLUSION:
        if other is None:
            raise ValueError("occlusion needs an image of somebody else")
        return occlude(image, drawn.severity, generator, other)
    return imagenet_c.corrupt(image, drawn.kind, drawn.severity, drawn.seed)


def _grey(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8: 0.299 red + 0.587 green + 0.114 blue; that of three equal channels is any of them."""
    return np.asarray(Image.fromarray(image).convert("L"))


def _three(grey: np.ndarray) -> np.ndarray:
    """(H, W, 3) of three equal channels."""
    return np.repeat(grey[..., None], 3, axis=2)
