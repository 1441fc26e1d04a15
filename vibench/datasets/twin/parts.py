"""The parts of a picture, as part masks number them."""

from __future__ import annotations

PARTS = (
    "background",
    "hair",
    "face",
    "torso",
    "left_arm",
    "right_arm",
    "hips",
    "left_leg",
    "right_leg",
    "left_shoe",
    "right_shoe",
    "backpack",
    "satchel",
    "occluder",
)
"""Names of the part mask's values; ``occluder`` is a pole, a shelf or another person."""

PART = {name: value for value, name in enumerate(PARTS)}
