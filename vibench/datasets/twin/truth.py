"""What is true in a twin, written beside its images: attributes, keypoints, part masks, provenance."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from vibench.datasets.attribute_names import ATTRIBUTES
from vibench.datasets.twin.camera import CAMERAS
from vibench.datasets.twin.harder import Harder
from vibench.datasets.twin.identity import draw_identity
from vibench.datasets.twin.parts import PARTS
from vibench.datasets.twin.plan import Shot
from vibench.datasets.twin.pose import KEYPOINTS
from vibench.files.writing import write_json

RENDERER_VERSION = {"sysu-mm01": 1, "regdb": 2, "hitsz-vcm": 1, "buptcampus": 1}
"""Of each layout; raised whenever the same seed would give other images."""

FOLDER = "truth"
PROVENANCE = f"{FOLDER}/twin.json"
HARDER = "harder"
"""Key of what a harder twin is harder in; a plain one has none."""


def provenance(
    layout: str, scale: str, seed: int, size: tuple[int, int], shots: list[Shot], harder: Harder | None = None
) -> dict[str, Any]:
    """What identifies a twin and counts its images; stored as ``truth/twin.json``."""
    per_camera = Counter(CAMERAS[layout][shot.camera - 1].number for shot in shots)
    return {
        "layout": layout,
        "scale": scale,
        "seed": seed,
        "renderer": RENDERER_VERSION[layout],
        "size": list(size),
        **({} if harder is None else {HARDER: str(harder)}),
        "identities": len({shot.pid for shot in shots}),
        "images": len(shots),
        "images_per_camera": {str(camera): images for camera, images in sorted(per_camera.items())},
    }


def write_truth(
    root: Path, described: dict[str, Any], shots: list[Shot], keypoints: np.ndarray, masks: np.ndarray
) -> None:
    """Write the truth of all ``shots``.

    ``keypoints`` (N, 18, 3) float32 and ``masks`` (N, 48, 24) uint8 have one row per shot.
    """
    folder = root / FOLDER
    folder.mkdir()
    _write_attributes(folder / "attributes.csv", described, shots)
    paths = np.array([shot.name or shot.path for shot in shots])
    np.savez_compressed(folder / "keypoints.npz", paths=paths, keypoints=keypoints, names=np.array(KEYPOINTS))
    np.savez_compressed(folder / "parts.npz", paths=paths, parts=masks, names=np.array(PARTS))
    cameras = CAMERAS[described["layout"]]
    counts = Counter((cameras[shot.camera - 1].number, shot.pid, shot.split) for shot in shots)
    with (folder / "skeleton.csv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(("camera", "pid", "images", "split"))
        for (camera, pid, split), images in sorted(counts.items()):
            writer.writerow((camera, pid, images, split))
    write_json(root / PROVENANCE, described)


def _write_attributes(path: Path, described: dict[str, Any], shots: list[Shot]) -> None:
    cameras = CAMERAS[described["layout"]]
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(("pid", "camera", *ATTRIBUTES))
        for pid, camera in sorted({(shot.pid, cameras[shot.camera - 1].number) for shot in shots}):
            writer.writerow((pid, camera, *draw_identity(described["seed"], pid, len(cameras)).code(camera)))
