"""What a person wears and is made of, ready to paint in one spectrum: clothes, bags, skin, hair and face."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from vibench.datasets.twin.identity import Identity, Surface, draw_identity
from vibench.datasets.twin.parts import PART
from vibench.datasets.twin.shapes import Baked
from vibench.datasets.twin.streams import stream
from vibench.datasets.twin.textures import head_maps

_MODELS = 200_000
"""Who shows the outfits that others share, with pids from here on."""


@dataclass(frozen=True)
class Wardrobe:
    """An identity's surfaces ready to paint in one spectrum."""

    identity: Identity
    head: Baked
    hair: Baked
    skin: Baked
    upper: Baked
    lower: Baked
    shoes: Baked
    backpack: Baked
    satchel: Baked


@lru_cache(maxsize=48)
def wardrobe(seed: int, pid: int, cameras: int, spectrum: str, outfits: int = 0) -> Wardrobe:
    """The surfaces of identity ``pid`` as a camera of ``spectrum``, visible, infrared or thermal, records them.

    With ``outfits`` everybody wears one of so many: garments, shoes and bags of the same make on bodies of their own.
    """
    identity = draw_identity(seed, pid, cameras)
    if outfits:
        model = draw_identity(seed, _MODELS + int(stream(seed, "outfit", pid).integers(outfits)), cameras)
        identity = replace(
            identity,
            upper=model.upper,
            lower=model.lower,
            shoes=model.shoes,
            backpack=model.backpack,
            satchel=model.satchel,
        )
    upper = _bake(identity.upper, spectrum)
    return Wardrobe(
        identity=identity,
        head=_bake_head(identity, spectrum),
        hair=_bake(identity.hair, spectrum),
        skin=_bake(identity.skin, spectrum),
        upper=upper,
        lower=upper if identity.lower is identity.upper else _bake(identity.lower, spectrum),
        shoes=_bake(identity.shoes, spectrum),
        backpack=_bake(identity.backpack, spectrum),
        satchel=_bake(identity.satchel, spectrum),
    )


def _values(surface: Surface, spectrum: str) -> np.ndarray:
    """(2, C) what the two colours look like in ``spectrum``."""
    if spectrum == "visible":
        return surface.colours
    if spectrum == "infrared":
        return surface.reflectance[:, None]
    return surface.temperature[:, None]


def _bake(surface: Surface, spectrum: str) -> Baked:
    values = _values(surface, spectrum)
    texels = values[0] + surface.texture[..., None] * (values[1] - values[0])
    if spectrum != "thermal":
        texels = texels * surface.relief[..., None]
    return Baked(np.ascontiguousarray(texels.reshape(-1, values.shape[1]), dtype=np.float32))


def _bake_head(identity: Identity, spectrum: str) -> Baked:
    """Hair, face and glasses as one texture around the head."""
    down, around = head_maps()
    body = identity.body
    side = np.abs(around)
    loose = identity.attributes.long_hair and not body.ponytail
    # The hairline: fringe over the forehead, down the temples, low at the back.
    temple, nape = (1.2, 1.2) if loose else (0.50, 0.86)
    hairline = np.interp(side, (0.0, 0.22, 0.30, 0.42, 0.58, 1.0), (*(3 * (body.fringe,)), temple, nape, nape))
    hairy = np.clip((hairline - down) * 30.0 + 0.5, 0.0, 1.0)[..., None]
    skin, hair = _values(identity.skin, spectrum)[0], _values(identity.hair, spectrum)[0]
    face = np.broadcast_to(skin, (*down.shape, len(skin))).copy()
    dark = 0.45 if spectrum != "thermal" else 0.96
    eye = np.hypot((down - 0.50) / 0.035, (side - 0.12) / 0.042) < 1.0
    brow = (np.abs(down - 0.41) < 0.022) & (np.abs(side - 0.12) < 0.075)
    mouth = (np.abs(down - 0.78) < 0.025) & (side < 0.085)
    nose = (np.abs(down - 0.62) < 0.04) & (side < 0.03)
    face[eye] *= dark * 0.6
    face[brow] *= dark * 1.2
    face[mouth] *= 0.72
    face[nose] *= 1.08
    face[down > 0.93] *= 0.8
    if identity.attributes.glasses:
        lens = (np.abs(down - 0.50) < 0.075) & (np.abs(side - 0.125) < 0.092)
        inner = (np.abs(down - 0.50) < 0.050) & (np.abs(side - 0.125) < 0.074)
        bow = (np.abs(down - 0.475) < 0.022) & (side < 0.52)
        frame = (lens & ~inner) | bow
        face[inner] = 0.85 * face[inner] + (0.08 if spectrum != "thermal" else 0.0)
        face[frame] = 0.07 if spectrum != "thermal" else 0.35
    texels = face + hairy * (hair - face)
    if spectrum != "thermal":
        texels = texels * identity.hair.relief[..., None]
    parts = np.where(hairy[..., 0] > 0.5, PART["hair"], PART["face"]).astype(np.uint8)
    return Baked(np.ascontiguousarray(texels.reshape(-1, len(skin)), dtype=np.float32), parts.reshape(-1))
