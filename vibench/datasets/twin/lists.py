"""The list files of a layout: SYSU-MM01's ``exp/``, RegDB's ``idx/``, HITSZ-VCM's ``info/`` and BUPTCampus'."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path, PurePosixPath

import numpy as np
from scipy.io import savemat

from vibench.datasets.buptcampus import LISTS, PATHS
from vibench.datasets.permutations import TRIALS, write_permutations
from vibench.datasets.twin.camera import CAMERAS
from vibench.datasets.twin.plan import REGDB_TRIALS, Shot, regdb_halves
from vibench.datasets.twin.streams import stream
from vibench.files.writing import write_json
from vibench.modality import INFRARED

_HEADER_TEXT_BYTES = 116


def write_lists(root: Path, layout: str, seed: int, shots: list[Shot]) -> None:
    """Write the list files that belong to ``shots`` under ``root``."""
    if layout == "sysu-mm01":
        _write_exp(root / "exp", seed, shots)
    elif layout == "buptcampus":
        _write_tracklets(root, shots)
    elif layout == "hitsz-vcm":
        _write_info(root / "info", shots)
    else:
        _write_idx(root / "idx", seed, shots)


def _write_exp(folder: Path, seed: int, shots: list[Shot]) -> None:
    folder.mkdir()
    pids = {split: sorted({shot.pid for shot in shots if shot.split == split}) for split in ("train", "val", "test")}
    pids["available"] = sorted(pids["train"] + pids["val"] + pids["test"])
    for name, members in pids.items():
        (folder / f"{name}_id.txt").write_text(",".join(map(str, members)), encoding="ascii")
        _write_matrix(folder / f"{name}_id.mat", "id", np.array([members], dtype=np.float64))
    counts: dict[tuple[int, int], int] = {}
    for shot in shots:
        key = (shot.camera, shot.pid)
        counts[key] = max(shot.number, counts.get(key, 0))
    permutations = {}
    for (camera, pid), images in counts.items():
        random = stream(seed, "permutation", camera, pid)
        permutations[camera, pid] = np.array([random.permutation(images) + 1 for _ in range(TRIALS)])
    write_permutations(folder / "rand_perm_cam.mat", permutations)


def _write_matrix(path: Path, variable: str, values: np.ndarray) -> None:
    """A MATLAB 5 file with the same bytes at any time: scipy's own header text names the hour."""
    savemat(path, {variable: values}, appendmat=False)
    with path.open("r+b") as written:
        written.write(b"MATLAB 5.0 MAT-file".ljust(_HEADER_TEXT_BYTES))


def _write_idx(folder: Path, seed: int, shots: list[Shot]) -> None:
    folder.mkdir()
    pids = sorted({shot.pid for shot in shots})
    for trial in range(1, REGDB_TRIALS + 1):
        for split, members in zip(("train", "test"), regdb_halves(pids, seed, trial), strict=True):
            labels = {pid: label for label, pid in enumerate(members)}
            for camera, modality in ((1, "visible"), (2, "thermal")):
                lines = [
                    f"{shot.path} {labels[shot.pid]}\n"
                    for shot in shots
                    if shot.camera == camera and shot.pid in labels
                ]
                (folder / f"{split}_{modality}_{trial}.txt").write_text("".join(lines), encoding="ascii")


def _write_info(folder: Path, shots: list[Shot]) -> None:
    folder.mkdir()
    queries = []
    for split in ("train", "test"):
        names: list[str] = []
        rows: list[str] = []
        of_split = [shot for shot in shots if shot.split == split]
        for (pid, place, tracklet), frames in groupby(of_split, lambda shot: (shot.pid, shot.camera, shot.tracklet)):
            camera = CAMERAS["hitsz-vcm"][place - 1]
            modality = 1 if camera.modality == INFRARED else 2
            first = len(names) + 1
            names += [
                f"{pid:04d}M{modality}D{camera.number}T{tracklet}F{PurePosixPath(frame.path).name}" for frame in frames
            ]
            rows.append(f"{modality} {first} {len(names)} {pid:04d} {camera.number}")
            if split == "test" and camera.modality == INFRARED:
                queries.append(len(rows))
        (folder / f"{split}_name.txt").write_text("".join(f"{name}\n" for name in names), encoding="ascii")
        (folder / f"track_{split}_info.txt").write_text("".join(f"{row}\n" for row in rows), encoding="ascii")
    (folder / "query_IDX.txt").write_text(" ".join(map(str, queries)) + "\n", encoding="ascii")


def _write_tracklets(root: Path, shots: list[Shot]) -> None:
    paths: dict[str, dict[str, dict[str, dict[str, list[str]]]]] = {}
    rows: dict[str, dict[str, None]] = {name: {} for name in LISTS}
    for shot in shots:
        listed, pid, modality, camera, _ = shot.name.split("/")
        of_camera = paths.setdefault(pid, {}).setdefault(modality, {}).setdefault(camera, {})
        of_camera.setdefault(str(shot.tracklet), []).append(shot.name.partition("/")[2])
        kind = "RGB/IR" if listed == "train" else modality
        rows[listed][f"{pid} {kind} {camera} {shot.tracklet}\n"] = None
    write_json(root / PATHS, paths)
    for name, lines in rows.items():
        (root / LISTS[name]).write_text("".join(lines), encoding="ascii")
