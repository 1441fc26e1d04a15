"""The trials of a protocol: which images ask and which answer, in drawn order.

Seeded draws follow the AGW code line, official ones the permutations of the SYSU-MM01 authors (Wu et al., ICCV 2017).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol as Structural

import numpy as np

from vibench.errors import UsageError
from vibench.evaluation.images import Images
from vibench.protocols import Protocol, Side


@dataclass(frozen=True)
class Trial:
    """The rows of `Images` that one trial compares."""

    number: int
    """0-9 seeded, 1-10 official and RegDB splits."""
    query: np.ndarray
    """(Q,) rows, by identity, camera and name."""
    gallery: np.ndarray
    """(G,) rows in drawn order, which breaks ties."""


class PermutationsLike(Structural):
    """The official draws: (camera, pid) -> (10, n) image numbers from 1, one trial a row."""

    @property
    def sha256(self) -> str: ...

    def __contains__(self, key: object, /) -> bool: ...

    def __getitem__(self, key: tuple[int, int], /) -> np.ndarray: ...


Folder = tuple[int, int]
"""(camera, pid)."""


def draw_trials(
    protocol: Protocol, images: Images, draw: str, permutations: PermutationsLike | None = None, split: int = 1
) -> tuple[Trial, ...]:
    """All trials of a protocol with draws; the one trial number ``split`` of a protocol without.

    Raises `UsageError` when a side has no image, when names or permutations are needed and absent, and for a folder
    (one identity on one camera) with fewer images, or other permutations, than the draw needs.
    """
    query = side_rows(protocol, protocol.query, images)
    gallery = side_rows(protocol, protocol.gallery, images)
    if draw == "none":
        return (Trial(split, query, gallery),)
    if images.paths is None:
        raise UsageError(f"protocol {protocol.name} draws images by name: the features file needs an array 'paths'.")
    drawn = _folders(images, query if protocol.query.drawn else gallery)
    if draw == "official":
        if permutations is None:
            raise UsageError(
                f"the official draw of {protocol.name} needs the permutations of the data set's authors; "
                "pass exp/rand_perm_cam.mat of the data set with --perm."
            )
        numbers: range = range(1, protocol.trials + 1)
        rows = [_official(drawn, protocol.shots, number, permutations) for number in numbers]
    else:
        numbers = range(protocol.trials)
        rows = [_seeded(drawn, protocol.shots, number) for number in numbers]
    if protocol.query.drawn:
        return tuple(Trial(number, chosen, gallery) for number, chosen in zip(numbers, rows, strict=True))
    return tuple(Trial(number, query, chosen) for number, chosen in zip(numbers, rows, strict=True))


def side_rows(protocol: Protocol, side: Side, images: Images) -> np.ndarray:
    """The rows of all images of a side, by identity, camera and name; `UsageError` where there is none."""
    wanted = (images.modalities == side.modality) & np.isin(images.cameras, side.cameras)
    if not wanted.any():
        cameras = ", ".join(map(str, side.cameras))
        raise UsageError(
            f"the features hold no {side.modality} image of camera {cameras}, which protocol {protocol.name} needs "
            f"as {'queries' if side is protocol.query else 'gallery'}."
        )
    return images.ordered(np.flatnonzero(wanted))


def _folders(images: Images, rows: np.ndarray) -> dict[Folder, np.ndarray]:
    """Rows per folder, sorted by name; folders in order of identity, then camera."""

    def folder(row: int) -> Folder:
        return int(images.cameras[row]), int(images.pids[row])

    return {key: np.array(list(members)) for key, members in groupby(rows.tolist(), folder)}


def _seeded(folders: dict[Folder, np.ndarray], shots: int, trial: int) -> np.ndarray:
    """One image per folder with Python's generator, several with NumPy's legacy generator, identity by identity.

    The choices equal those of ``random.choice`` and ``numpy.random.choice`` after seeding the global generators.
    """
    choose: Callable[[np.ndarray], np.ndarray]
    if shots == 1:
        python = random.Random(trial)

        def choose(rows: np.ndarray) -> np.ndarray:
            return np.array([python.choice(rows.tolist())])
    else:
        legacy = np.random.RandomState(trial)

        def choose(rows: np.ndarray) -> np.ndarray:
            return legacy.choice(rows, shots, replace=False)

    drawn = []
    for (camera, pid), rows in folders.items():
        if len(rows) < shots:
            raise UsageError(
                f"identity {pid} has {len(rows)} images on camera {camera}, fewer than the {shots} "
                "that the multi-shot gallery draws."
            )
        drawn.append(choose(rows))
    return np.concatenate(drawn)


def _official(folders: dict[Folder, np.ndarray], shots: int, trial: int, permutations: PermutationsLike) -> np.ndarray:
    """The first ``shots`` images of row ``trial`` (from 1) of each folder's permutations, camera by camera."""
    drawn = []
    for (camera, pid), rows in sorted(folders.items()):
        place = f"identity {pid} on camera {camera}"
        if (camera, pid) not in permutations:
            raise UsageError(
                f"the official draws have no permutation for {place}; pass the data set's own --perm file."
            )
        numbers = permutations[camera, pid]
        if numbers.shape[1] != len(rows):
            raise UsageError(
                f"the official draws permute {numbers.shape[1]} images of {place}, but the features hold {len(rows)}."
            )
        if len(rows) < shots:
            raise UsageError(f"{place} has {len(rows)} images, fewer than the {shots} of the multi-shot gallery.")
        drawn.append(rows[numbers[trial - 1, :shots] - 1])
    return np.concatenate(drawn)
