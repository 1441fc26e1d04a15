"""The test images of a data set, split by split; those of SYSU-MM01 are known by name without a copy of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from vibench.datasets import llcm
from vibench.datasets.check_llcm import IMAGES as LLCM_IMAGES
from vibench.datasets.check_sysu_mm01 import image_names
from vibench.datasets.index import SampleIndex, test_rows
from vibench.datasets.registry import Dataset
from vibench.datasets.sysu_mm01 import sysu_skeleton
from vibench.datasets.training_split import (
    identities_apart,
    names_apart,
    regdb_apart,
    skeleton_of,
    training_differences,
    twin_apart,
)
from vibench.errors import UsageError, cited


def images_of_tests(dataset: Dataset, root: Path, trial: int | None = None) -> dict[int, SampleIndex]:
    """Split number -> its test images, of all splits or of ``trial`` alone; 1 stands for the only split.

    Raises `UsageError` where ``root`` is no folder, unless it is SYSU-MM01, whose published list stands in, and for a
    trial that the data set does not have.
    """
    if not root.is_dir():
        if dataset.name != "sysu-mm01":
            raise UsageError(f"{root}: there is no such folder for the data set {dataset.name}; name it with --root.")
        return {1: dataset.index_from_names(sysu_test_names())}
    if dataset.trials == 1:
        return {1: test_rows(dataset.index(root, trial))}
    trials = range(1, dataset.trials + 1) if trial is None else (trial,)
    return {each: test_rows(dataset.index(root, each)) for each in trials}


def test_differences(dataset: Dataset, root: Path, index: SampleIndex, trial: int | None = None) -> str:
    """What the test split of a copy lacks or has too much, as half a sentence; empty for the whole one.

    ``index`` is that of all images of the copy, split as in ``trial``. Of LLCM no list names the test images: where the
    training split is whole, their number is known. Empty as well for a twin without its truth, of which nothing is.
    """
    test = test_rows(index)
    if dataset.synthetic and not (root / "truth" / "skeleton.csv").exists():
        return ""
    if dataset.layout == "sysu-mm01":
        skeleton = skeleton_of(dataset, root)
        wanted = image_names(skeleton[skeleton["split"] == "test"])
        parts = names_apart(wanted, set(test["path"]), len(wanted))
    elif dataset.layout == "regdb":
        parts = regdb_apart(dataset, root, "test", test, trial or 1)
    elif dataset.video:
        wanted = set(dataset.tracklets(root))
        parts = [*twin_apart(dataset, root, "test"), *names_apart(wanted, set(test["path"]), len(wanted), "tracklets")]
    else:
        parts = [identities_apart(int(test["pid"].nunique()), len(llcm.read_test_ids(root)))]
        training = int((index["split"] == "train").sum())
        if not training_differences(dataset, root, index) and training + len(test) != LLCM_IMAGES:
            parts.append(f"has {len(test)} of {LLCM_IMAGES - training} images")
    return " and ".join(part for part in parts if part)


def named_differences(dataset: Dataset, names: Sequence[str]) -> tuple[str, ...]:
    """What is known to be missing or surplus among the names of test images of SYSU-MM01's layout, one sentence each.

    Draws go by an image's place in its folder, so that one absent image silently shifts later draws. The real data
    set's test images are known by name; a twin's are numbered from 1 without gaps. Other data sets number freely.
    """
    if dataset.layout != "sysu-mm01":
        return ()
    if dataset.synthetic:
        last: dict[str, int] = {}
        for name in names:
            folder, file = name.rsplit("/", 1)
            last[folder] = max(last.get(folder, 0), int(re.findall(r"\d+", file)[-1]))
        expected = {f"{folder}/{number:04d}.jpg" for folder, most in last.items() for number in range(1, most + 1)}
    else:
        expected = set(sysu_test_names())
    given = set(names)
    return tuple(
        f"{len(odd)} of the {len(expected)} test images of {dataset.name} {kind} ({cited(sorted(odd), 3)})"
        for kind, odd in (("are missing", expected - given), ("belong to no test image", given - expected))
        if odd
    )


def sysu_test_names() -> list[str]:
    """The names of all test images of SYSU-MM01, as published."""
    skeleton = sysu_skeleton()
    rows = skeleton[skeleton["split"] == "test"][["camera", "pid", "images"]].itertuples(index=False)
    return [f"cam{camera}/{pid:04d}/{at:04d}.jpg" for camera, pid, count in rows for at in range(1, count + 1)]
