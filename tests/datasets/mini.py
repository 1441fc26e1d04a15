"""Miniature copies of the data sets: the real layout, a few identities, tiny images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

SYSU_IDS = {"train": (1, 2), "val": (4,), "test": (6, 10)}
SYSU_IMAGES = 2
REGDB_PIDS = tuple(range(1, 13))
REGDB_TRAIN = 6
LLCM_TRAIN = (1, 5)
LLCM_TEST = (3, 12)
HITSZ_TRACKLETS = {
    "train": ((2, 1, 1, 13), (1, 1, 1, 12), (1, 1, 3, 12), (2, 2, 3, 20), (1, 2, 2, 12)),
    "test": ((2, 7, 2, 12), (2, 7, 2, 14), (1, 7, 1, 12), (1, 7, 2, 11), (2, 9, 12, 25), (1, 9, 3, 31)),
}
"""Modality as the lists have it (1 is infrared), identity, camera and frames of each tracklet."""

BUPT_TRACKLETS = (
    ("train", 3, "RGB/IR", "LS3", 1, 15),
    ("train", 3, "RGB/IR", "TSG2", 1, 10),
    ("train", 20, "RGB/IR", "G25", 2, 7),
    ("query", 5, "RGB", "CQ1", 1, 23),
    ("query", 11, "IR", "W4", 1, 12),
    ("gallery", 5, "RGB", "CQ1", 2, 11),
    ("gallery", 5, "IR", "CQ1", 1, 30),
    ("gallery", 11, "RGB", "TSG1", 1, 10),
)
"""List, identity, modality, camera, number and frames of each tracklet."""


def write_image(path: Path, seed: int, size: tuple[int, int] = (24, 48), grey: bool = False) -> None:
    """A random image; ``size`` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0]) if grey else (size[1], size[0], 3)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_sysu(root: Path) -> Path:
    """Five listed identities and one (9) in no list, seen by all cameras, two images each."""
    pids = sorted([*(pid for ids in SYSU_IDS.values() for pid in ids), 9])
    for camera in range(1, 7):
        for pid in pids:
            for number in range(1, SYSU_IMAGES + 1):
                path = root / f"cam{camera}" / f"{pid:04d}" / f"{number:04d}.jpg"
                write_image(path, camera * 1000 + pid * 10 + number, grey=camera in (3, 6))
    (root / "exp").mkdir()
    for split, ids in SYSU_IDS.items():
        (root / "exp" / f"{split}_id.txt").write_text(",".join(map(str, ids)) + "\n")
    return root


def write_sysu_truth(root: Path) -> None:
    """The truth that a twin of `write_sysu` carries."""
    split_of = {pid: split for split, ids in SYSU_IDS.items() for pid in ids}
    lines = ["camera,pid,images,split"]
    for camera in range(1, 7):
        for pid in sorted([*split_of, 9]):
            lines.append(f"{camera},{pid},{SYSU_IMAGES},{split_of.get(pid, 'unused')}")
    (root / "truth").mkdir()
    (root / "truth" / "skeleton.csv").write_text("\n".join(lines) + "\n")


def regdb_path(folder: str, pid: int, number: int) -> str:
    return f"{folder}/{pid}/male_back_{folder[0].lower()}_{number:05d}_{pid}.bmp"


def write_regdb(root: Path, pids: tuple[int, ...] = REGDB_PIDS, images: int = 10) -> Path:
    """``pids`` with ten images per modality and ten splits into halves."""
    for folder in ("Visible", "Thermal"):
        for pid in pids:
            for number in range(images):
                write_image(root / regdb_path(folder, pid, number), pid * 100 + number, (8, 16), folder == "Thermal")
    write_regdb_idx(root, pids, images)
    return root


def write_regdb_idx(root: Path, pids: tuple[int, ...], images: int = 10) -> None:
    (root / "idx").mkdir(parents=True)
    half = len(pids) // 2
    for trial in range(1, 11):
        order = np.random.default_rng(trial).permutation(pids).tolist()
        for kind, chosen in (("train", sorted(order[:half])), ("test", sorted(order[half:]))):
            for folder in ("Visible", "Thermal"):
                lines = [
                    f"{regdb_path(folder, pid, number)} {label}"
                    for label, pid in enumerate(chosen)
                    for number in range(images)
                ]
                (root / "idx" / f"{kind}_{folder.lower()}_{trial}.txt").write_text("\n".join(lines) + "\n")


def write_llcm(root: Path) -> Path:
    """Two training and two test identities, and a test folder of an identity (7) outside ``test_id.txt``."""
    (root / "idx").mkdir(parents=True)
    for folder, cameras in (("vis", (1, 3)), ("nir", (1, 4))):
        lines = []
        for label, pid in enumerate(LLCM_TRAIN):
            for camera in cameras:
                name = f"{folder}/{pid:04d}/{pid:04d}_c{camera:02d}_s185535_f7010_{folder}.jpg"
                write_image(root / name, pid * 10 + camera)
                lines.append(f"{name} {label}")
        (root / "idx" / f"train_{folder}.txt").write_text("\n".join(lines) + "\n")
        for pid in (*LLCM_TEST, 7):
            for camera in cameras:
                for number in (1, 2):
                    write_image(root / f"test_{folder}/cam{camera}/{pid:04d}/{number:04d}.jpg", pid * 100 + number)
    (root / "idx" / "test_id.txt").write_text(",".join(map(str, LLCM_TEST)))
    return root


def write_hitsz(root: Path) -> Path:
    """The tracklets of `HITSZ_TRACKLETS`, the second test one in the folder of the first; one is too short to count."""
    (root / "info").mkdir(parents=True)
    queries = []
    for split, tracklets in HITSZ_TRACKLETS.items():
        names: list[str] = []
        rows = []
        for tracklet, (modality, pid, camera, frames) in enumerate(tracklets, start=1):
            rows.append(f"{modality} {len(names) + 1} {len(names) + frames} {pid:04d} {camera}")
            for number in range(1, frames + 1):
                file = f"{100 * tracklet + 5 * number}.jpg"
                names.append(f"{pid:04d}M{modality}D{camera}T{tracklet}F{file}")
                folder = root / split.capitalize() / f"{pid:04d}" / {1: "ir", 2: "rgb"}[modality] / f"D{camera}"
                write_image(folder / file, 10_000 * pid + 100 * tracklet + number, (4, 8), grey=modality == 1)
            if split == "test" and modality == 1:
                queries.append(tracklet)
        (root / "info" / f"{split}_name.txt").write_text("\n".join(names) + "\n")
        (root / "info" / f"track_{split}_info.txt").write_text("\n".join(rows) + "\n")
    (root / "info" / "query_IDX.txt").write_text(" ".join(map(str, queries)) + "\n")
    return root


def write_bupt(root: Path) -> Path:
    """The tracklets of `BUPT_TRACKLETS`."""
    paths: dict[str, dict[str, dict[str, dict[str, list[str]]]]] = {}
    lists: dict[str, list[str]] = {}
    for seed, (name, pid, kind, camera, number, frames) in enumerate(BUPT_TRACKLETS):
        lists.setdefault(name, []).append(f"{pid} {kind} {camera} {number}\n")
        for modality in kind.split("/"):
            files = [
                f"{pid}/{modality}/{camera}/{pid}_{modality}_{camera}_{number}_{frame}.jpg" for frame in range(frames)
            ]
            paths.setdefault(str(pid), {}).setdefault(modality, {}).setdefault(camera, {})[str(number)] = files
            for at, file in enumerate(files):
                write_image(root / "DATA" / file, 1000 * seed + at, (4, 8), grey=modality == "IR")
    (root / "data_paths.json").write_text(json.dumps(paths))
    for name, lines in lists.items():
        (root / f"{name}.txt").write_text("".join(lines))
    return root
