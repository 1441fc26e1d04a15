"""A twin that is harder in one property and in no other: occluders, viewing directions, boxes or clothes.

What is added has random streams of its own, so that a harder twin shows the same people, places and light as the plain
one of the same seed. Three levels each: how accuracy falls with the level tells what a method's step is good for.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vibench.datasets.twin.person import Placement
from vibench.datasets.twin.pose import Pose
from vibench.datasets.twin.streams import stream
from vibench.errors import UsageError, suggestion

KINDS = ("occlusion", "pose", "misalignment", "look-alikes")
LEVELS = (1, 2, 3)

SHARES = (0.3, 0.6, 0.9)
"""Of the images that are changed, per level of occlusion, pose and misalignment."""
OUTFITS = (48, 16, 5)
"""In how many outfits everybody is dressed, per level of look-alikes."""


@dataclass(frozen=True)
class Harder:
    """In what a twin is harder, and by how much."""

    kind: str
    """One of `KINDS`."""
    level: int
    """One of `LEVELS`."""

    def __str__(self) -> str:
        return f"{self.kind}:{self.level}"

    @property
    def share(self) -> float:
        """Of the images, how many are changed."""
        return SHARES[self.level - 1]

    @property
    def outfits(self) -> int:
        """In how many outfits everybody is dressed; 0: each person in his own."""
        return OUTFITS[self.level - 1] if self.kind == "look-alikes" else 0

    def random(self, kind: str, seed: int, *shot: int) -> np.random.Generator | None:
        """The stream of one image that ``kind`` changes; None for one that it leaves as it is."""
        if kind != self.kind:
            return None
        random = stream(seed, f"harder {kind}", *shot)
        # The image that a low level changes is changed in the same way by a high one.
        return random if random.random() < self.share else None


def parse_harder(text: str) -> Harder:
    """``KIND`` or ``KIND:LEVEL``; without a level the middle one. `UsageError` for anything else."""
    kind, colon, level = text.partition(":")
    if kind not in KINDS:
        raise UsageError(
            f"--harder {text!r}: a twin can be harder in {', '.join(KINDS)}{suggestion(kind, KINDS)}; write e.g. pose:3"
        )
    if colon and level not in {str(known) for known in LEVELS}:
        raise UsageError(f"--harder {text!r}: the level is {level!r}; write {kind}:1, {kind}:2 or {kind}:3")
    return Harder(kind, int(level) if colon else 2)


def turned(pose: Pose, random: np.random.Generator) -> Pose:
    """The person turned anywhere, striding wider, leaning and with bent arms."""
    return replace(
        pose,
        yaw=float(random.uniform(-np.pi, np.pi)),
        head_turn=float(random.uniform(-0.7, 0.7)),
        stride=float(random.uniform(0.1, 0.75)),
        elbow=float(random.uniform(0.0, 1.8)),
        lean=float(random.normal(0.0, 0.06)),
    )


def shifted(place: Placement, height: int, width: int, random: np.random.Generator) -> Placement:
    """The person too large, too small or aside in the box of a bad detector."""
    scale = place.scale * float(np.exp(random.uniform(np.log(0.65), np.log(1.5))))
    # About the middle of the body, from which the head and the feet then leave the box or keep away from its border.
    middle = place.ground - 0.5 * place.scale + height * random.uniform(-0.10, 0.10)
    return Placement(
        x=float(place.x + width * random.uniform(-0.18, 0.18)), ground=float(middle + 0.5 * scale), scale=scale
    )
