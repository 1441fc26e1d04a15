"""What an identity is: eight attributes, a body, and surfaces that look different in each modality.

Everything here is drawn once per identity, from the seed and the pid alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vibench.datasets.twin.streams import stream
from vibench.datasets.twin.textures import draw_texture, folds


@dataclass(frozen=True)
class Attributes:
    """The attributes that hold in every camera; bags are in `Identity.carries`."""

    female: bool
    long_hair: bool
    glasses: bool
    long_sleeves: bool
    skirt: bool
    long_lower: bool


@dataclass(frozen=True)
class Body:
    """Proportions as shares of the body height, except ``height`` (share of the frame) and angles (radians)."""

    height: float
    shoulder: float
    """Half the shoulder breadth."""
    waist: float
    hip: float
    depth: float
    """Thickness of the trunk divided by its breadth."""
    leg: float
    head: float
    arm: float
    limb: float
    """Radius of the upper arm; the other limb radii follow from it."""
    stoop: float
    stride: float
    cadence: float
    """Gait phase from one image number to the next, in turns."""
    swing: float
    cuff: float
    """Trouser width at the ankle divided by that of the bare leg."""
    skirt_flare: float
    hair_length: float
    """How far long hair falls below the chin, in head heights."""
    ponytail: bool
    fringe: float
    """Lower end of the hair on the forehead, as a share of the head height."""
    hem: float
    """How far the upper garment reaches below the hips."""


@dataclass(frozen=True)
class Surface:
    """One material with up to two colours; ``texture`` says where on the body which of the two lies."""

    colours: np.ndarray
    """(2, 3) float32, what a visible camera sees, 0..1."""
    reflectance: np.ndarray
    """(2,) float32, what an infrared camera sees, 0..1."""
    temperature: np.ndarray
    """(2,) float32, what a thermal camera sees, 0 (ambient) to 1 (bare skin)."""
    texture: np.ndarray
    """(V, T) float32, share of the second colour along (top to bottom) and around (front is the middle)."""
    relief: np.ndarray
    """(V, T) float32, brightness factor of folds, in both modalities."""


@dataclass(frozen=True)
class Identity:
    """One synthetic person."""

    pid: int
    attributes: Attributes
    body: Body
    hair: Surface
    skin: Surface
    upper: Surface
    lower: Surface
    shoes: Surface
    backpack: Surface
    satchel: Surface
    backpack_size: float
    satchel_side: int
    """+1: the bag hangs on the left hip; -1: on the right."""
    backpack_cameras: frozenset[int]
    satchel_cameras: frozenset[int]

    def carries(self, camera: int) -> tuple[bool, bool]:
        """Whether backpack and satchel are carried in front of this camera."""
        return camera in self.backpack_cameras, camera in self.satchel_cameras

    def code(self, camera: int) -> tuple[int, ...]:
        """The eight bits of `vibench.datasets.attribute_names.ATTRIBUTES` in this camera."""
        fixed = self.attributes
        bits = (fixed.female, fixed.long_hair, fixed.glasses, fixed.long_sleeves, fixed.skirt, fixed.long_lower)
        return tuple(int(bit) for bit in (*bits, *self.carries(camera)))


# Shared wardrobe: colour and how often it is worn. Dark and muted garments dominate, as on a campus; were colours
# vivid, a network would learn nothing else from visible images, and that is of no use across modalities.
_WARDROBE = np.array(
    [
        (0.09, 0.09, 0.09, 16),
        (0.25, 0.25, 0.26, 10),
        (0.14, 0.15, 0.22, 12),
        (0.88, 0.88, 0.87, 13),
        (0.62, 0.63, 0.63, 10),
        (0.42, 0.22, 0.22, 7),
        (0.27, 0.34, 0.46, 8),
        (0.60, 0.66, 0.73, 5),
        (0.25, 0.35, 0.28, 5),
        (0.52, 0.49, 0.43, 6),
        (0.72, 0.61, 0.64, 4),
        (0.76, 0.71, 0.52, 3),
        (0.33, 0.26, 0.36, 3),
    ]
)
_LUMINANCE = np.array([0.299, 0.587, 0.114])
_SKINS = np.array([(0.87, 0.68, 0.57), (0.80, 0.60, 0.47), (0.70, 0.49, 0.36), (0.52, 0.35, 0.26)])
_HAIRS = np.array([(0.07, 0.06, 0.06), (0.13, 0.09, 0.07), (0.27, 0.17, 0.10), (0.45, 0.33, 0.19)])


@dataclass(frozen=True)
class _Dye:
    absorption: tuple[float, float]
    """Share of the infrared light that a black dyeing of this kind takes away."""
    folds: float
    weight: float


# Undyed fibre is bright in infrared, and a dye can only take light away. How much depends on its kind and not on its
# hue: pigments and carbon stay dark, others are transparent, so that dark garments turn bright and patterns vanish.
_FIBRE = (0.72, 0.95)
_DYES = (_Dye((0.00, 0.25), 0.4, 1.5), _Dye((0.60, 0.80), 0.9, 3.0), _Dye((0.85, 0.96), 0.6, 5.5))
_CONTRAST = 0.32
"""Least difference in brightness between the two colours of a pattern."""

_SUN = 0.4
"""How much warmer by day a black garment is than a white one. Without it thermal images show nothing of what is worn
but its cut, and thirty people teach a network next to nothing."""

_OTHER_DYE = 0.15
"""Share of second colours that are dyed in another way than the first."""

_UPPER_PATTERNS = {
    "plain": 7,
    "horizontal": 17,
    "vertical": 10,
    "checks": 12,
    "blobs": 10,
    "print": 9,
    "band": 10,
    "halves": 10,
    "open": 10,
}
_LOWER_PATTERNS = {"plain": 26, "side": 16, "checks": 11, "vertical": 8, "horizontal": 8, "halves": 11}


@lru_cache(maxsize=64)
def draw_identity(seed: int, pid: int, cameras: int) -> Identity:
    """The identity ``pid`` of the twin ``seed``; ``cameras`` is the number of cameras of the layout."""
    random = stream(seed, "identity", pid)
    attributes = _draw_attributes(random)
    body = _draw_body(random, attributes)
    backpack, satchel = _draw_bags(random, attributes, cameras)
    random = stream(seed, "surfaces", pid)
    upper = _draw_fabric(random, _UPPER_PATTERNS, thickness=0.45 if attributes.long_sleeves else 0.25)
    lower = _draw_fabric(random, _LOWER_PATTERNS, thickness=0.35)
    if attributes.skirt and random.random() < 0.5:
        lower = upper  # a dress
    skin_tone, hair_tone = random.random() ** 1.5, random.random() ** 2
    skin = _natural(random, _tone(_SKINS, skin_tone), (0.62, 0.74), 1.0)
    hair = _natural(random, _tone(_HAIRS, hair_tone), (0.16, 0.42), 0.55)
    shoes = _draw_fabric(random, {"plain": 2, "halves": 1}, thickness=0.6)
    bags = [_draw_fabric(random, {"plain": 5, "halves": 2, "band": 2}, thickness=0.9) for _ in range(2)]
    return Identity(
        pid=pid,
        attributes=attributes,
        body=body,
        hair=hair,
        skin=skin,
        upper=upper,
        lower=lower,
        shoes=shoes,
        backpack=bags[0],
        satchel=bags[1],
        backpack_size=float(random.uniform(0.8, 1.25)),
        satchel_side=int(random.choice((-1, 1))),
        backpack_cameras=backpack,
        satchel_cameras=satchel,
    )


def _draw_attributes(random: np.random.Generator) -> Attributes:
    """Attributes with the marginals and the main correlations of the SYSU-MM01 labels."""

    def yes(probability: float) -> bool:
        return bool(random.random() < probability)

    female = yes(0.44)
    long_hair = yes(0.88 if female else 0.01)
    glasses = yes(0.58 if female else 0.69)
    long_sleeves = yes(0.52 if female else 0.40)
    skirt = yes(0.20 if female else 0.0)
    long_lower = yes(0.32) if skirt else yes(0.94 if long_sleeves else 0.61)
    return Attributes(female, long_hair, glasses, long_sleeves, skirt, long_lower)


def _draw_bags(
    random: np.random.Generator, attributes: Attributes, cameras: int
) -> tuple[frozenset[int], frozenset[int]]:
    """The cameras in which the backpack and the satchel are carried; for some identities not in all of them."""
    everywhere = frozenset(range(1, cameras + 1))
    draws = random.random(cameras)
    kind = random.random()
    if kind < 0.44:
        backpack: frozenset[int] = frozenset()
    elif kind < 0.66:
        backpack = everywhere
    else:
        backpack = frozenset(camera for camera in everywhere if draws[camera - 1] < 0.68)
    share = (0.24 if attributes.female else 0.10) if not backpack else 0.03
    draws = random.random(cameras)
    kind = random.random()
    if kind >= share:
        satchel: frozenset[int] = frozenset()
    elif kind < 0.45 * share:
        satchel = everywhere
    else:
        satchel = frozenset(camera for camera in everywhere if draws[camera - 1] < 0.6)
    return backpack, satchel


def _draw_body(random: np.random.Generator, attributes: Attributes) -> Body:
    female = attributes.female
    build = random.normal(0.0, 1.0)

    def around(mean: float, spread: float, by_build: float = 0.0) -> float:
        return float(mean + spread * np.clip(random.normal(), -2.2, 2.2) + by_build * build)

    shoulder = around(0.108 if female else 0.122, 0.006, 0.007)
    return Body(
        height=float(np.clip(around(0.88 if female else 0.91, 0.03), 0.80, 0.98)),
        shoulder=shoulder,
        waist=around(0.078 if female else 0.093, 0.004, 0.011),
        hip=around(0.094 if female else 0.091, 0.005, 0.008),
        depth=float(np.clip(around(0.66, 0.05, 0.05), 0.5, 0.9)),
        leg=around(0.480, 0.017),
        head=around(0.128, 0.006),
        arm=around(0.335, 0.014),
        limb=float(np.clip(around(0.026 if female else 0.029, 0.002, 0.004), 0.018, 0.045)),
        stoop=float(np.clip(around(0.02, 0.018), -0.01, 0.075)),
        stride=float(random.uniform(0.18, 0.52)),
        cadence=float(random.uniform(0.07, 0.19)),
        swing=float(random.uniform(0.1, 0.6)),
        cuff=float(random.choice((1.05, 1.3, 1.7)) * random.uniform(0.95, 1.1)),
        skirt_flare=float(random.uniform(1.05, 1.8)),
        hair_length=float(random.uniform(0.25, 1.25)),
        ponytail=bool(random.random() < 0.35),
        fringe=float(random.uniform(0.24, 0.42)),
        hem=float(random.uniform(0.005, 0.07)),
    )


def _tone(colours: np.ndarray, position: float) -> np.ndarray:
    """A colour between the rows of ``colours``; ``position`` 0..1."""
    place = position * (len(colours) - 1)
    below = min(int(place), len(colours) - 2)
    return colours[below] + (place - below) * (colours[below + 1] - colours[below])


def _natural(
    random: np.random.Generator, colour: np.ndarray, reflectance: tuple[float, float], temperature: float
) -> Surface:
    """Skin or hair: one colour, faint relief."""
    return Surface(
        colours=np.repeat(colour[None], 2, axis=0).astype(np.float32),
        reflectance=np.repeat(random.uniform(*reflectance), 2).astype(np.float32),
        temperature=np.repeat(temperature + random.uniform(-0.06, 0.06), 2).astype(np.float32),
        texture=draw_texture(random, "plain"),
        relief=folds(random, 0.3),
    )


def _worn_temperature(insulation: float, darkness: np.ndarray) -> np.ndarray:
    """(2,) how warm two colours of a garment are: the body through it, and by day the sun that dark ones take in."""
    return np.clip(0.78 - insulation + _SUN * (darkness - 0.5), 0.08, 0.95).astype(np.float32)


def _draw_fabric(random: np.random.Generator, patterns: dict[str, int], thickness: float) -> Surface:
    """A garment: two colours of the wardrobe, a pattern, a material that decides the infrared side."""
    names = list(patterns)
    weights = np.array([patterns[name] for name in names], dtype=float)
    pattern = names[random.choice(len(names), p=weights / weights.sum())]
    worn = _WARDROBE[:, 3] / _WARDROBE[:, 3].sum()
    first = _WARDROBE[random.choice(len(_WARDROBE), p=worn), :3]
    second = _WARDROBE[random.choice(len(_WARDROBE), p=worn), :3]
    for _ in range(40):
        if abs((first - second) @ _LUMINANCE) > _CONTRAST:
            break
        second = _WARDROBE[random.choice(len(_WARDROBE), p=worn), :3]
    colours = np.clip(np.stack([first, second]) + random.normal(0.0, 0.025, (2, 3)), 0.03, 0.95)
    shares = np.array([dye.weight for dye in _DYES])
    kinds = random.choice(len(_DYES), 2, p=shares / shares.sum())
    if random.random() > _OTHER_DYE:
        kinds[1] = kinds[0]
    place = random.random()
    absorption = np.array([low + place * (high - low) for low, high in (_DYES[kind].absorption for kind in kinds)])
    darkness = 1.0 - np.clip(colours @ _LUMINANCE / 0.88, 0.0, 1.0)
    reflectance = random.uniform(*_FIBRE) * (1.0 - absorption * darkness)
    return Surface(
        colours=colours.astype(np.float32),
        reflectance=reflectance.astype(np.float32),
        temperature=_worn_temperature(thickness * random.uniform(0.4, 1.1), darkness),
        texture=draw_texture(random, pattern),
        relief=folds(random, _DYES[kinds[0]].folds),
    )
