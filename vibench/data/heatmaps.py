"""Keypoint heatmaps: drawn around joints, kept in a file, and found by those who train on them.

The file ``heatmaps.npz`` in a data set's folder, which ``vibench data heatmaps`` makes, holds

``heatmaps``
    uint8 (N, C, h, w): 255 where a joint is, C is 1, all joints merged by their maximum, or 17, COCO's joints in
    COCO's order; a cell is 4 × 4 pixels of the network's input
``known``
    bool (N,): whether a joint was found in the image; its heatmap is zero where not
``paths``
    (N,) names of the images, relative to the data set's folder

A file with ``keypoints`` instead (`vibench.data.keypoints`), such as a twin's truth, is drawn when it is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vibench.data.keypoints import COCO_JOINTS, CONFIDENCE, Keypoints, keypoints_of_arrays
from vibench.data.training_inputs import STRIDE, Heatmaps
from vibench.datasets.listing import located
from vibench.datasets.registry import Dataset
from vibench.errors import UsageError
from vibench.files.npz import read_npz, rows_of_paths
from vibench.files.writing import atomic_path

if TYPE_CHECKING:
    from vibench.datasets.index import SampleIndex

FILE_NAME = "heatmaps.npz"
"""Of the heatmaps, in a data set's folder."""
TWIN_FILE = "truth/keypoints.npz"
"""Of the joints that a twin is made with, in its folder."""
SIGMA = 2.0
"""Standard deviation of a joint's Gaussian in cells, in heatmaps of `SIGMA_HEIGHT` rows; it grows with the height."""
SIGMA_HEIGHT = 72
CHANNELS = (1, COCO_JOINTS)
"""Numbers of channels that heatmaps can have."""

_CHUNK = 256


def render_heatmaps(
    keypoints: Keypoints,
    height: int,
    width: int,
    channels: int = 1,
    sigma: float = SIGMA,
    confidence: float = CONFIDENCE,
) -> Heatmaps:
    """Draw the joints of N images as Gaussians of peak 1 on ``height`` × ``width`` cells.

    Joints with a confidence of at most ``confidence`` are left out. One channel holds the maximum over all joints of
    ``keypoints``; 17 hold one each for the first 17, which must be COCO's. ``sigma`` is in cells at a height of 72.
    """
    places = keypoints.places if channels == 1 else keypoints.places[:, :COCO_JOINTS]
    used = keypoints.confidence[:, : places.shape[1]] > confidence
    size = np.array([width, height], dtype=np.float32)
    # The centre of cell k is at k + 1/2.
    centres = places * size - 0.5
    scale = -0.5 / (sigma * height / SIGMA_HEIGHT) ** 2
    maps = np.zeros((len(places), channels, height, width), dtype=np.uint8)
    for start in range(0, len(places), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        x, y = centres[chunk, :, 0, None], centres[chunk, :, 1, None]
        across = np.exp(scale * (np.arange(width, dtype=np.float32) - x) ** 2)
        down = np.exp(scale * (np.arange(height, dtype=np.float32) - y) ** 2) * used[chunk, :, None]
        if channels == 1:
            merged = np.zeros((len(across), height, width), dtype=np.float32)
            for joint in range(places.shape[1]):
                np.maximum(merged, down[:, joint, :, None] * across[:, joint, None, :], out=merged)
            maps[chunk, 0] = np.rint(255 * merged)
        else:
            maps[chunk] = np.rint(255 * down[..., None] * across[:, :, None, :])
    return Heatmaps(maps, np.asarray(used.any(axis=1)))


def find_heatmaps(dataset: Dataset, root: Path) -> Path | None:
    """The heatmaps that a copy of a data set comes with: ``heatmaps.npz``, else a twin's joints, else None."""
    names = (FILE_NAME, TWIN_FILE) if dataset.synthetic else (FILE_NAME,)
    return next((found for name in names if (found := located(root, name)).is_file()), None)


def heatmaps_file(dataset: Dataset, root: Path, file: Path | None = None) -> Path:
    """The heatmaps, or joints, to use with a copy of a data set: ``file`` if given, else `find_heatmaps`.

    Raises `UsageError` where there are none.
    """
    if file is not None:
        if not file.is_file():
            raise UsageError(
                f"--heatmaps {file}: there is no such file; it must be one that 'vibench data heatmaps' has written."
            )
        return file
    found = find_heatmaps(dataset, root)
    if found is None:
        raise UsageError(
            f"{root}: holds no keypoint heatmaps of {dataset.name}, which are expected in {root / FILE_NAME}; make "
            f"that file with '{_command(dataset, root)} --from KEYPOINTS', or name one with --heatmaps FILE."
        )
    return found


def heatmaps_of(
    path: Path, dataset: Dataset, root: Path, index: SampleIndex, size: tuple[int, int], channels: int
) -> Heatmaps:
    """The heatmaps in the file ``path`` of the N rows of a sample index, for images of ``size`` (height, width) pixels.

    Joints are drawn with the standard width. Raises `UsageError` where the file is malformed, lacks an image, or holds
    heatmaps of another size or number of channels.
    """
    arrays = with_own_names(read_npz(path), dataset)
    names = index["path"].tolist()
    height, width = size[0] // STRIDE, size[1] // STRIDE
    if "heatmaps" not in arrays and "keypoints" in arrays:
        keypoints = keypoints_of_arrays(path, arrays, root, names, dataset.files(root))
        if channels > 1:
            keypoints.require_coco(path)
        return render_heatmaps(keypoints, height, width, channels)
    heatmaps = stored_heatmaps(path, arrays, names)
    remedy = f"make them with '{_command(dataset, root, size, channels)} --from KEYPOINTS'"
    found = heatmaps.maps.shape[1:]
    if found[1:] != (height, width):
        raise UsageError(
            f"{path}: holds heatmaps of {found[1]}x{found[2]} cells, but images of {size[0]}x{size[1]} pixels need "
            f"{height}x{width}; {remedy}."
        )
    if found[0] != channels:
        raise UsageError(
            f"{path}: holds heatmaps of {found[0]} channels, but the method trains on {channels}; {remedy}."
        )
    return heatmaps


def with_own_names(arrays: dict[str, np.ndarray], dataset: Dataset) -> dict[str, np.ndarray]:
    """The arrays of a file with the data set's own names in ``paths``, wherever an image has another there."""
    paths = arrays.get("paths")
    if paths is None or paths.dtype.kind != "U" or paths.ndim != 1:
        return arrays
    return {**arrays, "paths": np.array([dataset.own_name(name) or name for name in paths.tolist()], dtype=np.str_)}


def stored_heatmaps(path: Path, arrays: dict[str, np.ndarray], names: Sequence[str]) -> Heatmaps:
    """The heatmaps of the images ``names`` among the arrays of the file ``path``; `UsageError` where they misfit."""
    for name in ("heatmaps", "paths"):
        if name not in arrays:
            raise UsageError(f"{path}: has no array '{name}'; make the file with 'vibench data heatmaps'.")
    maps = arrays["heatmaps"]
    if maps.ndim != 4 or maps.dtype != np.uint8:
        raise UsageError(
            f"{path}: its array 'heatmaps' is {maps.dtype} {maps.shape}; it must be uint8 (images, channels, height, "
            "width)."
        )
    rows = rows_of_paths(path, arrays["paths"], len(maps), names)
    known = arrays.get("known", maps.any(axis=(1, 2, 3)))
    if known.shape != (len(maps),) or known.dtype != np.bool_:
        raise UsageError(f"{path}: its array 'known' must be bool with one entry per image; make the file anew.")
    return Heatmaps(maps[rows], known[rows])


def write_heatmaps(path: Path, heatmaps: Heatmaps, paths: Sequence[str]) -> None:
    """Write the file of heatmaps, atomically; equal heatmaps give equal bytes."""
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez_compressed(handle, heatmaps=heatmaps.maps, known=heatmaps.known, paths=np.array(paths, dtype=np.str_))


def _command(dataset: Dataset, root: Path, size: tuple[int, int] | None = None, channels: int = 1) -> str:
    """The command that makes a data set's heatmaps, without its source."""
    words = f"vibench data heatmaps --dataset {dataset.name} --root {root}"
    if size is not None:
        words += f" --height {size[0]} --width {size[1]}"
    return words if channels == 1 else f"{words} --channels {channels}"
