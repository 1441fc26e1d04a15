"""One picture from (seed, pid, camera, image number): scene, person, mishaps, light, lens; and what is true in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vibench.datasets.twin.camera import CAMERAS, Camera, illuminate, noise_tile, record
from vibench.datasets.twin.harder import Harder, shifted, turned
from vibench.datasets.twin.parts import PART
from vibench.datasets.twin.person import PersonPainter, Placement
from vibench.datasets.twin.pose import KEYPOINTS, Skeleton, draw_pose, skeleton
from vibench.datasets.twin.scenes import STATES, Scene, paint_scene
from vibench.datasets.twin.shapes import Baked, Canvas, box, light_table, new_canvas, paint
from vibench.datasets.twin.streams import stream
from vibench.datasets.twin.textures import COLUMNS, ROWS
from vibench.datasets.twin.wardrobe import Wardrobe, wardrobe

MASK_SIZE = (48, 24)
"""Height and width of the stored part masks."""

_STRANGERS = 100_000
"""Passers-by are identities of their own, with pids from here on."""

_SEEN_ON = {
    "nose": ("face",),
    "left_eye": ("face",),
    "right_eye": ("face",),
    "left_ear": ("face", "hair"),
    "right_ear": ("face", "hair"),
    "left_shoulder": ("torso", "left_arm", "backpack", "satchel", "hair"),
    "right_shoulder": ("torso", "right_arm", "backpack", "satchel", "hair"),
    "left_elbow": ("left_arm",),
    "right_elbow": ("right_arm",),
    "left_wrist": ("left_arm",),
    "right_wrist": ("right_arm",),
    "left_hip": ("torso", "hips", "left_leg"),
    "right_hip": ("torso", "hips", "right_leg"),
    "left_knee": ("left_leg", "hips"),
    "right_knee": ("right_leg", "hips"),
    "left_ankle": ("left_leg", "left_shoe"),
    "right_ankle": ("right_leg", "right_shoe"),
    "neck": ("torso", "face", "hair"),
}
_VISIBLE_PARTS = np.zeros((len(KEYPOINTS), 256), bool)
for _row, _name in enumerate(KEYPOINTS):
    _VISIBLE_PARTS[_row, [PART[part] for part in _SEEN_ON[_name]]] = True


@dataclass(frozen=True)
class Picture:
    """One rendered image and its truth."""

    image: np.ndarray
    """(H, W, C) uint8, C is 3 for visible and 1 for infrared and thermal; before file compression."""
    parts: np.ndarray
    """(H, W) uint8, values of `vibench.datasets.twin.parts.PARTS`."""
    keypoints: np.ndarray
    """(18, 3) float32: x and y in pixels of the image; 0 outside the frame, 1 hidden, 2 visible."""
    quality: int
    """JPEG quality the camera would store it with."""

    def mask(self) -> np.ndarray:
        """The part mask reduced to `MASK_SIZE` by nearest neighbour."""
        height, width = self.parts.shape
        rows = ((np.arange(MASK_SIZE[0]) + 0.5) * height / MASK_SIZE[0]).astype(int)
        columns = ((np.arange(MASK_SIZE[1]) + 0.5) * width / MASK_SIZE[1]).astype(int)
        return self.parts[rows][:, columns]


class Renderer:
    """Renders the pictures of one twin; holds painted scenes, no other state."""

    def __init__(self, layout: str, seed: int, size: tuple[int, int], harder: Harder | None = None) -> None:
        self.layout = layout
        self.seed = seed
        self.size = size
        self.harder = harder
        self.cameras = CAMERAS[layout]
        self._scenes: dict[int, Scene] = {}
        self._noise = noise_tile(size)

    def render_batch(self, shots: Iterable[tuple[int, ...]]) -> list[Picture]:
        """Render what `render` takes, one after the other."""
        return [self.render(*shot) for shot in shots]

    def render(self, pid: int, sensor: int, number: int, tracklet: int = 0) -> Picture:
        """Render image ``number`` (from 1) of identity ``pid`` as the layout's ``sensor`` (from 1) takes it.

        Of a ``tracklet`` (from 1) all frames have one way of walking, place, light and mishap; the gait goes on with
        ``number``, and every frame has noise of its own.
        """
        camera, moment = self.cameras[sensor - 1], tracklet or number
        # BUPTCampus' cameras have two sensors behind one lens: pictures are the same up to what each of them sees.
        camera_number = camera.number if self.layout == "buptcampus" else sensor
        paired = self.layout == "regdb"
        # RegDB's two cameras are mounted side by side and fire together: posture and crop are shared, the rest is not.
        shared = 0 if paired else camera_number
        posture = stream(self.seed, "posture", pid, shared, moment)
        random = stream(self.seed, "image", pid, camera_number, moment)
        clothes = self._wardrobe(pid, camera)
        body = clothes.identity.body
        height, width = self._frame_size(camera, posture)
        heading = self._heading(pid, shared, posture)
        pose = draw_pose(posture, body, heading, number, camera.tilt)
        turning = self._added("pose", pid, shared, moment)
        if turning is not None:
            pose = turned(pose, turning)
        bones = skeleton(body, pose)
        place = _crop(body.height, height, width, posture, hard=not paired)
        shifting = self._added("misalignment", pid, shared, moment)
        if shifting is not None:
            place = shifted(place, height, width, shifting)
        state = int(stream(self.seed, "state", pid, camera_number).integers(STATES))
        frame = self._background(sensor, height, width, state, random)
        if camera.spectrum != "thermal":
            _floor_shadow(frame, place, body.shoulder, random)
        canvas = new_canvas(frame)
        light = _body_light(camera, random)
        painter = PersonPainter(canvas, clothes, bones, pose.yaw, pose.head_turn, place, light)
        painter.paint(*clothes.identity.carries(camera.number))
        self._occlude(canvas, camera, light, random)
        hiding = self._added("occlusion", pid, camera_number, moment)
        if hiding is not None:
            _hide(canvas, light, hiding)
        illuminate(canvas.frame, camera, random)
        # Daylight and lamp levels drift slowly with the hour at which an identity passes.
        hour = stream(self.seed, "hour", pid, camera_number).uniform(0.92, 1.08)
        gain = hour * random.uniform(*camera.gain)
        image = record(canvas.frame, camera, gain, random, self._noise, number if tracklet else 0)
        quality = int(random.integers(camera.quality[0], camera.quality[1] + 1))
        return Picture(image, canvas.parts, _keypoints(bones, place, canvas.parts), quality)

    def _wardrobe(self, pid: int, camera: Camera) -> Wardrobe:
        outfits = self.harder.outfits if self.harder is not None else 0
        return wardrobe(self.seed, pid, len(self.cameras), camera.spectrum, outfits)

    def _added(self, kind: str, *shot: int) -> np.random.Generator | None:
        """The stream of what a harder twin changes in one image; None where it changes nothing."""
        return None if self.harder is None else self.harder.random(kind, self.seed, *shot)

    def _frame_size(self, camera: Camera, random: np.random.Generator) -> tuple[int, int]:
        """Pixel size of one crop: the camera's resolution, and an aspect that varies as detectors' boxes do."""
        if self.layout == "regdb":
            return round(self.size[0] * camera.resolution), round(self.size[1] * camera.resolution)
        zoom, aspect = random.uniform(0.90, 1.08), random.uniform(0.90, 1.12)
        return max(16, round(self.size[0] * camera.resolution * zoom)), max(
            8, round(self.size[1] * camera.resolution * zoom * aspect)
        )

    def _heading(self, pid: int, shared: int, random: np.random.Generator) -> float:
        """Viewing direction: people walk towards a camera or away from it, some across, some anywhere."""
        path = stream(self.seed, "path", pid, shared)
        if self.layout == "regdb":
            return np.pi * float(views_back(self.seed, pid)) + random.normal(0.0, 0.3)
        back = path.random() < 0.5
        if random.random() < 0.3:
            back = random.random() < 0.5
        if random.random() < 0.12:
            return random.uniform(-np.pi, np.pi)
        return np.pi * float(back) + random.normal(0.0, 0.45)

    def _background(self, sensor: int, height: int, width: int, state: int, random: np.random.Generator) -> np.ndarray:
        camera = self.cameras[sensor - 1]
        scene = self._scenes.get(sensor)
        if scene is None:
            tall = round(1.25 * self.size[0] * camera.resolution)
            scene = paint_scene(self.seed, camera.place, tall, coloured=camera.spectrum == "visible")
            self._scenes[sensor] = scene
        return scene.view(width, height, random.random(), random.uniform(-1.0, 1.0), state)

    def _occlude(self, canvas: Canvas, camera: Camera, light: np.ndarray, random: np.random.Generator) -> None:
        """In one image of eight something stands in front: a pole, a shelf, or another person at the edge."""
        kind = random.random()
        if kind >= 0.125:
            return
        height, width = canvas.parts.shape
        if kind < 0.045:
            self._stranger(canvas, camera, light, random)
            return
        surface = _plain_surface(canvas, random)
        if kind < 0.09:
            x, thick = random.uniform(0.1, 0.9) * width, random.uniform(0.03, 0.07) * width
            start, end, widths = (x, -2.0), (x + random.normal(0.0, 0.02) * width, height + 2.0), box(thick, 0.001)
        else:
            y = random.uniform(0.66, 0.85) * height
            start, end, widths = (0.5 * width, y), (0.5 * width, height + 2.0), box(0.8 * width, 0.001)
        paint(canvas, start, end, widths, surface, PART["occluder"], light)

    def _stranger(self, canvas: Canvas, camera: Camera, light: np.ndarray, random: np.random.Generator) -> None:
        height, width = canvas.parts.shape
        stranger = wardrobe(self.seed, _STRANGERS + int(random.integers(40)), len(self.cameras), camera.spectrum)
        body = stranger.identity.body
        pose = draw_pose(random, body, random.uniform(-np.pi, np.pi), int(random.integers(20)), camera.tilt)
        side = random.choice((-1.0, 1.0))
        place = Placement(
            x=width * (0.5 + side * random.uniform(0.46, 0.60)),
            ground=height * random.uniform(0.98, 1.15),
            scale=height * random.uniform(0.9, 1.1),
        )
        layer = new_canvas(canvas.frame)
        PersonPainter(layer, stranger, skeleton(body, pose), pose.yaw, pose.head_turn, place, light).paint(False, False)
        canvas.parts[layer.parts > 0] = PART["occluder"]


def views_back(seed: int, pid: int) -> bool:
    """RegDB layout: whether an identity was recorded from behind, as its file names say."""
    return bool(stream(seed, "view", pid).random() < 0.5)


def _plain_surface(canvas: Canvas, random: np.random.Generator) -> Baked:
    """What stands in front of a person: one level of grey, slightly tinted in colour."""
    channels = canvas.frame.shape[2]
    level = random.uniform(0.1, 0.7)
    tint = level + (random.normal(0.0, 0.05, channels) if channels == 3 else 0.0)
    texels = np.broadcast_to(np.asarray(tint, np.float32), (ROWS * COLUMNS, channels))
    return Baked(np.ascontiguousarray(texels))


def _hide(canvas: Canvas, light: np.ndarray, random: np.random.Generator) -> None:
    """Something large in front of the person: a counter that hides the lower part, or a wall that hides one side."""
    height, width = canvas.parts.shape
    surface = _plain_surface(canvas, random)
    if random.random() < 0.5:
        y = random.uniform(0.40, 0.65) * height
        start, end, widths = (0.5 * width, y), (0.5 * width, height + 2.0), box(0.8 * width, 0.001)
    else:
        thick = random.uniform(0.40, 0.58) * width
        x = 0.0 if random.random() < 0.5 else float(width)
        start, end, widths = (x, -2.0), (x, height + 2.0), box(thick, 0.001)
    paint(canvas, start, end, widths, surface, PART["occluder"], light)


def _crop(share: float, height: int, width: int, random: np.random.Generator, hard: bool) -> Placement:
    """Where a detector's box finds the person; ``hard`` adds boxes that cut head or feet."""
    scale = share * height * random.uniform(0.95, 1.04)
    x = width * (0.5 + np.clip(random.normal(0.0, 0.04), -0.12, 0.12))
    ground = height * (0.5 + 0.5 * share) + height * random.normal(0.0, 0.02)
    mishap = random.random()
    if hard and mishap < 0.06:
        scale *= random.uniform(1.08, 1.25)
        ground = height * 0.99 + (0.0 if mishap < 0.03 else scale - 0.97 * height)
    elif hard and mishap < 0.09:
        scale *= random.uniform(0.76, 0.9)
        x += width * random.uniform(-0.12, 0.12)
    return Placement(float(x), float(ground), float(scale))


def _body_light(camera: Camera, random: np.random.Generator) -> np.ndarray:
    ambient = random.uniform(*camera.ambient)
    direction = random.normal(0.0, 0.25) if camera.lamp else random.uniform(-1.0, 1.0)
    return light_table(direction, ambient)


def _floor_shadow(frame: np.ndarray, place: Placement, shoulder: float, random: np.random.Generator) -> None:
    """Darken the floor around the feet, stretched to the side the light does not come from."""
    height, width = frame.shape[:2]
    top = max(int(place.ground - 0.06 * place.scale), 0)
    if top >= height:
        return
    stretch, shift = random.uniform(1.2, 2.6), random.uniform(-0.8, 0.8)
    x = (np.arange(width) - place.x - shift * stretch * shoulder * place.scale) / (stretch * shoulder * place.scale)
    y = (np.arange(top, height) - place.ground) / (0.035 * place.scale)
    reach = 1.0 - x[None, :] ** 2 - y[:, None] ** 2
    strength = random.uniform(0.25, 0.6)
    frame[top:] *= (1.0 - strength * np.clip(reach, 0.0, 1.0)).astype(np.float32)[..., None]


def _keypoints(bones: Skeleton, place: Placement, parts: np.ndarray) -> np.ndarray:
    height, width = parts.shape
    points = np.zeros((len(KEYPOINTS), 3), np.float32)
    for row, name in enumerate(KEYPOINTS):
        points[row, :2] = place.pixel(bones.joints[name])
    x, y = points[:, 0].astype(int), points[:, 1].astype(int)
    inside = (points[:, 0] >= 0) & (points[:, 1] >= 0) & (x < width) & (y < height)
    seen = _VISIBLE_PARTS[np.arange(len(points)), parts[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]]
    points[:, 2] = np.where(inside, np.where(seen, 2, 1), 0)
    return points
