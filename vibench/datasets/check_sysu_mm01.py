"""A copy of SYSU-MM01 (or its twin) against the number of images per camera and identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from vibench.datasets.listing import Sample, located
from vibench.datasets.permutations import Permutations, read_permutations
from vibench.datasets.report import Count, Problem
from vibench.datasets.sysu_mm01 import INFRARED_CAMERAS, LISTED_SPLITS, read_ids, read_skeleton, sysu_skeleton
from vibench.errors import UsageError

_INDOOR_GALLERY = (1, 2)
_DRAWS = "exp/rand_perm_cam.mat"
_MULTI_SHOT = 10


def check(root: Path, samples: Sequence[Sample], synthetic: bool) -> tuple[list[Count], list[Problem]]:
    """Counts and problems of a copy, image contents apart; a twin is compared with its own truth."""
    expected = read_skeleton(root / "truth" / "skeleton.csv") if synthetic else sysu_skeleton()
    problems: list[Problem] = []
    ids: dict[str, tuple[int, ...]] = {}
    for split in LISTED_SPLITS:
        try:
            ids[split] = read_ids(root, split)
        except UsageError as error:
            problems.append(Problem("list", f"exp/{split}_id.txt", str(error)))
    problems += image_problems(samples, expected)
    problems += id_problems(ids, expected)
    try:
        draws = located(root, _DRAWS)
        if draws.exists():
            problems += draw_problems(read_permutations(draws), expected)
        else:
            problems.append(Problem("missing", _DRAWS, "only official draws need it", warning=True))
    except UsageError as error:
        problems.append(Problem("list", _DRAWS, str(error)))
    return compare(found_skeleton(samples, ids), expected), problems


def found_skeleton(samples: Sequence[Sample], ids: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """The images of a copy as a skeleton: columns ``camera, pid, images, split``."""
    split_of = {pid: split for split in ids for pid in ids[split]}
    frame = pd.DataFrame(samples, columns=list(Sample._fields))
    images = frame.groupby(["camera", "pid"]).size().rename("images").reset_index()
    images["split"] = [split_of.get(pid, "unused") for pid in images["pid"].tolist()]
    return images


def quantities(skeleton: pd.DataFrame) -> dict[str, int]:
    """Every number that papers publish about the data set, from the images per camera and identity."""
    infrared = skeleton["camera"].isin(INFRARED_CAMERAS)
    train, val, test = (skeleton["split"] == split for split in LISTED_SPLITS)
    indoor = skeleton["camera"].isin(_INDOOR_GALLERY)

    def images(rows: pd.Series) -> int:
        return int(skeleton.loc[rows, "images"].sum())

    def identities(rows: pd.Series) -> int:
        return int(skeleton.loc[rows, "pid"].nunique())

    def gallery(rows: pd.Series, shots: int) -> int:
        return int(skeleton.loc[rows, "images"].clip(upper=shots).sum())

    # A camera-3 query may not be matched in camera 2, which stands in the same room.
    reachable = {3: set(skeleton.loc[test & (skeleton["camera"] == 1), "pid"])}
    reachable[6] = set(skeleton.loc[test & indoor, "pid"])
    matched = pd.Series(False, index=skeleton.index)
    for camera, pids in reachable.items():
        matched |= test & (skeleton["camera"] == camera) & skeleton["pid"].isin(pids)

    values = {
        "identities": int(skeleton["pid"].nunique()),
        "images": int(skeleton["images"].sum()),
        "train identities": identities(train),
        "val identities": identities(val),
        "train+val identities": identities(train | val),
        "train+val visible images": images((train | val) & ~infrared),
        "train+val infrared images": images((train | val) & infrared),
        "test identities": identities(test),
        "test visible images": images(test & ~infrared),
        "queries": images(test & infrared),
        "queries with an indoor match": images(matched),
        "gallery, all, single-shot": gallery(test & ~infrared, 1),
        "gallery, indoor, single-shot": gallery(test & indoor, 1),
        "gallery, all, multi-shot": gallery(test & ~infrared, _MULTI_SHOT),
        "gallery, indoor, multi-shot": gallery(test & indoor, _MULTI_SHOT),
    }
    for camera in range(1, 7):
        values[f"images of camera {camera}"] = images(skeleton["camera"] == camera)
    return values


def compare(found: pd.DataFrame, expected: pd.DataFrame) -> list[Count]:
    """Both skeletons' quantities, and how many (camera, identity) folders hold the expected number of images."""
    is_now, should_be = quantities(found), quantities(expected)
    counts = [Count(quantity, should_be[quantity], is_now[quantity]) for quantity in should_be]
    have, want = _images(found), _images(expected)
    right = sum(have.get(key) == images for key, images in want.items())
    return [*counts, Count("folders with the right number of images", len(want), right)]


def image_problems(samples: Sequence[Sample], expected: pd.DataFrame) -> list[Problem]:
    """Images that are missing or surplus."""
    wanted = image_names(expected)
    found = {sample.path for sample in samples}
    missing = [Problem("missing", path, "no such file") for path in sorted(wanted - found)]
    return missing + [Problem("surplus", path, "not part of the data set") for path in sorted(found - wanted)]


def image_names(skeleton: pd.DataFrame) -> set[str]:
    """The names of the images that a skeleton counts: the n images of a folder are numbered from 1."""
    return {
        f"cam{camera}/{pid:04d}/{number:04d}.jpg"
        for (camera, pid), images in _images(skeleton).items()
        for number in range(1, images + 1)
    }


def id_problems(ids: Mapping[str, Sequence[int]], expected: pd.DataFrame) -> list[Problem]:
    """Identities that a readable id list lacks or should not have."""
    problems = []
    for split, listed in ids.items():
        wanted = set(expected.loc[expected["split"] == split, "pid"].tolist())
        path = f"exp/{split}_id.txt"
        problems += [Problem("list", path, f"lacks identity {pid}") for pid in sorted(wanted - set(listed))]
        problems += [
            Problem("list", path, f"names identity {pid}, which is not of this split")
            for pid in sorted(set(listed) - wanted)
        ]
    return problems


def draw_problems(draws: Permutations, expected: pd.DataFrame) -> list[Problem]:
    """Folders for which the official draws permute another number of images."""
    drawn = {key: rows.shape[1] for key, rows in draws.items()}
    wanted = _images(expected)
    return [
        Problem(
            "list",
            _DRAWS,
            f"permutes {drawn.get((camera, pid), 0)} images of camera {camera}, identity {pid}, "
            f"which has {wanted.get((camera, pid), 0)}",
        )
        for camera, pid in sorted(drawn.keys() | wanted.keys())
        if drawn.get((camera, pid), 0) != wanted.get((camera, pid), 0)
    ]


def _images(skeleton: pd.DataFrame) -> dict[tuple[int, int], int]:
    keys = zip(skeleton["camera"].tolist(), skeleton["pid"].tolist(), strict=True)
    return dict(zip(keys, skeleton["images"].tolist(), strict=True))
