"""The sections of a recipe that say how files become batches: input, sampler, augmentation.

The defaults are "the AGW code line": the training recipe of the official code of AGW, which most methods share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

ChannelOperation = Literal["none", "exchange", "exchange+grey", "adaptive", "adaptive+grey"]
"""What happens to the colour channels of an image; `vibench.data.channels` says how often each outcome is drawn."""

SIZE_MULTIPLE = 16
"""Height and width divide by this: the stride of a ResNet whose last stage keeps its resolution."""


@dataclass(frozen=True)
class InputRecipe:
    """How an image file becomes network input."""

    height: int = 288
    """Pixels; a multiple of 16, at least 32."""
    width: int = 144
    """Pixels; a multiple of 16, at least 32."""
    interpolation: Literal["lanczos", "bilinear"] = "lanczos"
    """How the file is resized, once, before the uint8 cache."""
    training_detour: tuple[int, int] | None = None
    """Height and width that training images are resized to first, by ``interpolation``, and bilinearly from there."""

    def __post_init__(self) -> None:
        for name, value in (("height", self.height), ("width", self.width)):
            if value < 2 * SIZE_MULTIPLE or value % SIZE_MULTIPLE:
                raise ValueError(
                    f"'{name}' must be a multiple of {SIZE_MULTIPLE} and at least {2 * SIZE_MULTIPLE}, not {value}."
                )
        if self.training_detour is not None and min(self.training_detour) < 1:
            raise ValueError(f"'training_detour' must be two numbers of pixels, not {list(self.training_detour)}.")


@dataclass(frozen=True)
class SamplerRecipe:
    """Identity-balanced batches: P identities, K visible and K infrared images each."""

    identities: int = 8
    """P, identities per batch."""
    images: int = 4
    """K, images per identity and modality."""
    batches_per_epoch: int = 0
    """0: what the kind gives; with-replacement: floor(max(#visible, #infrared) / (P*K)) + 1, the AGW code line."""
    kind: Literal["with-replacement", "distinct", "exhaustive"] = "with-replacement"
    """Every batch drawn anew, with or without repeated images in it; or no image twice in an epoch, which ends when no
    P identities have K images left."""

    def __post_init__(self) -> None:
        if self.identities < 2:
            raise ValueError(
                f"'identities' must be at least 2, not {self.identities}: in a batch of one identity there is nobody "
                "to tell it from."
            )
        at_least(self, 1, "images")
        at_least(self, 0, "batches_per_epoch")


@dataclass(frozen=True)
class AugmentationRecipe:
    """Training-time image augmentation, applied per image on normalised floats."""

    pad: int = 10
    """Pixels of padding on every side before the random crop."""
    flip: float = 0.5
    """Probability of a horizontal flip."""
    greyscale: float = 0.0
    """Probability that an image of either modality is turned grey before normalisation."""
    erasing: float = 0.0
    """Probability of random erasing, after normalisation."""
    erasing_area: tuple[float, float] = (0.02, 0.4)
    """Smallest and largest erased share of the image area."""
    erasing_aspect: tuple[float, float] = (0.3, 1 / 0.3)
    """Smallest and largest ratio of height to width of the erased rectangle."""
    pad_value: int | tuple[int, int, int] = 0
    """Colour of the padding, 0 to 255: one grey level, or red, green and blue. An official code that asks for 127 need
    not pad in grey: torchvision 0.4 hands the number to Pillow as it is, which reads it as (127, 0, 0) in RGB."""
    erasing_aspect_scale: Literal["linear", "log"] = "linear"
    """Whether the aspect ratio or its logarithm is drawn uniformly."""
    erasing_attempts: int = 100
    """Rectangles drawn at most until one fits into the image; without any, nothing is erased."""
    erasing_fill: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Normalised value that each channel of the rectangle is filled with; zeros are the mean colour."""
    erasing_random_fill: bool = False
    """Fill each channel with a value of its own, drawn per image uniformly from the range of pixel values, instead."""
    visible_views: tuple[ChannelOperation, ...] = ("none",)
    """Channel operation of every view of a visible image; a view is cropped, flipped and erased on its own."""
    visible_channel_probability: float = 1.0
    """Probability that the channel operation of a visible view happens."""
    infrared_channels: ChannelOperation = "none"
    """Channel operation of the infrared images."""
    erase_heatmap: Literal["none", "same", "independent"] = "none"
    """What random erasing does to an image's keypoint heatmap: nothing, so that the network has to infer what is
    hidden, the same rectangle, or one that is drawn anew."""
    visible_grey_epochs: int | None = None
    """In so many epochs, from the first on, every visible image is turned grey before normalisation."""
    infrared_jitter: tuple[float, float] | None = None
    """Smallest and largest factor by which brightness, and another one by which contrast of infrared images changes,
    in random order, before normalisation. With ``infrared_blur`` too, every image has one of both, equally often."""
    infrared_blur: tuple[float, float] | None = None
    """Smallest and largest standard deviation, in pixels, of the Gaussian blur of infrared images."""

    def __post_init__(self) -> None:
        at_least(self, 0, "pad")
        at_least(self, 1, "erasing_attempts")
        if not all(0 <= level <= 255 for level in self.pad_colour):
            shown = self.pad_value if isinstance(self.pad_value, int) else list(self.pad_value)
            raise ValueError(f"'pad_value' must be 0 to 255, not {shown}.")
        if not self.visible_views:
            raise ValueError("'visible_views' must name at least one view, such as [\"none\"].")
        for name in ("flip", "greyscale", "erasing", "visible_channel_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"'{name}' is a probability between 0 and 1, not {getattr(self, name)}.")
        low, high = self.erasing_area
        if not 0 < low <= high < 1:
            raise ValueError(f"'erasing_area' must be two shares with 0 < low <= high < 1, not {[low, high]}.")
        for name in ("erasing_aspect", "infrared_jitter", "infrared_blur"):
            low, high = getattr(self, name) or (1.0, 1.0)
            if not 0 < low <= high:
                raise ValueError(f"'{name}' must be two numbers with 0 < low <= high, not {[low, high]}.")
        if self.visible_grey_epochs is not None:
            at_least(self, 0, "visible_grey_epochs")

    @property
    def pad_colour(self) -> tuple[int, int, int]:
        """Red, green and blue of the padding."""
        value = self.pad_value
        return value if isinstance(value, tuple) else (value, value, value)


class BatchRecipe(Protocol):
    """What the loader reads of a recipe."""

    @property
    def sampler(self) -> SamplerRecipe: ...

    @property
    def augmentation(self) -> AugmentationRecipe: ...


def at_least(section: Any, bound: int, *names: str) -> None:
    """Raise `ValueError` for a section whose entry of one of ``names`` lies below ``bound``."""
    for name in names:
        if not getattr(section, name) >= bound:
            raise ValueError(f"'{name}' must be at least {bound}, not {getattr(section, name)}.")
