"""Posture and its two-dimensional skeleton: gait, lean and viewing direction, seen by an orthographic camera.

Body coordinates: x to the person's left, y up from the ground, z forward; unit is the body height. Yaw 0 faces the
camera, 90 degrees walks to the picture's right, 180 degrees shows the back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vibench.datasets.twin.identity import Body

KEYPOINTS = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
    "neck",
)
"""COCO's 17 names in COCO's order, and the neck."""

FOOT = 0.035
"""Height of the ankle above the ground."""


@dataclass(frozen=True)
class Pose:
    """How one image finds the body; angles in radians, phase in turns."""

    yaw: float
    head_turn: float
    phase: float
    stride: float
    swing: float
    elbow: float
    lean: float
    tilt: float
    """How far the camera looks down: sine of its pitch."""


@dataclass(frozen=True)
class Skeleton:
    """Projected joints: rows (x to the picture's right, y up, depth towards the camera), unit the body height."""

    joints: dict[str, np.ndarray]
    """The 18 `KEYPOINTS` and ``head`` (centre), ``pelvis``, ``chest``, ``left_toe``, ``right_toe``."""
    across: np.ndarray
    """(3,) the projected unit vector to the person's left."""
    forward: np.ndarray
    """(3,) the projected unit vector forward."""


def draw_pose(random: np.random.Generator, body: Body, heading: float, number: int, tilt: float) -> Pose:
    """The posture of one image: gait phase advances with the image number, the rest varies around the body's own."""
    return Pose(
        yaw=float(heading),
        head_turn=float(np.clip(random.normal(0.0, 0.25), -0.7, 0.7)),
        phase=float((body.cadence * number + random.normal(0.0, 0.06)) % 1.0),
        stride=float(body.stride * random.uniform(0.6, 1.2) * (random.random() > 0.12)),
        swing=float(body.swing * random.uniform(0.5, 1.3)),
        elbow=float(abs(random.normal(0.25, 0.22)) + (0.9 if random.random() < 0.08 else 0.0)),
        lean=float(random.normal(0.0, 0.012)),
        tilt=tilt,
    )


def skeleton(body: Body, pose: Pose) -> Skeleton:
    """Pose the body and project it."""
    angle = 2.0 * np.pi * pose.phase
    leg = body.leg - FOOT
    hip_height = body.leg
    points: dict[str, tuple[float, float, float]] = {}
    feet = []
    for side, sign in (("left", 1.0), ("right", -1.0)):
        swing = pose.stride * np.sin(angle) * sign
        bend = 0.15 + 1.1 * pose.stride * max(0.0, np.cos(angle) * sign)
        hip = (0.54 * body.hip * sign, hip_height, 0.0)
        knee = (0.53 * body.hip * sign, hip[1] - 0.5 * leg * np.cos(swing), 0.5 * leg * np.sin(swing))
        shin = swing - bend
        ankle = (0.52 * body.hip * sign, knee[1] - 0.5 * leg * np.cos(shin), knee[2] + 0.5 * leg * np.sin(shin))
        points[f"{side}_hip"], points[f"{side}_knee"], points[f"{side}_ankle"] = hip, knee, ankle
        points[f"{side}_toe"] = (ankle[0] * 1.25, ankle[1] - 0.6 * FOOT, ankle[2] + 0.062)
        feet.append(ankle[1])
    sink = min(feet) - FOOT
    head_centre = 1.0 - 0.52 * body.head
    neck_height = 1.0 - 1.22 * body.head
    ahead = body.stoop + pose.lean
    shoulder_height = neck_height - 0.022
    for side, sign in (("left", 1.0), ("right", -1.0)):
        swing = -pose.swing * np.sin(angle) * sign
        flex = swing + pose.elbow
        out = 0.10
        shoulder = (0.85 * body.shoulder * sign, shoulder_height - 0.020, 0.9 * ahead)
        upper, fore = 0.47 * body.arm, 0.53 * body.arm
        elbow = (
            shoulder[0] + sign * out * upper,
            shoulder[1] - upper * np.cos(swing),
            shoulder[2] + upper * np.sin(swing),
        )
        wrist = (elbow[0] + 0.2 * sign * out * fore, elbow[1] - fore * np.cos(flex), elbow[2] + fore * np.sin(flex))
        points[f"{side}_shoulder"], points[f"{side}_elbow"], points[f"{side}_wrist"] = shoulder, elbow, wrist
    points["neck"] = (0.0, neck_height, ahead)
    points["chest"] = (0.0, 0.5 * (neck_height + hip_height), 0.5 * ahead)
    points["pelvis"] = (0.0, hip_height, 0.0)
    points["head"] = (0.0, head_centre, 1.6 * ahead)
    radius = 0.38 * body.head
    turn = pose.head_turn
    for name, left, up, front in (
        ("nose", 0.0, -0.10, 1.02),
        ("left_eye", 0.38, 0.12, 0.88),
        ("right_eye", -0.38, 0.12, 0.88),
        ("left_ear", 1.0, 0.02, 0.0),
        ("right_ear", -1.0, 0.02, 0.0),
    ):
        x = left * np.cos(turn) + front * np.sin(turn)
        z = front * np.cos(turn) - left * np.sin(turn)
        points[name] = (radius * x, head_centre + 1.25 * radius * up, 1.6 * ahead + radius * z)
    cosine, sine = np.cos(pose.yaw), np.sin(pose.yaw)
    # Columns: where body x, y, z land in (picture x, picture y, depth); looking down lowers what is near.
    projection = np.array(
        [[cosine, 0.0, sine], [pose.tilt * sine, 1.0, -pose.tilt * cosine], [-sine, 0.0, cosine]], dtype=np.float64
    )
    joints = {name: projection @ np.array((x, y - sink, z)) for name, (x, y, z) in points.items()}
    return Skeleton(joints, projection[:, 0], projection[:, 2])
