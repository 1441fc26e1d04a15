"""Draws a person: shapes from back to front, so that the topmost shape at a pixel is the part seen there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vibench.datasets.twin.identity import Body
from vibench.datasets.twin.parts import PART
from vibench.datasets.twin.pose import FOOT, Skeleton
from vibench.datasets.twin.shapes import Baked, Canvas, box, ellipse, paint, profile, tube
from vibench.datasets.twin.wardrobe import Wardrobe


@dataclass(frozen=True)
class Placement:
    """Where the body stands in the picture."""

    x: float
    """Pixel column of the body's axis."""
    ground: float
    """Pixel row of the ground under it."""
    scale: float
    """Body height in pixels."""

    def pixel(self, joint: np.ndarray) -> tuple[float, float]:
        """Picture position (x, y) of a projected joint."""
        return self.x + self.scale * float(joint[0]), self.ground - self.scale * float(joint[1])


class PersonPainter:
    """Paints one person in one posture onto a canvas."""

    def __init__(
        self,
        canvas: Canvas,
        clothes: Wardrobe,
        skeleton: Skeleton,
        yaw: float,
        head_turn: float,
        place: Placement,
        light: np.ndarray,
    ) -> None:
        self.canvas = canvas
        self.clothes = clothes
        self.body: Body = clothes.identity.body
        self.attributes = clothes.identity.attributes
        self.skeleton = skeleton
        self.yaw = yaw
        self.head_turn = head_turn
        self.place = place
        self.light = light

    def paint(self, backpack: bool, satchel: bool) -> None:
        """Paint the whole person, with the bags carried."""
        across, forward = self.skeleton.across, self.skeleton.forward
        side = self.clothes.identity.satchel_side
        bag_behind = satchel and side * across[2] < -0.3
        if bag_behind:
            self._satchel(side)
        if backpack and forward[2] > 0.0:
            self._backpack()
        far, near = ("left", "right") if across[2] < 0.0 else ("right", "left")
        arm_behind = abs(across[2]) > 0.3
        if arm_behind:
            self._arm(far, shade=0.82)
        for leg in (far, near):
            self._leg(leg, shade=0.86 if leg == far else 1.0)
        self._neck()
        self._hips()
        self._torso()
        if backpack:
            if forward[2] > 0.0:
                self._straps()
            else:
                self._backpack()
        if satchel:
            self._sling(side)
            if not bag_behind:
                self._satchel(side)
        if self.attributes.long_hair:
            self._long_hair()
        self._head()
        for arm in (near,) if arm_behind else (far, near):
            self._arm(arm)

    def _tube(
        self,
        start: np.ndarray,
        end: np.ndarray,
        radii: tuple[float, float],
        surface: Baked,
        part: str,
        rows: tuple[float, float] = (0.0, 1.0),
        shade: float = 1.0,
    ) -> None:
        """A round-ended limb; radii as shares of the body height."""
        scale = self.place.scale
        (x0, y0), (x1, y1) = self.place.pixel(start), self.place.pixel(end)
        length = float(np.hypot(x1 - x0, y1 - y0))
        widths, before, behind = tube(radii[0] * scale, radii[1] * scale, length)
        ux, uy = ((x1 - x0) / length, (y1 - y0) / length) if length > 1e-3 else (0.0, 1.0)
        paint(
            self.canvas,
            (x0 - ux * before, y0 - uy * before),
            (x1 + ux * behind, y1 + uy * behind),
            widths,
            surface,
            PART[part],
            self.light,
            self.yaw,
            rows,
            shade,
        )

    def _piece(
        self,
        start: np.ndarray,
        end: np.ndarray,
        widths: np.ndarray,
        surface: Baked,
        part: str,
        turn: float | None = None,
        rows: tuple[float, float] = (0.0, 1.0),
        shade: float = 1.0,
    ) -> None:
        """A piece that ends exactly at start and end; widths as shares of the body height."""
        paint(
            self.canvas,
            self.place.pixel(start),
            self.place.pixel(end),
            widths * np.float32(self.place.scale),
            surface,
            PART[part],
            self.light,
            self.yaw if turn is None else turn,
            rows,
            shade,
        )

    def _seen(self, breadth: float, depth: float) -> float:
        """Half-width of an elliptic cross-section as the camera sees it."""
        return float(np.hypot(breadth * self.skeleton.across[0], depth * self.skeleton.forward[0]))

    def _at(self, joint: str, up: float = 0.0, left: float = 0.0, ahead: float = 0.0) -> np.ndarray:
        """A projected point near a joint, moved in body directions."""
        moved = self.skeleton.joints[joint] + left * self.skeleton.across + ahead * self.skeleton.forward
        return moved + np.array((0.0, up, 0.0))

    def _torso(self) -> None:
        body = self.body
        places = (0.0, 0.05, 0.11, 0.2, 0.42, 0.64, 0.9, 1.0)
        breadths = (
            0.34 * body.shoulder,
            0.60 * body.shoulder,
            0.90 * body.shoulder,
            0.93 * body.shoulder,
            0.5 * (0.93 * body.shoulder + body.waist),
            body.waist,
            body.hip,
            1.07 * body.hip,
        )
        depths = [body.depth * (0.80 if index < 4 else 1.0) for index in range(len(places))]
        widths = tuple(self._seen(w, d * w) + 0.004 for w, d in zip(breadths, depths, strict=True))
        self._piece(
            self._at("neck", up=0.012),
            self._at("pelvis", up=-body.hem),
            profile(places, widths),
            self.clothes.upper,
            "torso",
        )

    def _hips(self) -> None:
        body, length = self.body, self.body.leg - FOOT
        if self.attributes.skirt:
            end = 0.88 * length if self.attributes.long_lower else 0.44 * length
            flare = body.skirt_flare if not self.attributes.long_lower else 0.5 + 0.5 * body.skirt_flare
            widths = [self._seen(w, 0.85 * w) for w in (body.waist, 1.04 * body.hip, flare * body.hip)]
            self._piece(
                self._at("pelvis", up=0.10),
                self._at("pelvis", up=-end),
                profile((0.0, 0.10 / (0.10 + end), 1.0), tuple(widths)),
                self.clothes.lower,
                "hips",
            )
            return
        wide = self._seen(body.hip, body.depth * body.hip)
        self._piece(
            self._at("pelvis", up=0.06),
            self._at("pelvis", up=-0.055),
            profile((0.0, 0.6, 1.0), (0.55 * wide, 0.95 * wide, 0.72 * wide)),
            self.clothes.lower,
            "hips",
            rows=(0.0, 0.15),
        )

    def _leg(self, side: str, shade: float) -> None:
        joints, body, clothes = self.skeleton.joints, self.body, self.clothes
        hip, knee, ankle = joints[f"{side}_hip"], joints[f"{side}_knee"], joints[f"{side}_ankle"]
        stout = 0.35 + 0.65 * body.limb / 0.028
        thigh, calf, bone = 0.050 * stout, 0.035 * stout, 0.021 * stout
        part = f"{side}_leg"
        toe = joints[f"{side}_toe"]
        heel = ankle - 0.018 * self.skeleton.forward - np.array((0.0, 0.3 * FOOT, 0.0))
        self._tube(heel, toe, (0.024, 0.018), clothes.shoes, f"{side}_shoe", shade=shade)
        if self.attributes.long_lower and not self.attributes.skirt:
            cuff = bone * body.cuff
            middle = max(1.12 * calf, 0.5 * (1.12 * thigh + cuff))
            self._tube(knee, ankle, (middle, cuff), clothes.lower, part, rows=(0.5, 1.0), shade=shade)
            self._tube(hip, knee, (1.12 * thigh, middle), clothes.lower, part, rows=(0.05, 0.5), shade=shade)
            return
        self._tube(knee, ankle, (calf, bone), clothes.skin, part, shade=shade)
        self._tube(hip, knee, (thigh, calf), clothes.skin, part, shade=shade)
        if not self.attributes.skirt:
            hem = hip + 0.86 * (knee - hip)
            widths = profile(
                (0.0, 0.15, 1.0), (0.75 * thigh, 1.12 * thigh, 0.5 * (thigh + calf) * (0.8 + 0.35 * body.cuff))
            )
            self._piece(hip, hem, widths, clothes.lower, part, rows=(0.1, 1.0), shade=shade)

    def _arm(self, side: str, shade: float = 1.0) -> None:
        joints, limb, clothes = self.skeleton.joints, self.body.limb, self.clothes
        shoulder, elbow, wrist = joints[f"{side}_shoulder"], joints[f"{side}_elbow"], joints[f"{side}_wrist"]
        part = f"{side}_arm"
        hand = wrist + 0.16 * (wrist - elbow)
        self._tube(wrist, hand, (0.014, 0.012), clothes.skin, part, shade=shade)
        if self.attributes.long_sleeves:
            self._tube(elbow, wrist, (1.08 * limb, 0.74 * limb), clothes.upper, part, rows=(0.4, 0.8), shade=shade)
            self._tube(shoulder, elbow, (1.16 * limb, 1.08 * limb), clothes.upper, part, rows=(0.0, 0.4), shade=shade)
            return
        self._tube(elbow, wrist, (0.86 * limb, 0.58 * limb), clothes.skin, part, shade=shade)
        covered = shoulder + 0.4 * (elbow - shoulder)
        self._tube(covered, elbow, (limb, 0.86 * limb), clothes.skin, part, shade=shade)
        end = shoulder + 0.62 * (elbow - shoulder)
        start = shoulder - 0.16 * (elbow - shoulder)
        widths = profile((0.0, 0.12, 0.3, 1.0), (0.45 * limb, 0.95 * limb, 1.2 * limb, 1.32 * limb))
        self._piece(start, end, widths, clothes.upper, part, rows=(0.0, 0.3), shade=shade)

    def _neck(self) -> None:
        radius = 0.30 * self.body.head
        self._tube(
            self._at("neck", up=-0.01), self.skeleton.joints["head"], (radius, radius), self.clothes.skin, "face"
        )

    def _head(self) -> None:
        body = self.body
        breadth = 0.385 * body.head
        width = self._seen(breadth, 1.13 * breadth)
        head = self.skeleton.joints["head"]
        half = np.array((0.0, 0.52 * body.head, 0.0))
        turn = self.yaw + self.head_turn
        self._piece(head + half, head - half, ellipse(width), self.clothes.head, "hair", turn=turn)

    def _long_hair(self) -> None:
        body = self.body
        head = self.skeleton.joints["head"]
        behind = head - 0.16 * body.head * self.skeleton.forward
        end = np.array((0.0, (0.5 + body.hair_length) * body.head, 0.0))
        if body.ponytail:
            root = head - 0.46 * body.head * self.skeleton.forward + np.array((0.0, 0.12 * body.head, 0.0))
            if self.skeleton.forward[2] < 0.45:
                radii = (0.13 * body.head, 0.09 * body.head)
                self._tube(root, root - 0.8 * end, radii, self.clothes.hair, "hair", shade=0.92)
            return
        width = self._seen(0.46 * body.head, 0.34 * body.head)
        widths = profile((0.0, 0.12, 0.35, 0.8, 1.0), (0.3 * width, 0.8 * width, width, 1.02 * width, 0.7 * width))
        # Seen from the front the hair falls behind the shoulders: only strands beside the neck remain.
        if self.skeleton.forward[2] > 0.35:
            for sign in (-1.0, 1.0):
                strand = head + sign * 0.37 * body.head * self.skeleton.across
                radii = (0.09 * body.head, 0.07 * body.head)
                self._tube(strand, strand - 0.85 * end, radii, self.clothes.hair, "hair", shade=0.9)
            return
        top = behind + np.array((0.0, 0.5 * body.head, 0.0))
        self._piece(top, behind - end, widths, self.clothes.hair, "hair", shade=0.95)

    def _backpack(self) -> None:
        body, size = self.body, self.clothes.identity.backpack_size
        thick, wide = 0.052 * size, 0.092 * size
        back = -(body.depth * body.shoulder * 0.72 + 0.7 * thick)
        start, end = self._at("neck", up=-0.045, ahead=back), self._at("chest", up=-0.085 * size, ahead=back)
        widths = box(self._seen(wide, thick), 0.2)
        self._piece(start, end, widths, self.clothes.backpack, "backpack", turn=self.yaw + np.pi)

    def _straps(self) -> None:
        body = self.body
        ahead = 0.62 * body.depth * body.shoulder
        for sign in (-1.0, 1.0):
            top = self._at("neck", up=-0.018, left=sign * 0.56 * body.shoulder, ahead=0.2 * ahead)
            middle = self._at("neck", up=-0.10, left=sign * 0.60 * body.shoulder, ahead=ahead)
            low = self._at("chest", up=0.02, left=sign * 0.78 * body.shoulder, ahead=0.75 * ahead)
            self._tube(top, middle, (0.011, 0.011), self.clothes.backpack, "backpack")
            self._tube(middle, low, (0.011, 0.009), self.clothes.backpack, "backpack")

    def _sling(self, side: int) -> None:
        body = self.body
        facing = 1.0 if self.skeleton.forward[2] > 0.0 else -1.0
        ahead = facing * 0.55 * body.depth * body.shoulder
        top = self._at("neck", up=-0.012, left=-side * 0.5 * body.shoulder)
        low = self._at("pelvis", up=0.03, left=side * 1.0 * body.hip, ahead=0.5 * ahead)
        middle = 0.5 * (top + low) + 0.6 * ahead * self.skeleton.forward
        self._tube(top, middle, (0.008, 0.008), self.clothes.satchel, "satchel")
        self._tube(middle, low, (0.008, 0.008), self.clothes.satchel, "satchel")

    def _satchel(self, side: int) -> None:
        width = self._seen(0.035, 0.075)
        top = self._at("pelvis", up=0.045, left=side * 1.22 * self.body.hip)
        self._piece(top, top - np.array((0.0, 0.125, 0.0)), box(width, 0.12), self.clothes.satchel, "satchel")
