"""Pictures: deterministic, true to their truth, and showing the attributes."""

from dataclasses import replace

import numpy as np
import pytest

from vibench.datasets.twin.camera import CAMERAS
from vibench.datasets.twin.identity import Attributes, Identity, draw_identity
from vibench.datasets.twin.parts import PART
from vibench.datasets.twin.person import PersonPainter, Placement
from vibench.datasets.twin.pose import KEYPOINTS, Pose, skeleton
from vibench.datasets.twin.render import Renderer
from vibench.datasets.twin.shapes import light_table, new_canvas
from vibench.datasets.twin.wardrobe import wardrobe

_SIZE = (96, 48)
_FRONT, _BACK = 0.0, np.pi


def _paint(attributes: Attributes, yaw: float, backpack: bool = False, satchel: bool = False) -> np.ndarray:
    """The part mask of identity 1 with other attributes, on an empty ground."""
    clothes = wardrobe(0, 1, 6, "infrared")
    changed: Identity = replace(clothes.identity, attributes=attributes)
    canvas = new_canvas(np.zeros((192, 96, 1), np.float32))
    pose = Pose(yaw=yaw, head_turn=0.0, phase=0.1, stride=0.2, swing=0.2, elbow=0.2, lean=0.0, tilt=0.1)
    place = Placement(48.0, 184.0, 170.0)
    painter = PersonPainter(
        canvas, replace(clothes, identity=changed), skeleton(changed.body, pose), yaw, 0.0, place, light_table(0, 1)
    )
    painter.paint(backpack, satchel)
    return canvas.parts


def _attributes(**changes: bool) -> Attributes:
    plain = Attributes(female=False, long_hair=False, glasses=False, long_sleeves=False, skirt=False, long_lower=True)
    return replace(plain, **changes)


def _area(parts: np.ndarray, *names: str) -> int:
    return int(np.isin(parts, [PART[name] for name in names]).sum())


def test_a_picture_depends_on_nothing_that_was_rendered_before() -> None:
    wanted = (5, 4, 3)
    alone = Renderer("sysu-mm01", 1, _SIZE).render(*wanted)
    busy = Renderer("sysu-mm01", 1, _SIZE)
    busy.render_batch([(9, 1, 1), (5, 6, 2), (5, 4, 2)])
    again = busy.render(*wanted)
    assert np.array_equal(alone.image, again.image)
    assert np.array_equal(alone.keypoints, again.keypoints)
    assert np.array_equal(alone.parts, again.parts)
    assert not np.array_equal(alone.image.shape, busy.render(5, 4, 4).image.shape) or not np.array_equal(
        alone.image, busy.render(5, 4, 4).image
    )


@pytest.mark.parametrize("layout", ["sysu-mm01", "regdb"])
def test_only_visible_cameras_see_colour(layout: str) -> None:
    renderer = Renderer(layout, 0, _SIZE)
    for camera in CAMERAS[layout]:
        channels = renderer.render(2, camera.number, 1).image.shape[2]
        assert channels == (3 if camera.modality == "visible" else 1)


def test_outdoor_cameras_have_a_lower_resolution() -> None:
    renderer = Renderer("sysu-mm01", 0, _SIZE)
    heights = {
        camera: np.mean([renderer.render(1, camera, number).image.shape[0] for number in range(1, 6)])
        for camera in (1, 2, 4, 5)
    }
    assert max(heights[4], heights[5]) < 0.8 * min(heights[1], heights[2])


def test_truth_agrees_with_the_picture() -> None:
    renderer = Renderer("sysu-mm01", 2, _SIZE)
    torso = {PART[name] for name in ("torso", "left_arm", "right_arm", "backpack", "satchel", "hair")}
    visible_points = 0
    for pid in range(1, 13):
        for camera in (1, 3, 5):
            picture = renderer.render(pid, camera, 1)
            height, width = picture.parts.shape
            assert picture.image.shape[:2] == (height, width)
            for name, (x, y, state) in zip(KEYPOINTS, picture.keypoints, strict=True):
                inside = 0 <= x < width and 0 <= y < height
                assert (state > 0) == inside
                if state == 2:
                    visible_points += 1
                    part = picture.parts[int(y), int(x)]
                    assert part != PART["background"] and part != PART["occluder"]
                    if name.endswith("shoulder"):
                        assert part in torso
    # Most keypoints are seen, some are hidden: otherwise the flags say nothing.
    assert 0.45 < visible_points / (12 * 3 * len(KEYPOINTS)) < 0.95


def test_left_and_right_change_sides_with_the_view() -> None:
    body = draw_identity(0, 1, 6).body
    pose = Pose(yaw=_FRONT, head_turn=0.0, phase=0.0, stride=0.0, swing=0.0, elbow=0.1, lean=0.0, tilt=0.0)
    front, back = skeleton(body, pose).joints, skeleton(body, replace(pose, yaw=_BACK)).joints
    assert front["left_shoulder"][0] > 0 > front["right_shoulder"][0]
    assert back["left_shoulder"][0] < 0 < back["right_shoulder"][0]
    # Facing the camera the nose is nearer than the head's middle, seen from behind it is farther.
    assert front["nose"][2] > front["head"][2] and back["nose"][2] < back["head"][2]


def test_a_face_is_seen_from_the_front_only() -> None:
    front, back = _paint(_attributes(), _FRONT), _paint(_attributes(), _BACK)
    assert _area(front, "face") > 2 * _area(back, "face")
    assert _area(back, "hair") > 1.5 * _area(front, "hair")


def test_a_backpack_is_seen_from_behind() -> None:
    behind, front = _paint(_attributes(), _BACK, backpack=True), _paint(_attributes(), _FRONT, backpack=True)
    assert _area(behind, "backpack") > 0.4 * _area(_paint(_attributes(), _BACK), "torso")
    assert 0 < _area(front, "backpack") < 0.5 * _area(behind, "backpack")
    assert _area(_paint(_attributes(), _BACK), "backpack") == 0


def test_a_satchel_is_seen() -> None:
    assert _area(_paint(_attributes(), _FRONT, satchel=True), "satchel") > 60
    assert _area(_paint(_attributes(), _FRONT), "satchel") == 0


def test_long_hair_covers_more() -> None:
    assert _area(_paint(_attributes(long_hair=True), _BACK), "hair") > _area(_paint(_attributes(), _BACK), "hair")


def test_a_skirt_hides_the_thighs() -> None:
    trousers, skirt = _paint(_attributes(), _FRONT), _paint(_attributes(skirt=True, long_lower=False), _FRONT)
    assert _area(skirt, "left_leg", "right_leg") < 0.75 * _area(trousers, "left_leg", "right_leg")
    assert _area(skirt, "hips") > 2 * _area(trousers, "hips")


@pytest.mark.parametrize(
    ("attribute", "part", "joint"),
    [("long_sleeves", "left_arm", "left_wrist"), ("long_lower", "left_leg", "left_ankle")],
)
def test_short_clothes_show_skin(attribute: str, part: str, joint: str) -> None:
    """The limb above its last joint is as bright as skin in short clothes, and as the garment in long ones."""
    clothes = wardrobe(0, 1, 6, "infrared")
    limb = {}
    for long in (False, True):
        identity = replace(clothes.identity, attributes=_attributes(**{attribute: long}))
        canvas = new_canvas(np.zeros((192, 96, 1), np.float32))
        pose = Pose(yaw=0.0, head_turn=0.0, phase=0.0, stride=0.0, swing=0.0, elbow=0.1, lean=0.0, tilt=0.1)
        bones, place = skeleton(identity.body, pose), Placement(48.0, 184.0, 170.0)
        bright = replace(clothes.skin, texels=np.full_like(clothes.skin.texels, 5.0))
        dressed = replace(clothes, identity=identity, skin=bright)
        PersonPainter(canvas, dressed, bones, 0.0, 0.0, place, light_table(0.0, 1.0)).paint(False, False)
        x, y = place.pixel(bones.joints[joint])
        around = canvas.frame[int(y) - 8 : int(y) - 2, int(x) - 2 : int(x) + 3, 0]
        mask = canvas.parts[int(y) - 8 : int(y) - 2, int(x) - 2 : int(x) + 3] == PART[part]
        limb[long] = float(around[mask].mean())
    assert limb[False] > 3.0 > 1.5 > limb[True]


def test_an_occluder_stands_in_about_one_image_of_eight() -> None:
    renderer = Renderer("sysu-mm01", 0, (48, 24))
    hidden = [
        (renderer.render(pid, camera, number).parts == PART["occluder"]).any()
        for pid in range(1, 26)
        for camera in (4, 5, 6)
        for number in (1, 2, 3)
    ]
    assert 0.06 < np.mean(hidden) < 0.2


def test_paired_cameras_share_posture() -> None:
    renderer = Renderer("regdb", 0, _SIZE)
    visible, thermal = renderer.render(3, 1, 4), renderer.render(3, 2, 4)
    assert np.array_equal(visible.keypoints[:, :2], thermal.keypoints[:, :2])


def test_thermal_pictures_are_smooth() -> None:
    """Of what is drawn in colour, temperature shows little, and blurred."""

    def roughness(camera: int) -> float:
        values = []
        for pid in range(1, 13):
            picture = Renderer("regdb", 0, (192, 96)).render(pid, camera, 1)
            grey = picture.image.astype(float).mean(axis=2)
            torso = (picture.parts[1:] == PART["torso"]) & (picture.parts[:-1] == PART["torso"])
            values.append(np.abs(np.diff(grey, axis=0))[torso].mean())
        return float(np.mean(values))

    assert roughness(2) < 0.6 * roughness(1)


def test_the_sun_warms_what_is_dark() -> None:
    """Patterns show in thermal images: cloth of two colours has two temperatures, the darker one the higher."""
    for pid in range(1, 40):
        upper = draw_identity(0, pid, 2).upper
        dark, light = np.argsort(upper.colours @ np.array([0.299, 0.587, 0.114]))
        assert upper.temperature[dark] >= upper.temperature[light]
    skin = draw_identity(0, 1, 2).skin
    assert skin.temperature[0] == skin.temperature[1]
