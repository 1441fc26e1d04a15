"""The feature files of SYSU-MM01's own evaluation code (Wu et al., ICCV 2017): one ``.mat`` per camera.

``<name>_cam<1...6>.mat`` holds the variable ``feature``, a cell over identities (counted from 1) of matrices
(images, dimensions), empty for an identity that the camera has not seen. Row n is the image of number n, as the cells
of ``rand_perm_cam.mat`` count them (`vibench.datasets.permutations`). File names and variable are recalled from the
authors' repository (wuancong/SYSU-MM01), not checked against it.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from vibench.datasets.matlab import read_variables
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.errors import UsageError
from vibench.scoring.foreign.matlab import LARGEST_FILE
from vibench.scoring.foreign.named import Named, most_bytes

VARIABLE = "feature"
_FILE = re.compile(r"(.*?)_?cam_?([1-6])\.mat", re.IGNORECASE)


def camera_files(path: Path) -> tuple[Path, ...]:
    """The files of all cameras, where ``path`` is a folder of such files, or one of them; else none.

    Raises `UsageError` for a folder with none, or with the files of several networks.
    """
    if path.is_dir():
        sets = _sets(path)
        if len(sets) != 1:
            names = ", ".join(sorted(f"{name}_cam*.mat" for name in sets))
            raise UsageError(
                f"{path}: is a folder with {'no files' if not sets else 'several sets of files'} of features such as "
                f"NAME_cam1.mat{f' ({names})' if names else ''}; name a file."
            )
        return next(iter(sets.values()))
    match = _FILE.fullmatch(path.name)
    return _sets(path.parent).get(match[1], ()) if match is not None and path.is_file() else ()


def read_camera_files(files: tuple[Path, ...]) -> Named | None:
    """Features and names of the images of all cameras; None where the first file holds no such cell.

    Raises `UsageError` for a damaged file and for matrices that do not fit one another.
    """
    blocks: list[np.ndarray] = []
    names: list[str] = []
    counts = _counts()
    for file in files:
        match = _FILE.fullmatch(file.name)
        assert match is not None
        camera = int(match[2])
        variables, _ = read_variables(file, LARGEST_FILE, most_bytes(file.stat().st_size))
        cells = variables.get(VARIABLE)
        if cells is None or cells.dtype != object:
            if not blocks:
                return None
            raise UsageError(f"{file}: holds no cell {VARIABLE!r} over identities, as {files[0].name} does.")
        for pid, matrix in enumerate(cells.ravel(), start=1):
            rows = np.asarray(matrix)
            if rows.size == 0:
                continue
            if rows.ndim != 2 or rows.dtype.kind not in "fiu":
                raise UsageError(f"{file}: {VARIABLE}{{{pid}}} must be a matrix (images, dimensions).")
            if len(rows) != counts.get((camera, pid)) and rows.shape[1] == counts.get((camera, pid)):
                rows = rows.T
            if blocks and rows.shape[1] != blocks[0].shape[1]:
                raise UsageError(
                    f"{file}: {VARIABLE}{{{pid}}} has {rows.shape[1]} dimensions, others {blocks[0].shape[1]}."
                )
            blocks.append(rows.astype(np.float64 if rows.dtype != np.float32 else np.float32))
            names += [f"cam{camera}/{pid:04d}/{number:04d}.jpg" for number in range(1, len(rows) + 1)]
    if not blocks:
        raise UsageError(f"{files[0]}: every cell of its {VARIABLE!r} is empty.")
    return Named({"features": np.concatenate(blocks), "paths": np.array(names, dtype=np.str_)})


def _sets(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Files per network, by camera."""
    found: dict[str, list[tuple[str, Path]]] = {}
    for file in sorted(folder.iterdir()):
        match = _FILE.fullmatch(file.name)
        if match is not None and file.is_file():
            found.setdefault(match[1], []).append((match[2], file))
    return {name: tuple(file for _, file in sorted(members)) for name, members in found.items()}


def _counts() -> dict[tuple[int, int], int]:
    frame = sysu_skeleton()
    return {
        (int(camera), int(pid)): int(count)
        for camera, pid, count in zip(frame["camera"], frame["pid"], frame["images"], strict=True)
    }
