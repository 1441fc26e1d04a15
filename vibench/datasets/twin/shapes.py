"""The one drawing primitive: a soft-edged profile around an axis, with shading and texture in its own coordinates.

Capsules, ellipses, boxes and trunks are all profiles: a half-width at each place of an axis. Only the shape's bounding
box is touched, which makes a picture of some thirty shapes a matter of milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vibench.datasets.twin.textures import COLUMNS, ROWS

STEPS = 64
"""Half-widths along an axis."""

_ANGLES = 64
_PLACE = (np.arange(STEPS, dtype=np.float32) + 0.5) / STEPS
_ACROSS = np.linspace(-1.0, 1.0, _ANGLES, dtype=np.float32)
_COLUMN = np.rint(np.arcsin(_ACROSS) / (2.0 * np.pi) * COLUMNS).astype(np.int32) + COLUMNS // 2


@dataclass(frozen=True)
class Canvas:
    """A picture being composed, and the index of the topmost part at each pixel."""

    frame: np.ndarray
    """(H, W, C) float32, C is 3 for visible and 1 for infrared."""
    parts: np.ndarray
    """(H, W) uint8."""
    columns: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class Baked:
    """A surface ready to paint in one modality."""

    texels: np.ndarray
    """(ROWS * COLUMNS, C) float32."""
    parts: np.ndarray | None = None
    """(ROWS * COLUMNS,) uint8 where the part differs over the surface, as hair and face on the head."""


def new_canvas(frame: np.ndarray) -> Canvas:
    """A canvas over ``frame`` (H, W, C), which is painted in place."""
    height, width = frame.shape[:2]
    return Canvas(
        frame=frame,
        parts=np.zeros((height, width), np.uint8),
        columns=np.arange(width, dtype=np.float32) + 0.5,
        rows=(np.arange(height, dtype=np.float32) + 0.5)[:, None],
    )


def light_table(direction: float, ambient: float) -> np.ndarray:
    """(_ANGLES,) float32 brightness across a round body lit from ``direction`` (-1 left .. 1 right)."""
    angle = np.arcsin(_ACROSS) - direction * 1.2
    return (ambient + (1.0 - ambient) * np.maximum(0.0, np.cos(angle))).astype(np.float32)


def tube(start_radius: float, end_radius: float, length: float) -> tuple[np.ndarray, float, float]:
    """A limb: half-widths with round ends, and how far the axis reaches beyond start and end."""
    whole = length + start_radius + end_radius
    position = _PLACE * np.float32(whole)
    ends = (0.0, start_radius, start_radius + length, whole)
    widths = np.interp(position, ends, (start_radius, start_radius, end_radius, end_radius))
    for distance, radius in ((position, start_radius), (whole - position, end_radius)):
        inward = np.maximum(1.0 - distance / max(radius, 1e-3), 0.0)
        widths *= np.sqrt(1.0 - inward * inward)
    return widths.astype(np.float32), start_radius, end_radius


def ellipse(radius: float) -> np.ndarray:
    """Half-widths of an ellipse of half-width ``radius``."""
    return (radius * _ELLIPSE).astype(np.float32)


def box(radius: float, corner: float) -> np.ndarray:
    """Half-widths of a box with rounded corners; ``corner`` is their share of the length."""
    inward = np.clip(1.0 - np.minimum(_PLACE, 1.0 - _PLACE) / corner, 0.0, 1.0)
    return (radius * (1.0 - 0.45 * (1.0 - np.sqrt(1.0 - inward * inward)))).astype(np.float32)


def profile(places: tuple[float, ...], widths: tuple[float, ...]) -> np.ndarray:
    """Half-widths interpolated between knots."""
    return np.interp(_PLACE, places, widths).astype(np.float32)


def paint(
    canvas: Canvas,
    start: tuple[float, float],
    end: tuple[float, float],
    widths: np.ndarray,
    surface: Baked,
    part: int,
    light: np.ndarray,
    turn: float = 0.0,
    rows: tuple[float, float] = (0.0, 1.0),
    shade: float = 1.0,
) -> None:
    """Paint a profile from ``start`` to ``end`` (pixels: x right, y down) over the canvas.

    ``widths`` (STEPS,) are half-widths in pixels; ``turn`` (radians) rotates the texture about the axis; ``rows`` is
    the stretch of the texture that start..end shows; ``shade`` is a brightness factor.
    """
    height, width = canvas.parts.shape
    reach = float(widths.max()) + 1.0
    left = max(int(min(start[0], end[0]) - reach), 0)
    right = min(int(max(start[0], end[0]) + reach) + 2, width)
    top = max(int(min(start[1], end[1]) - reach), 0)
    bottom = min(int(max(start[1], end[1]) + reach) + 2, height)
    if left >= right or top >= bottom:
        return
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max(float(np.hypot(dx, dy)), 1e-3)
    dx, dy = dx / length, dy / length
    x = canvas.columns[left:right] - np.float32(start[0])
    y = canvas.rows[top:bottom] - np.float32(start[1])
    step = x * np.float32(dx * STEPS / length) + y * np.float32(dy * STEPS / length)
    step += 1.0
    np.maximum(step, np.float32(0.0), out=step)
    np.minimum(step, np.float32(STEPS + 1), out=step)
    place = step.astype(np.int32)
    across = x * np.float32(dy) - y * np.float32(dx)
    table = np.empty(STEPS + 2, np.float32)
    # Before the start and behind the end lies nothing.
    table[0] = table[-1] = -1e3
    table[1:-1] = widths
    half = table.take(place)
    alpha = half - np.abs(across)
    alpha += np.float32(0.5)
    np.maximum(alpha, np.float32(0.0), out=alpha)
    np.minimum(alpha, np.float32(1.0), out=alpha)
    across /= np.maximum(half, np.float32(0.5))
    across *= np.float32(0.5 * (_ANGLES - 1))
    across += np.float32(0.5 * _ANGLES)
    np.maximum(across, np.float32(0.0), out=across)
    np.minimum(across, np.float32(_ANGLES - 1), out=across)
    angle = across.astype(np.int32)
    shift = round(-turn / (2.0 * np.pi) * COLUMNS)
    columns = (_COLUMN + shift) & (COLUMNS - 1)
    stretch = np.empty(STEPS + 2, np.int32)
    stretch[1:-1] = (rows[0] * ROWS) + ((rows[1] - rows[0]) * (ROWS - 1)) * _PLACE
    stretch[0], stretch[-1] = stretch[1], stretch[-2]
    stretch *= COLUMNS
    texel = stretch.take(place)
    texel += columns.take(angle)
    colour = surface.texels.take(texel, axis=0)
    colour *= (light * np.float32(shade)).take(angle)[..., None]
    window = canvas.frame[top:bottom, left:right]
    colour -= window
    colour *= alpha[..., None]
    window += colour
    covered = alpha > 0.5
    parts = canvas.parts[top:bottom, left:right]
    if surface.parts is None:
        parts[covered] = part
    else:
        np.copyto(parts, surface.parts.take(texel), where=covered)


_ELLIPSE = np.sqrt(np.maximum(1.0 - (2.0 * _PLACE - 1.0) ** 2, 0.0))
