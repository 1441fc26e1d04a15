"""Joints of people in images, from files: archives of arrays, a twin's truth, and JSON in COCO's form.

An archive has the arrays ``keypoints`` (N, J, 3), x and y in pixels of the image file, from its upper left corner, and
a confidence, and ``paths`` (N,), the images' names relative to the data set's folder. COCO's visibility is a
confidence: 0 is not labelled, 1 hidden, 2 visible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vibench.datasets.image_file import image_size
from vibench.datasets.registry import Dataset
from vibench.errors import UsageError
from vibench.files.json_table import read_json
from vibench.files.npz import rows_of_paths

COCO_JOINTS = 17
LARGEST_JSON = 1 << 30
"""Bytes of a JSON file: the joints of a hundred thousand people in COCO's form have some hundred million."""
_LARGEST = 1e30
"""Of the numbers in a file, in pixels or as a score."""
CONFIDENCE = 0.3
"""Joints of a confidence up to this are not used."""


@dataclass(frozen=True)
class Keypoints:
    """J joints of the one person in each of N images."""

    places: np.ndarray
    """(N, J, 2) float32: x and y as shares of the image's width and height, from its upper left corner."""
    confidence: np.ndarray
    """(N, J) float32; 0 where a joint was not found."""

    def require_coco(self, path: Path) -> None:
        """Raise `UsageError` unless the first 17 joints can be COCO's: there are 17, or 18 with the neck."""
        joints = self.confidence.shape[1]
        if joints not in (COCO_JOINTS, COCO_JOINTS + 1):
            raise UsageError(
                f"{path}: has {joints} joints per person, but a heatmap of {COCO_JOINTS} channels takes COCO's "
                f"{COCO_JOINTS}; merge them with --channels 1."
            )


def keypoints_of_arrays(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    root: Path,
    names: Sequence[str],
    files: Mapping[str, str] | None = None,
) -> Keypoints:
    """The joints of the images ``names`` from the arrays of the archive ``path``.

    Sizes are read from the image files below ``root``, of other names where ``files`` has them. Raises `UsageError`
    where the arrays or the images misfit.
    """
    if "paths" not in arrays:
        raise UsageError(f"{path}: has no array 'paths' with the images' names beside 'keypoints'.")
    points = arrays["keypoints"]
    if points.ndim != 3 or points.shape[2] != 3 or points.dtype.kind not in "fiu" or points.shape[1] == 0:
        raise UsageError(
            f"{path}: its array 'keypoints' is {points.dtype} {points.shape}; it must be numbers (images, joints, 3): "
            "x, y and confidence."
        )
    rows = rows_of_paths(path, arrays["paths"], len(points), names)
    if not (np.abs(points[rows].astype(np.float64)) <= _LARGEST).all():
        raise UsageError(f"{path}: its array 'keypoints' has values that are NaN or infinite; give 0 as confidence.")
    chosen = points[rows].astype(np.float32)
    sizes = np.array([image_size(root / (files or {}).get(name, name)) for name in names], dtype=np.float32)
    return Keypoints(chosen[..., :2] / sizes[:, None], chosen[..., 2])


def read_coco(path: Path, root: Path, names: Sequence[str], dataset: Dataset | None = None) -> Keypoints:
    """The joints of the images ``names`` from a JSON file, either in COCO's annotation form or a list of detections.

    Annotation form: ``images`` with ``id``, ``file_name`` or ``path``, and perhaps ``width`` and ``height``, and
    ``annotations`` with ``image_id`` and ``keypoints``; all of ``names`` must be in it. A detection says itself which
    image it is of, by ``path``, ``file_name`` or ``image_id``. Names end in the path relative to the data set's
    folder. Of several people in an image the one with the highest ``score``, then the largest ``area``, counts.
    COCO's coordinates number the pixels, so that half a pixel is added to them. ``dataset`` knows the names that an
    image may have besides, and the files below ``root``.

    Raises `UsageError` for another form and for images that are missing.
    """
    content = _read_json(path)
    if isinstance(content, dict):
        image_of, sizes = _images(path, content, set(names), dataset)
        missing = [name for name in names if name not in sizes]
        if missing:
            raise UsageError(
                f"{path}: lacks {len(missing)} of {len(names)} images, the first is {missing[0]!r}; 'images' must name "
                "all images by their path below the data set's folder."
            )
        entries = _list_of_objects(path, content.get("annotations"), "annotations")
        best = _best((image_of.get(_image_id(path, entry)), entry) for entry in entries)
    else:
        entries = _list_of_objects(path, content, "the file")
        wanted = set(names)
        best = _best((_known_name(_detected_name(path, entry), wanted, dataset), entry) for entry in entries)
        sizes = {}
    if not best:
        raise UsageError(
            f"{path}: has no keypoints of any image of the data set; images must be named by their path below its "
            f"folder, such as {names[0]!r}."
        )
    points = {name: _points(path, entry) for name, entry in best.items()}
    joints = {len(person) for person in points.values()}
    if len(joints) > 1:
        raise UsageError(f"{path}: has people of {min(joints)} and of {max(joints)} joints; all must have the same.")
    places = np.zeros((len(names), *joints, 2), dtype=np.float32)
    confidence = np.zeros((len(names), *joints), dtype=np.float32)
    files = {} if dataset is None else dataset.files(root)
    for row, name in enumerate(names):
        if name in points:
            size = sizes.get(name) or image_size(root / files.get(name, name))
            places[row] = (points[name][:, :2] + 0.5) / size
            confidence[row] = points[name][:, 2]
    return Keypoints(places, confidence)


def _read_json(path: Path) -> Any:
    content = read_json(path, LARGEST_JSON)
    if not isinstance(content, dict | list):
        raise UsageError(f"{path}: must be COCO's annotations or a list of detections, not a single value.")
    return content


def _images(
    path: Path, content: dict[str, Any], wanted: set[str], dataset: Dataset | None
) -> tuple[dict[Any, str], dict[str, Any]]:
    """From image ids to names of ``wanted``, and from these names to (width, height), None where it is not said."""
    image_of: dict[Any, str] = {}
    sizes: dict[str, Any] = {}
    for number, image in enumerate(_list_of_objects(path, content.get("images"), "images")):
        called = next((image[key] for key in ("path", "file_name") if image.get(key)), None)
        name = None if called is None else _known_name(called, wanted, dataset)
        if name is None:
            continue
        if not isinstance(image.get("id"), int | str):
            raise UsageError(f"{path}: entry {number} of 'images' has no 'id'.")
        if name in sizes:
            raise UsageError(f"{path}: 'images' names {name!r} more than once.")
        width, height = image.get("width", 0), image.get("height", 0)
        said = all(_is_number(side) and side >= 1 for side in (width, height))
        image_of[image["id"]], sizes[name] = name, (width, height) if said else None
    return image_of, sizes


def _known_name(name: Any, wanted: set[str], dataset: Dataset | None) -> str | None:
    """The one of ``wanted`` that ``name`` is or, behind folders that lead to the data set, ends in."""
    rest = str(name).replace("\\", "/")
    while rest not in wanted:
        _, slash, rest = rest.partition("/")
        if not slash:
            own = None if dataset is None else dataset.own_name(str(name))
            return own if own in wanted else None
    return rest


def _image_id(path: Path, entry: Mapping[str, Any]) -> Any:
    image = entry.get("image_id")
    if not isinstance(image, int | str):
        raise UsageError(f"{path}: an annotation has no 'image_id'.")
    return image


def _detected_name(path: Path, entry: Mapping[str, Any]) -> str:
    name = next((entry[key] for key in ("path", "file_name", "image_id") if key in entry), None)
    if not isinstance(name, str):
        raise UsageError(
            f"{path}: a detection is of the image {name!r}, but a list of detections has no table of images; name the "
            "image by its path in 'file_name'."
        )
    return name


def _best(entries: Iterable[tuple[str | None, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The one annotation of each image that counts."""
    best: dict[str, dict[str, Any]] = {}
    for name, entry in entries:
        if name is not None and "keypoints" in entry and (name not in best or _rank(entry) > _rank(best[name])):
            best[name] = entry
    return best


def _rank(entry: Mapping[str, Any]) -> tuple[float, float]:
    box = entry.get("bbox")
    sides = box[2:] if isinstance(box, list) and len(box) == 4 else [0, 0]
    area = entry.get("area", _number(sides[0]) * _number(sides[1]))
    return _number(entry.get("score", 0)), _number(area)


def _number(value: Any) -> float:
    return float(value) if _is_number(value) else 0.0


def _is_number(value: Any) -> bool:
    """Whether ``value`` is a finite number that float32 can hold."""
    return isinstance(value, int | float) and abs(value) <= _LARGEST


def _points(path: Path, entry: Mapping[str, Any]) -> np.ndarray:
    """(J, 3) float32 from the flat list x, y, confidence, x, ..."""
    values = entry["keypoints"]
    numbers = isinstance(values, list) and all(map(_is_number, values))
    if not numbers or not values or len(values) % 3:
        raise UsageError(
            f"{path}: 'keypoints' of image {entry.get('image_id', entry.get('file_name'))!r} must be finite numbers x, "
            "y, confidence, one after the other for every joint."
        )
    return np.array(values, dtype=np.float32).reshape(-1, 3)


def _list_of_objects(path: Path, value: Any, what: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        where = what if what == "the file" else f"'{what}'"
        raise UsageError(f"{path}: {where} must be a list of objects, as in COCO's keypoint annotations.")
    return value
