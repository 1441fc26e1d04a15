"""Joints from archives and from JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.datasets.mini import write_image
from vibench.data.keypoints import Keypoints, keypoints_of_arrays, read_coco
from vibench.datasets.image_file import ImageFileError
from vibench.errors import UsageError

NAMES = ["cam1/0001/0001.jpg", "cam3/0001/0001.jpg", "cam1/0002/0001.jpg"]
SIZES = [(24, 48), (20, 40), (30, 60)]
PERSON = [float(value) for joint in range(17) for value in (joint, 2 * joint, 2)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for seed, (name, size) in enumerate(zip(NAMES, SIZES, strict=True)):
        write_image(tmp_path / name, seed, size)
    return tmp_path


def coco(**changes: Any) -> dict[str, Any]:
    """Annotations of the first image; the others have none."""
    images = [{"id": 10 + i, "file_name": name} for i, name in enumerate(NAMES)]
    return {"images": images, "annotations": [{"image_id": 10, "keypoints": PERSON}], **changes}


def read(root: Path, content: Any, names: list[str] = NAMES) -> Keypoints:
    path = root / "coco.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_coco(path, root, names)


def test_archives_are_read_by_path_as_shares_of_the_image_size(root: Path):
    points = np.random.default_rng(0).random((4, 5, 3))
    paths = np.array(["other.jpg", *reversed(NAMES)])
    found = keypoints_of_arrays(Path("k.npz"), {"keypoints": points, "paths": paths}, root, NAMES)
    assert found.places.dtype == found.confidence.dtype == np.float32
    for row, size in enumerate(SIZES):
        np.testing.assert_allclose(found.places[row], points[3 - row, :, :2] / size, rtol=1e-6)
        np.testing.assert_allclose(found.confidence[row], points[3 - row, :, 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"paths": None}, "has no array 'paths'"),
        ({"keypoints": np.zeros((3, 17, 2))}, r"'keypoints' is float64 \(3, 17, 2\); it must be numbers"),
        ({"keypoints": np.zeros((3, 0, 3))}, r"'keypoints' is float64 \(3, 0, 3\)"),
        ({"keypoints": np.full((3, 17, 3), "x")}, "it must be numbers"),
        ({"keypoints": np.full((3, 17, 3), np.nan)}, "has values that are NaN or infinite"),
        ({"keypoints": np.zeros((2, 17, 3))}, "names 3 images in 'paths' but has 2 rows"),
        ({"paths": np.array([1, 2, 3])}, "'paths' must be a list of texts"),
        ({"paths": np.array([NAMES[0]] * 3)}, "names an image in 'paths' more than once"),
        ({"paths": np.array([*NAMES[:2], "x"])}, "lacks 1 of 3 images, the first is 'cam1/0002/0001.jpg'"),
    ],
)
def test_misfitting_archives_are_refused(root: Path, changes: dict, message: str):
    arrays = {"keypoints": np.zeros((3, 17, 3)), "paths": np.array(NAMES), **changes}
    with pytest.raises(UsageError, match=message):
        keypoints_of_arrays(
            Path("k.npz"), {name: array for name, array in arrays.items() if array is not None}, root, NAMES
        )


def test_images_that_are_gone_are_named(root: Path):
    (root / NAMES[1]).unlink()
    arrays = {"keypoints": np.zeros((3, 17, 3)), "paths": np.array(NAMES)}
    with pytest.raises(ImageFileError, match=r"cam3/0001/0001\.jpg is missing"):
        keypoints_of_arrays(Path("k.npz"), arrays, root, NAMES)


def test_annotations_are_pixels_and_images_without_have_no_joint(root: Path):
    found = read(root, coco())
    joints = np.arange(17)
    np.testing.assert_allclose(found.places[0, :, 0], (joints + 0.5) / 24, rtol=1e-6)
    np.testing.assert_allclose(found.places[0, :, 1], (2 * joints + 0.5) / 48, rtol=1e-6)
    assert (found.confidence[0] == 2).all() and not found.confidence[1:].any()


def test_a_size_that_the_annotations_state_is_taken(root: Path):
    content = coco()
    content["images"][0] |= {"width": 240, "height": 480}
    np.testing.assert_allclose(read(root, content).places[0, :, 0], (np.arange(17) + 0.5) / 240, rtol=1e-6)


@pytest.mark.parametrize("key", ["file_name", "path"])
@pytest.mark.parametrize("prefix", ["", "/data/SYSU-MM01/", "..\\SYSU\\"])
def test_images_are_known_by_the_end_of_their_path(root: Path, key: str, prefix: str):
    written = [prefix + name.replace("/", "\\") if "\\" in prefix else prefix + name for name in NAMES]
    images = [{"id": i, key: name} for i, name in enumerate(written)]
    found = read(root, coco(images=images, annotations=[{"image_id": 2, "keypoints": PERSON}]))
    assert found.confidence.any(axis=1).tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ({"score": 0.3, "area": 900}, {"score": 0.4, "area": 5}),
        ({"area": 40}, {"area": 50}),
        ({"bbox": [0, 0, 4, 5]}, {"bbox": [9, 9, 5, 5]}),
    ],
)
def test_of_several_people_the_surest_or_largest_counts(root: Path, low: dict, high: dict):
    other = [value + 1 for value in PERSON]
    for people in ((low, high), (high, low)):
        annotations = [{"image_id": 10, "keypoints": other if one is high else PERSON, **one} for one in people]
        assert (read(root, coco(annotations=annotations)).confidence[0] == 3).all()


@pytest.mark.parametrize("key", ["file_name", "path", "image_id"])
def test_a_list_of_detections_names_its_images(root: Path, key: str):
    detections = [
        {key: "/data/cam1/0002/0001.jpg", "keypoints": PERSON, "score": 0.2},
        {key: "cam1/0002/0001.jpg", "keypoints": [0.5] * 51, "score": 0.9},
        {key: "elsewhere.jpg", "keypoints": PERSON},
    ]
    found = read(root, detections)
    assert found.confidence.any(axis=1).tolist() == [False, False, True]
    np.testing.assert_allclose(found.places[2], np.broadcast_to([1 / 30, 1 / 60], (17, 2)), rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [', "is not valid JSON"),
        ("3", "must be COCO's annotations or a list of detections"),
        ("[" * 100_000, "is not valid JSON"),
        (coco(images=3), "'images' must be a list of objects"),
        (coco(annotations=None), "'annotations' must be a list of objects"),
        ([1, 2], "the file must be a list of objects"),
        (
            coco(images=coco()["images"][:2]),
            r"lacks 1 of 3 images, the first is 'cam1/0002/0001\.jpg'",
        ),
        (
            coco(images=[*coco()["images"], {"id": 5, "file_name": NAMES[0]}]),
            "names 'cam1/0001/0001.jpg' more than once",
        ),
        (coco(images=[{"file_name": name} for name in NAMES]), "entry 0 of 'images' has no 'id'"),
        (coco(annotations=[]), "has no keypoints of any image of the data set"),
        (coco(annotations=[{"keypoints": PERSON}]), "an annotation has no 'image_id'"),
        (
            coco(annotations=[{"image_id": 10, "keypoints": PERSON[:-1]}]),
            "'keypoints' of image 10 must be finite numbers",
        ),
        (coco(annotations=[{"image_id": 10, "keypoints": ["1"] * 51}]), "must be finite numbers"),
        (coco(annotations=[{"image_id": 10, "keypoints": []}]), "must be finite numbers"),
        (coco(annotations=[{"image_id": 10, "keypoints": [float("nan")] * 51}]), "must be finite numbers"),
        (
            coco(annotations=[{"image_id": 10, "keypoints": PERSON}, {"image_id": 11, "keypoints": PERSON[:9]}]),
            "has people of 3 and of 17 joints",
        ),
        (
            [{"image_id": 7, "keypoints": PERSON}],
            "a detection is of the image 7, but a list of detections has no table",
        ),
        ([{"keypoints": PERSON}], "a detection is of the image None"),
        ([{"image_id": "x.jpg", "keypoints": PERSON}], "named by their path below its folder, such as 'cam1/0001/0001"),
    ],
)
def test_other_json_is_refused(root: Path, content: Any, message: str):
    with pytest.raises(UsageError, match=message) as error:
        read(root, content)
    assert "coco.json" in str(error.value)


def test_seventeen_channels_take_cocos_joints():
    for joints in (17, 18):
        Keypoints(np.zeros((1, joints, 2)), np.zeros((1, joints))).require_coco(Path("k.npz"))
    with pytest.raises(UsageError, match=r"k\.npz: has 16 joints per person, but .* merge them with --channels 1"):
        Keypoints(np.zeros((1, 16, 2)), np.zeros((1, 16))).require_coco(Path("k.npz"))
