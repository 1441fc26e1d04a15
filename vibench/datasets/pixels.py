"""What pixels say that names and lists do not: that two files hold one image, and of which modality an image is."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vibench.modality import INFRARED, VISIBLE

COLOURED = 4.0
"""Mean difference between the largest and the smallest channel, of 255, from which on an image shows colour. Grey
images that JPEG has stored in three channels stay far below, and visible ones lie far above."""


class View(NamedTuple):
    """Who takes an image, and in which light."""

    modality: str
    camera: int

    def __str__(self) -> str:
        return f"{self.modality} camera {self.camera}"


@dataclass(frozen=True)
class PixelFacts:
    """What is kept of an image's pixels."""

    digest: bytes
    """Equal for equal pixels only."""
    coloured: bool


@dataclass(frozen=True)
class ColourCount:
    """How many of a view's images show colour."""

    images: int
    coloured: int

    @property
    def mostly(self) -> bool:
        """Whether more than half of them do."""
        return 2 * self.coloured > self.images


@dataclass(frozen=True)
class ModalityFinding:
    """Views whose images look like those of the other modality, as the rest of a sentence about a data set."""

    views: tuple[View, ...]
    sentence: str
    exchanged: bool
    """Infrared images with colour and visible ones without: two folders have changed places."""


def pixel_facts(pixels: np.ndarray) -> PixelFacts:
    """The facts of an image (H, W, 3) uint8."""
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    # Every other row and column tell as much as all.
    red, green, blue = (pixels[::2, ::2, channel].astype(np.int16) for channel in range(3))
    largest, smallest = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    return PixelFacts(digest.digest(), bool((largest - smallest).mean() >= COLOURED))


def equal_images(facts: Sequence[PixelFacts]) -> list[list[int]]:
    """The places of images with equal pixels, a list for each such set, in order."""
    places: dict[bytes, list[int]] = defaultdict(list)
    for place, fact in enumerate(facts):
        places[fact.digest].append(place)
    return [members for members in places.values() if len(members) > 1]


def count_colours(facts: Sequence[PixelFacts], views: Iterable[View]) -> dict[View, ColourCount]:
    """How many images of each view show colour; one view per image."""
    coloured: dict[View, list[bool]] = defaultdict(list)
    for fact, view in zip(facts, views, strict=True):
        coloured[view].append(fact.coloured)
    return {view: ColourCount(len(found), sum(found)) for view, found in sorted(coloured.items())}


def modality_finding(colours: Mapping[View, ColourCount]) -> ModalityFinding | None:
    """Where most images of an infrared camera show colour, or most of a visible one show none; None for neither."""
    odd_infrared = [view for view, count in colours.items() if view.modality == INFRARED and count.mostly]
    odd_visible = [view for view, count in colours.items() if view.modality == VISIBLE and not count.mostly]
    if not odd_infrared and not odd_visible:
        return None
    clauses = [
        f"{colours[view].coloured} of the {colours[view].images} images of {view} show colour"
        for view in (*odd_infrared, *odd_visible)
    ]
    return ModalityFinding(
        (*odd_infrared, *odd_visible), " and ".join(clauses), exchanged=bool(odd_infrared and odd_visible)
    )
