"""Which images exist: the real skeleton of each layout, whole or thinned to a scale."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vibench.datasets.buptcampus import CAMERAS as BUPT_CAMERAS
from vibench.datasets.twin.camera import CAMERAS
from vibench.datasets.twin.identity import draw_identity
from vibench.datasets.twin.render import views_back
from vibench.datasets.twin.streams import stream
from vibench.errors import UsageError, suggestion
from vibench.modality import VISIBLE

LAYOUTS = tuple(CAMERAS)
SCALES = ("tiny", "demo", "small", "full")
DEFAULT_SIZE = {"tiny": (64, 32), "demo": (96, 48), "small": (144, 72), "full": (288, 144)}
"""Scale -> nominal height and width of an image; each camera's own resolution is a share of it."""

_SKELETON = Path(__file__).resolve().parent.parent / "sysu_mm01_skeleton.csv"
REGDB_IMAGES = 10
REGDB_TRIALS = 10


@dataclass(frozen=True)
class Shot:
    """One image of a twin."""

    path: str
    pid: int
    camera: int
    """The place of what takes it in `vibench.datasets.twin.camera.CAMERAS`."""
    number: int
    split: str
    tracklet: int = 0
    """Number from 1, among those of its folder, of the tracklet that a frame is of; 0 for an image."""
    name: str = ""
    """As the index of the data set has it, where that is not the path."""


@dataclass(frozen=True)
class _Thinning:
    """How much of SYSU-MM01's skeleton a scale keeps: identities per split, images per identity and camera."""

    identities: dict[str, int]
    training: tuple[int, int]
    """Most images of a training identity in a visible and in an infrared camera."""
    test: tuple[int, int]
    """Likewise of a test identity. A multi-shot gallery draws ten visible ones: fewer serve single-shot ones alone."""


_THINNING = {
    "tiny": _Thinning({"train": 12, "val": 4, "test": 8}, training=(4, 6), test=(11, 4)),
    "demo": _Thinning({"train": 140, "val": 40, "test": 96}, training=(4, 7), test=(3, 4)),
    "small": _Thinning({"train": 140, "val": 40, "test": 96}, training=(4, 7), test=(12, 5)),
}
_REGDB_IDENTITIES = {"tiny": 16, "demo": 60, "small": 120, "full": 412}


@dataclass(frozen=True)
class _Filmed:
    """How much video a scale has; ``full`` has about as many people, tracklets and frames as HITSZ-VCM."""

    identities: dict[str, int]
    """Per split."""
    cameras: int
    """That an identity passes, of all six."""
    tracklets: int
    """In each of them, by day and as many by night."""
    frames: tuple[int, int]
    """Fewest and most of a tracklet that counts."""


_FILMED = {
    "tiny": _Filmed({"train": 6, "test": 5}, cameras=3, tracklets=1, frames=(12, 14)),
    "demo": _Filmed({"train": 60, "test": 40}, cameras=3, tracklets=1, frames=(12, 14)),
    "small": _Filmed({"train": 120, "test": 100}, cameras=3, tracklets=1, frames=(12, 20)),
    "full": _Filmed({"train": 500, "test": 427}, cameras=6, tracklets=2, frames=(12, 30)),
}
_STRAY_FRAMES = 8
"""Of the tracklet, too short to count, that every third identity has besides."""
_FRAME_STEP = 5
"""Between the numbers of frames in their names."""


def check_layout(layout: str) -> None:
    """Raises `UsageError` for a layout that is not one of `LAYOUTS`."""
    if layout not in LAYOUTS:
        raise UsageError(
            f"no twin has the layout {layout!r}; choose one of {', '.join(LAYOUTS)}{suggestion(layout, LAYOUTS)}"
        )


def plan_twin(layout: str, scale: str, seed: int) -> list[Shot]:
    """All images of a twin, ordered by pid, camera and number.

    Raises:
        UsageError: an unknown layout or scale.
    """
    check_layout(layout)
    if scale not in SCALES:
        raise UsageError(
            f"no twin has the scale {scale!r}; choose one of {', '.join(SCALES)}{suggestion(scale, SCALES)}"
        )
    if layout == "hitsz-vcm":
        return _plan_hitsz_vcm(scale, seed)
    if layout == "buptcampus":
        return _plan_buptcampus(scale, seed)
    return _plan_sysu(scale) if layout == "sysu-mm01" else _plan_regdb(scale, seed)


def regdb_halves(pids: list[int], seed: int, trial: int) -> tuple[list[int], list[int]]:
    """Training and test identities of one of RegDB's ten random splits, both in ascending order."""
    order = stream(seed, "halves", trial).permutation(len(pids))
    half = len(pids) // 2
    return sorted(pids[row] for row in order[:half]), sorted(pids[row] for row in order[half:])


def _plan_sysu(scale: str) -> list[Shot]:
    with _SKELETON.open(encoding="utf-8", newline="") as handle:
        rows = [
            (int(row["pid"]), int(row["camera"]), int(row["images"]), row["split"]) for row in csv.DictReader(handle)
        ]
    rows.sort()
    thinning = _THINNING.get(scale)
    if thinning is not None:
        kept: set[int] = set()
        for split, count in thinning.identities.items():
            pids = sorted({pid for pid, _, _, named in rows if named == split})
            # Evenly spaced, because the presence in cameras changes along the numbering.
            kept.update(pids[place] for place in np.linspace(0, len(pids) - 1, count).round().astype(int))
        rows = [row for row in rows if row[0] in kept]
    shots = []
    for pid, camera, images, split in rows:
        if thinning is not None:
            infrared = CAMERAS["sysu-mm01"][camera - 1].modality != VISIBLE
            images = min(images, (thinning.test if split == "test" else thinning.training)[infrared])
        for number in range(1, images + 1):
            shots.append(Shot(f"cam{camera}/{pid:04d}/{number:04d}.jpg", pid, camera, number, split))
    return shots


def _plan_regdb(scale: str, seed: int) -> list[Shot]:
    shots = []
    for pid in range(1, _REGDB_IDENTITIES[scale] + 1):
        sex = "female" if draw_identity(seed, pid, 2).attributes.female else "male"
        view = "back" if views_back(seed, pid) else "front"
        start = int(stream(seed, "frame number", pid).integers(0, 90_000))
        for camera, folder, letter in ((1, "Visible", "v"), (2, "Thermal", "t")):
            for number in range(1, REGDB_IMAGES + 1):
                name = f"{sex}_{view}_{letter}_{start + 3 * number:05d}_{pid}.bmp"
                shots.append(Shot(f"{folder}/{pid}/{name}", pid, camera, number, "unused"))
    return shots


def _plan_hitsz_vcm(scale: str, seed: int) -> list[Shot]:
    filmed = _FILMED[scale]
    cameras = len(CAMERAS["hitsz-vcm"]) // 2
    splits = [split for split, count in filmed.identities.items() for _ in range(count)]
    shots = []
    for pid, split in enumerate(splits, start=1):
        passed = sorted((pid + step) % cameras + 1 for step in range(filmed.cameras))
        for night, folder in enumerate(("rgb", "ir")):
            for camera in passed:
                place = camera + night * cameras
                drawn = stream(seed, "tracklets", pid, place).integers(
                    filmed.frames[0], filmed.frames[1], filmed.tracklets, endpoint=True
                )
                lengths = [*map(int, drawn), *([_STRAY_FRAMES] if pid % 3 == 0 and camera == passed[0] else [])]
                tracklets = [tracklet for tracklet, length in enumerate(lengths, start=1) for _ in range(length)]
                for number, tracklet in enumerate(tracklets, start=1):
                    name = f"{1 + _FRAME_STEP * (number - 1)}.jpg"
                    path = f"{split.capitalize()}/{pid:04d}/{folder}/D{camera}/{name}"
                    shots.append(Shot(path, pid, place, number, split, tracklet))
    return shots


def _plan_buptcampus(scale: str, seed: int) -> list[Shot]:
    """Pairs of tracklets, visible and infrared at once; a test identity is asked for by one tracklet of its first."""
    filmed = _FILMED[scale]
    cameras = len(CAMERAS["buptcampus"]) // 2
    splits = [split for split, count in filmed.identities.items() for _ in range(count)]
    shots = []
    for pid, split in enumerate(splits, start=1):
        passed = sorted((pid + step) % cameras + 1 for step in range(filmed.cameras))
        first = int(stream(seed, "frame number", pid).integers(1, 9_000))
        for infrared, modality in enumerate(("RGB", "IR")):
            for camera in passed:
                lengths = stream(seed, "tracklets", pid, camera).integers(
                    filmed.frames[0], filmed.frames[1], filmed.tracklets, endpoint=True
                )
                tracklets = [tracklet for tracklet, length in enumerate(lengths, start=1) for _ in range(length)]
                for number, tracklet in enumerate(tracklets, start=1):
                    asks = camera == passed[0] and tracklet == 1 and infrared == pid % 2
                    listed = "train" if split == "train" else "query" if asks else "gallery"
                    code = BUPT_CAMERAS[camera - 1]
                    below = f"{pid}/{modality}/{code}/{pid}_{modality}_{code}_{tracklet}_{first + number}.jpg"
                    place = camera + infrared * cameras
                    shots.append(Shot(f"DATA/{below}", pid, place, number, split, tracklet, f"{listed}/{below}"))
    return shots
