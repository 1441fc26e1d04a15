"""The places in front of the cameras: two painted layers, a far and a near one, in colour or in one infrared channel.

A scene is painted once per camera in shares of its height; camera 3 of the SYSU layout looks into the room of camera 2,
so both paint the same scene from the same random stream, one in colours and one in infrared reflectances.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from vibench.datasets.twin.streams import stream

BREADTH = 4.0
"""Width of a scene divided by its height."""

STATES = 3
"""Slow changes: in each state the movable things of the near layer stand elsewhere."""

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """Both layers of a place, as Pillow images of the same size."""

    far: Image.Image
    near: tuple[Image.Image, ...]
    """One per state, with an opacity channel."""

    def view(self, width: int, height: int, across: float, up: float, state: int) -> np.ndarray:
        """(height, width, C) float32 in 0..1: what a crop shows at position ``across`` (0..1) of the scene.

        The near layer moves faster than the far one (parallax); ``up`` (-1..1) is a small vertical shift.
        """
        spare_x, spare_y = self.far.width - width, self.far.height - height
        down = round(spare_y * (0.5 + 0.5 * up))
        behind = round(spare_x * (0.2 + 0.6 * across))
        before = round(spare_x * across)
        picture = self.far.crop((behind, down, behind + width, down + height))
        near = self.near[state].crop((before, down, before + width, down + height))
        picture.paste(near, (0, 0), near.getchannel("A"))
        pixels = np.asarray(picture, dtype=np.float32)
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        return pixels * np.float32(1.0 / 255.0)


class _Painter:
    """Draws in shares of the scene's height, either colours or reflectances."""

    def __init__(self, height: int, coloured: bool, backdrop: tuple[Colour, float] | None) -> None:
        self.height = height
        self.coloured = coloured
        size = (round(BREADTH * height), height)
        if backdrop is None:
            self.image = Image.new("RGBA" if coloured else "LA", size, 0)
        else:
            self.image = Image.new("RGB" if coloured else "L", size, self._ink(*backdrop))
        self.drawing = ImageDraw.Draw(self.image)

    def _ink(self, colour: Colour, reflectance: float) -> tuple[int, ...] | int:
        levels = colour if self.coloured else (reflectance,)
        ink = tuple(int(255 * min(max(level, 0.0), 1.0)) for level in levels)
        return ink if len(ink) > 1 else ink[0]

    def _opaque(self, colour: Colour, reflectance: float) -> tuple[int, ...] | int:
        ink = self._ink(colour, reflectance)
        if self.image.mode in ("RGBA", "LA"):
            return (*ink, 255) if isinstance(ink, tuple) else (ink, 255)
        return ink

    def rectangle(
        self, left: float, top: float, right: float, bottom: float, colour: Colour, reflectance: float
    ) -> None:
        corners = [self.height * value for value in (left, top, right, bottom)]
        self.drawing.rectangle(corners, fill=self._opaque(colour, reflectance))

    def ellipse(self, x: float, y: float, wide: float, high: float, colour: Colour, reflectance: float) -> None:
        corners = [self.height * value for value in (x - wide, y - high, x + wide, y + high)]
        self.drawing.ellipse(corners, fill=self._opaque(colour, reflectance))

    def polygon(self, points: list[tuple[float, float]], colour: Colour, reflectance: float) -> None:
        corners = [(self.height * x, self.height * y) for x, y in points]
        self.drawing.polygon(corners, fill=self._opaque(colour, reflectance))

    def line(self, points: list[tuple[float, float]], thick: float, colour: Colour, reflectance: float) -> None:
        corners = [(self.height * x, self.height * y) for x, y in points]
        self.drawing.line(corners, fill=self._opaque(colour, reflectance), width=max(1, round(thick * self.height)))

    def finish(self, blur: float) -> Image.Image:
        return self.image.filter(ImageFilter.GaussianBlur(blur * self.height))


def _shift(random: np.random.Generator, colour: Colour, spread: float = 0.05) -> Colour:
    red, green, blue = np.clip(np.asarray(colour) + random.normal(0.0, spread) + random.normal(0.0, 0.02, 3), 0.0, 1.0)
    return float(red), float(green), float(blue)


def _bright_hall(far: _Painter, random: np.random.Generator) -> None:
    """A light hall: pale wall, wide windows, pillars, glossy floor."""
    far.rectangle(0, 0, BREADTH, 0.66, (0.80, 0.81, 0.79), 0.62)
    far.rectangle(0, 0.60, BREADTH, 0.66, (0.52, 0.50, 0.47), 0.40)
    for place in np.arange(0.1, BREADTH, 0.75):
        far.rectangle(place, 0.04, place + 0.46, 0.48, (0.93, 0.95, 0.97), 0.75)
        far.line([(place + 0.23, 0.04), (place + 0.23, 0.48)], 0.012, (0.45, 0.47, 0.50), 0.4)
        far.line([(place, 0.25), (place + 0.46, 0.25)], 0.010, (0.45, 0.47, 0.50), 0.4)
    far.rectangle(0, 0.66, BREADTH, 1.0, (0.66, 0.63, 0.58), 0.52)
    for place in np.arange(-0.5, BREADTH, 0.22):
        far.line([(place, 1.0), (place + 0.12, 0.66)], 0.005, (0.55, 0.52, 0.48), 0.44)
    for level in (0.70, 0.78, 0.90):
        far.line([(0, level), (BREADTH, level)], 0.005, (0.56, 0.53, 0.49), 0.45)


def _hall_things(near: _Painter, random: np.random.Generator) -> None:
    for place in (0.62, 1.95, 3.30):
        near.rectangle(place, 0.0, place + 0.15, 0.76, (0.70, 0.69, 0.66), 0.55)
        near.rectangle(place + 0.11, 0.0, place + 0.15, 0.76, (0.58, 0.57, 0.55), 0.45)
    for _ in range(4):
        place = random.uniform(0.0, BREADTH - 0.3)
        near.rectangle(place, 0.58, place + 0.26, 0.63, _shift(random, (0.25, 0.38, 0.60)), 0.35)
        near.rectangle(place, 0.63, place + 0.26, 0.70, _shift(random, (0.20, 0.30, 0.50)), 0.30)
        for leg in (0.02, 0.22):
            near.rectangle(place + leg, 0.70, place + leg + 0.015, 0.80, (0.2, 0.2, 0.2), 0.2)


def _office(far: _Painter, random: np.random.Generator) -> None:
    """A warm room: door, posters, whiteboard, wooden floor."""
    far.rectangle(0, 0, BREADTH, 0.70, (0.74, 0.66, 0.52), 0.58)
    far.rectangle(0, 0.67, BREADTH, 0.70, (0.35, 0.24, 0.16), 0.50)
    far.rectangle(0, 0.70, BREADTH, 1.0, (0.46, 0.33, 0.22), 0.42)
    for place in np.arange(-0.6, BREADTH, 0.13):
        far.line([(place, 1.0), (place + 0.20, 0.70)], 0.004, (0.36, 0.25, 0.16), 0.33)
    for place in (0.35, 2.55):
        far.rectangle(place - 0.02, 0.06, place + 0.36, 0.70, (0.40, 0.26, 0.16), 0.40)
        far.rectangle(place, 0.08, place + 0.34, 0.70, (0.55, 0.37, 0.22), 0.66)
        far.ellipse(place + 0.30, 0.42, 0.012, 0.012, (0.8, 0.75, 0.5), 0.9)
    far.rectangle(1.05, 0.10, 1.75, 0.45, (0.90, 0.91, 0.90), 0.85)
    far.rectangle(1.05, 0.45, 1.75, 0.47, (0.5, 0.5, 0.5), 0.4)
    for _ in range(5):
        place, top = random.uniform(0.0, BREADTH), random.uniform(0.05, 0.22)
        far.rectangle(
            place, top, place + 0.16, top + 0.22, tuple(random.uniform(0.2, 0.85, 3)), random.uniform(0.2, 0.8)
        )


def _office_things(near: _Painter, random: np.random.Generator) -> None:
    for _ in range(4):
        place = random.uniform(0.0, BREADTH - 0.5)
        near.rectangle(place, 0.56, place + 0.42, 0.60, _shift(random, (0.60, 0.42, 0.26)), 0.6)
        for leg in (0.02, 0.38):
            near.rectangle(place + leg, 0.60, place + leg + 0.02, 0.82, (0.3, 0.3, 0.32), 0.3)
        near.rectangle(place + 0.10, 0.44, place + 0.26, 0.55, (0.10, 0.10, 0.12), random.uniform(0.1, 0.2))
    for _ in range(3):
        place = random.uniform(0.0, BREADTH)
        near.ellipse(place, 0.66, 0.08, 0.03, (0.13, 0.14, 0.16), 0.5)
        near.rectangle(place - 0.07, 0.48, place + 0.07, 0.62, (0.15, 0.16, 0.19), 0.55)
        near.rectangle(place - 0.01, 0.66, place + 0.01, 0.80, (0.2, 0.2, 0.2), 0.3)


def _gate(far: _Painter, random: np.random.Generator) -> None:
    """Outdoors in hard sun: sky, brick wall, an iron gate, grey paving."""
    far.rectangle(0, 0, BREADTH, 0.22, (0.66, 0.78, 0.92), 0.55)
    far.rectangle(0, 0.14, BREADTH, 0.62, (0.52, 0.31, 0.25), 0.45)
    for row, level in enumerate(np.arange(0.14, 0.62, 0.035)):
        far.line([(0, level), (BREADTH, level)], 0.005, (0.66, 0.56, 0.50), 0.55)
        for place in np.arange(0.045 * (row % 2), BREADTH, 0.09):
            far.line([(place, level), (place, level + 0.035)], 0.004, (0.64, 0.54, 0.48), 0.53)
    for left in (0.55, 2.35):
        far.rectangle(left, 0.10, left + 0.95, 0.62, (0.60, 0.70, 0.74), 0.5)
        for place in np.arange(left, left + 0.95, 0.07):
            far.line([(place, 0.06), (place, 0.63)], 0.014, (0.10, 0.12, 0.13), 0.15)
        for level in (0.16, 0.52):
            far.line([(left, level), (left + 0.95, level)], 0.014, (0.10, 0.12, 0.13), 0.15)
    far.rectangle(0, 0.62, BREADTH, 1.0, (0.58, 0.59, 0.60), 0.5)
    for level in (0.66, 0.72, 0.81, 0.94):
        far.line([(0, level), (BREADTH, level)], 0.006, (0.48, 0.49, 0.50), 0.42)


def _gate_things(near: _Painter, random: np.random.Generator) -> None:
    for _ in range(3):
        place = random.uniform(0.0, BREADTH - 0.4)
        paint = _shift(random, (0.35, 0.35, 0.40), 0.15)
        for wheel in (0.06, 0.30):
            near.ellipse(place + wheel, 0.70, 0.07, 0.07, (0.08, 0.08, 0.08), 0.1)
            near.ellipse(place + wheel, 0.70, 0.055, 0.055, (0.55, 0.56, 0.57), 0.5)
        frame = [(place + 0.06, 0.70), (place + 0.13, 0.56), (place + 0.27, 0.57), (place + 0.30, 0.70)]
        near.line(frame, 0.016, paint, 0.5)
    for _ in range(2):
        place = random.uniform(0.0, BREADTH)
        near.rectangle(place, 0.45, place + 0.05, 0.80, (0.85, 0.70, 0.15), 0.7)


def _garden(far: _Painter, random: np.random.Generator) -> None:
    """Outdoors among plants: foliage, trunks, lawn, a sandy path."""
    far.rectangle(0, 0, BREADTH, 0.60, (0.22, 0.36, 0.16), 0.75)
    for _ in range(420):
        x, y, size = random.uniform(0, BREADTH), random.uniform(-0.05, 0.58), random.uniform(0.02, 0.08)
        shade = random.uniform(0.55, 1.5)
        far.ellipse(x, y, size, 0.7 * size, (0.22 * shade, 0.37 * shade, 0.14 * shade), 0.55 * shade)
    for _ in range(40):
        far.ellipse(random.uniform(0, BREADTH), random.uniform(0.0, 0.2), 0.02, 0.015, (0.78, 0.87, 0.90), 0.6)
    for place in random.uniform(0.0, BREADTH, 5):
        far.polygon(
            [(place, 0.0), (place + 0.06, 0.0), (place + 0.09, 0.62), (place - 0.02, 0.62)], (0.28, 0.21, 0.15), 0.4
        )
    far.rectangle(0, 0.60, BREADTH, 1.0, (0.36, 0.48, 0.20), 0.72)
    far.polygon([(0, 0.74), (BREADTH, 0.68), (BREADTH, 0.95), (0, 1.0)], (0.70, 0.63, 0.48), 0.6)


def _garden_things(near: _Painter, random: np.random.Generator) -> None:
    for _ in range(6):
        x = random.uniform(0.0, BREADTH)
        for _ in range(26):
            shade = random.uniform(0.6, 1.4)
            place, level = x + random.normal(0, 0.07), random.uniform(0.50, 0.72)
            near.ellipse(place, level, 0.032, 0.026, (0.16 * shade, 0.34 * shade, 0.12 * shade), 0.6 * shade)
    place = random.uniform(0.3, BREADTH - 0.6)
    near.rectangle(place, 0.60, place + 0.5, 0.63, (0.50, 0.34, 0.22), 0.5)
    near.rectangle(place, 0.66, place + 0.5, 0.69, (0.46, 0.31, 0.20), 0.5)
    for leg in (0.04, 0.44):
        near.rectangle(place + leg, 0.60, place + leg + 0.03, 0.80, (0.25, 0.25, 0.26), 0.3)


def _passage(far: _Painter, random: np.random.Generator) -> None:
    """A cluttered passage at night: pipes, shutters, crates along the wall."""
    far.rectangle(0, 0, BREADTH, 0.62, (0.40, 0.40, 0.42), 0.30)
    for left in (0.2, 1.5, 2.9):
        far.rectangle(left, 0.10, left + 0.75, 0.62, (0.50, 0.52, 0.55), 0.44)
        for level in np.arange(0.12, 0.62, 0.035):
            far.line([(left, level), (left + 0.75, level)], 0.008, (0.35, 0.36, 0.38), 0.32)
    for level in (0.03, 0.07):
        far.line([(0, level), (BREADTH, level)], 0.022, (0.55, 0.55, 0.55), 0.55)
    for place in random.uniform(0.0, BREADTH, 6):
        far.line([(place, 0.0), (place, 0.62)], 0.02, (0.5, 0.5, 0.5), random.uniform(0.2, 0.6))
    far.rectangle(0, 0.62, BREADTH, 1.0, (0.35, 0.35, 0.35), 0.36)
    for _ in range(30):
        far.ellipse(
            random.uniform(0, BREADTH),
            random.uniform(0.66, 1.0),
            0.05,
            0.012,
            (0.3, 0.3, 0.3),
            random.uniform(0.28, 0.44),
        )


def _passage_things(near: _Painter, random: np.random.Generator) -> None:
    for _ in range(9):
        place, wide, high = random.uniform(0.0, BREADTH), random.uniform(0.1, 0.24), random.uniform(0.10, 0.30)
        grey = random.uniform(0.12, 0.75)
        near.rectangle(place, 0.76 - high, place + wide, 0.76, (grey, grey, grey), grey)
        near.line([(place, 0.76 - 0.5 * high), (place + wide, 0.76 - 0.5 * high)], 0.008, (0.2, 0.2, 0.2), 0.6 * grey)
    for place in random.uniform(0.0, BREADTH, 3):
        near.line([(place, 0.80), (place + 0.10, 0.05)], 0.014, (0.5, 0.5, 0.5), 0.6)


def _street(far: _Painter, random: np.random.Generator) -> None:
    """A street by day: facade, shop windows, pavement; in thermal, walls slightly warmer than glass."""
    far.rectangle(0, 0, BREADTH, 0.60, (0.64, 0.61, 0.56), 0.30)
    for left in np.arange(0.1, BREADTH, 0.85):
        far.rectangle(left, 0.06, left + 0.55, 0.50, (0.34, 0.42, 0.48), 0.16)
        far.rectangle(left, 0.02, left + 0.55, 0.06, _shift(random, (0.55, 0.30, 0.25), 0.12), 0.26)
    far.rectangle(0, 0.60, BREADTH, 1.0, (0.55, 0.54, 0.53), 0.36)
    for place in np.arange(-0.5, BREADTH, 0.25):
        far.line([(place, 1.0), (place + 0.18, 0.60)], 0.006, (0.45, 0.44, 0.43), 0.33)
    far.rectangle(0, 0.60, BREADTH, 0.625, (0.40, 0.39, 0.38), 0.30)


def _street_things(near: _Painter, random: np.random.Generator) -> None:
    for _ in range(3):
        place = random.uniform(0.0, BREADTH)
        near.rectangle(place, 0.0, place + 0.05, 0.72, (0.28, 0.29, 0.30), 0.22)
        near.ellipse(place + 0.3, 0.62, 0.10, 0.07, (0.22, 0.36, 0.18), 0.24)


Paint = Callable[[_Painter, np.random.Generator], None]
_PLACES: dict[str, tuple[Paint, Paint, float]] = {
    "hall": (_bright_hall, _hall_things, 0.007),
    "office": (_office, _office_things, 0.007),
    "gate": (_gate, _gate_things, 0.006),
    "garden": (_garden, _garden_things, 0.008),
    "passage": (_passage, _passage_things, 0.007),
    "street": (_street, _street_things, 0.005),
}
PLACES = tuple(_PLACES)


def paint_scene(seed: int, place: str, height: int, coloured: bool) -> Scene:
    """Paint the scene ``place`` (one of `PLACES`), ``height`` pixels high, in colours or infrared reflectances."""
    behind, before, blur = _PLACES[place]
    number = PLACES.index(place)
    far = _Painter(height, coloured, ((0.5, 0.5, 0.5), 0.5))
    behind(far, stream(seed, "scene", number))
    near = []
    for state in range(STATES):
        layer = _Painter(height, coloured, None)
        before(layer, stream(seed, "scene things", number, state))
        near.append(layer.finish(blur))
    return Scene(far.finish(blur), tuple(near))
