"""What each camera does to a picture: place, resolution, light, lens, sensor and file compression."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vibench.datasets.twin.streams import stream
from vibench.modality import INFRARED, VISIBLE


@dataclass(frozen=True)
class Camera:
    """One camera of a layout; pairs are ranges from which each image draws."""

    number: int
    """As the data set has it."""
    title: str
    spectrum: str
    """``visible``, ``infrared`` or ``thermal``."""
    place: str
    """A scene of `vibench.datasets.twin.scenes.PLACES`."""
    resolution: float
    """Stored height divided by the twin's nominal height."""
    gain: tuple[float, float]
    gamma: tuple[float, float]
    cast: tuple[float, float, float]
    """White balance of the three channels."""
    cast_spread: float
    ambient: tuple[float, float]
    """Brightness of the side of a body that no light reaches: low is hard light."""
    slope: float
    """Largest brightness difference between the two sides of the picture."""
    black: float
    """Level to which haze or a bad lens lifts black."""
    blur: tuple[float, float]
    """Share of light a pixel gives to its two neighbours, per pass of a three-tap filter."""
    noise: tuple[float, float]
    quality: tuple[int, int]
    """JPEG quality."""
    tilt: float
    lamp: bool = False

    @property
    def modality(self) -> str:
        """``visible`` or ``infrared``; a thermal camera is the infrared one of its layout."""
        return VISIBLE if self.spectrum == "visible" else INFRARED


_SYSU_MM01 = (
    Camera(1, "cam1 hall", "visible", "hall", 1.0, (0.98, 1.12), (0.88, 1.02), (1.0, 1.0, 1.0), 0.03, (0.62, 0.80),
           0.20, 0.03, (0.02, 0.08), (0.006, 0.014), (88, 95), 0.12),
    Camera(2, "cam2 office", "visible", "office", 1.0, (0.82, 1.00), (0.92, 1.08), (1.07, 0.98, 0.83), 0.04,
           (0.60, 0.78), 0.25, 0.01, (0.03, 0.10), (0.008, 0.018), (86, 94), 0.16),
    Camera(3, "cam3 office, infrared", "infrared", "office", 0.90, (0.85, 1.05), (0.90, 1.12), (1.0, 1.0, 1.0), 0.0,
           (0.55, 0.75), 0.15, 0.03, (0.06, 0.16), (0.012, 0.026), (80, 92), 0.16, lamp=True),
    Camera(4, "cam4 gate", "visible", "gate", 0.62, (0.95, 1.30), (0.95, 1.25), (0.92, 1.0, 1.12), 0.05, (0.42, 0.62),
           0.30, 0.02, (0.06, 0.18), (0.010, 0.022), (70, 88), 0.08),
    Camera(5, "cam5 garden", "visible", "garden", 0.55, (0.80, 1.15), (0.88, 1.20), (0.96, 1.06, 0.88), 0.06,
           (0.45, 0.65), 0.35, 0.05, (0.08, 0.20), (0.012, 0.026), (66, 86), 0.06),
    Camera(6, "cam6 passage, infrared", "infrared", "passage", 0.75, (0.80, 1.08), (0.85, 1.15), (1.0, 1.0, 1.0), 0.0,
           (0.50, 0.72), 0.20, 0.05, (0.08, 0.18), (0.016, 0.034), (70, 86), 0.10, lamp=True),
)  # fmt: skip
_REGDB = (
    Camera(1, "visible", "visible", "street", 0.90, (0.75, 1.20), (0.85, 1.20), (1.0, 0.99, 0.95), 0.04, (0.45, 0.70),
           0.35, 0.02, (0.06, 0.14), (0.008, 0.020), (95, 95), 0.10),
    Camera(2, "thermal", "thermal", "street", 0.90, (0.85, 1.10), (0.85, 1.20), (1.0, 1.0, 1.0), 0.0, (0.80, 0.90),
           0.10, 0.05, (0.24, 0.31), (0.002, 0.006), (95, 95), 0.10),
)  # fmt: skip


def _by_night(camera: Camera) -> Camera:
    """What a camera with a filter that swings away is in the dark: infrared, by its own lamp."""
    return replace(
        camera,
        title=f"{camera.title}, infrared",
        spectrum="infrared",
        gain=(0.82, 1.06),
        cast=(1.0, 1.0, 1.0),
        cast_spread=0.0,
        ambient=(0.52, 0.74),
        noise=(0.014, 0.030),
        lamp=True,
    )


_OF_VIDEO = (
    *(replace(camera, number=number, title=f"D{number} {camera.place}")
      for number, camera in enumerate((camera for camera in _SYSU_MM01 if camera.modality == VISIBLE), start=1)),
    replace(_SYSU_MM01[5], number=5, title="D5 passage", spectrum="visible", cast=(1.02, 1.0, 0.94), cast_spread=0.04,
            noise=(0.010, 0.022), lamp=False),
    replace(_REGDB[0], number=6, title="D6 street", quality=(70, 90)),
)  # fmt: skip

CAMERAS: dict[str, tuple[Camera, ...]] = {
    "sysu-mm01": _SYSU_MM01,
    "regdb": _REGDB,
    "hitsz-vcm": (*_OF_VIDEO, *map(_by_night, _OF_VIDEO)),
    "buptcampus": (*_OF_VIDEO, *map(_by_night, _OF_VIDEO)),
}
"""Layout -> what takes its images, the first at place 1. Of video each camera stands there in colour and infrared."""

_LEVELS = 1024
_BRIGHTEST = 1.6
_NOISE_PLAY = 96
"""Pixels by which windows into the noise differ."""


def noise_tile(size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) float32 standard normal sensor noise, from which images of nominal ``size`` take random windows."""
    shape = (round(1.3 * size[0]) + _NOISE_PLAY, round(1.4 * size[1]) + _NOISE_PLAY, 3)
    return stream(0, "noise").standard_normal(shape, np.float32)


def illuminate(frame: np.ndarray, camera: Camera, random: np.random.Generator) -> None:
    """Uneven light on the whole picture, in place: a slope from side to side, or a lamp that glares and falls off."""
    height, width = frame.shape[:2]
    slope = random.uniform(-camera.slope, camera.slope)
    across = (1.0 + slope * np.linspace(-0.5, 0.5, width)).astype(np.float32)
    down = np.linspace(0.0, 1.0, height, dtype=np.float32)
    if camera.lamp:
        centre_x, centre_y = random.uniform(0.25, 0.75), random.uniform(0.15, 0.6)
        reach, glare = random.uniform(0.8, 1.4), random.uniform(0.65, 0.95)
        x = np.exp(-(((np.linspace(0.0, 1.0, width) - centre_x) / (1.3 * reach)) ** 2)).astype(np.float32)
        y = np.exp(-(((down - centre_y) / reach) ** 2)).astype(np.float32)
        field = np.float32(glare) * y[:, None] * (x * across) + np.float32(0.35)
    else:
        field = (np.float32(1.0 + 0.5 * slope) - np.float32(slope) * down)[:, None] * across
    frame *= field[..., None]


def blur(frame: np.ndarray, share: float) -> np.ndarray:
    """A separable three-tap filter that gives ``share`` of each pixel to its neighbours on either side."""
    keep, part = np.float32(1.0 - 2.0 * share), np.float32(share)
    for axis in (0, 1):
        source = frame.swapaxes(0, axis)
        blurred = source * keep
        given = source * part
        blurred[:-1] += given[1:]
        blurred[1:] += given[:-1]
        # Beyond the border the picture goes on as at the border.
        blurred[0] += given[0]
        blurred[-1] += given[-1]
        frame = blurred.swapaxes(0, axis)
    return frame


def record(
    frame: np.ndarray, camera: Camera, gain: float, random: np.random.Generator, noise: np.ndarray, number: int = 0
) -> np.ndarray:
    """Lens and sensor: blur, gain, white balance, gamma, noise. (H, W, C) float32 -> (H, W, C) uint8.

    Frames of one tracklet, whose ``random`` is the same, differ in noise by their ``number``.
    """
    height, width, channels = frame.shape
    share = random.uniform(*camera.blur)
    for _ in range(3 if camera.spectrum == "thermal" else 1):
        frame = blur(frame, share)
    gamma = random.uniform(*camera.gamma)
    casts = np.asarray(camera.cast[:channels]) * (1.0 + camera.cast_spread * random.normal(0.0, 1.0, channels))
    strength = np.float32(255.0 * random.uniform(*camera.noise))
    top, left = (random.integers(0, _NOISE_PLAY, 2) + number * np.array((7, 31))) % _NOISE_PLAY
    frame *= np.float32((_LEVELS - 1) / _BRIGHTEST)
    np.minimum(frame, np.float32(_LEVELS - 1), out=frame)
    np.maximum(frame, np.float32(0.0), out=frame)
    index = frame.astype(np.int16)
    out = noise[top : top + height, left : left + width, :channels] * strength
    levels = np.linspace(0.0, _BRIGHTEST, _LEVELS, dtype=np.float32)
    for channel in range(channels):
        curve = camera.black + (1.0 - camera.black) * (np.float32(gain * casts[channel]) * levels) ** np.float32(gamma)
        response = np.float32(255.0) * np.minimum(curve, np.float32(1.0)) + np.float32(0.5)
        out[..., channel] += response.take(index[..., channel])
    np.minimum(out, np.float32(255.0), out=out)
    np.maximum(out, np.float32(0.0), out=out)
    return out.astype(np.uint8)
