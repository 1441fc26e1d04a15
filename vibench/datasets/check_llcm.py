"""A copy of LLCM against the published counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vibench.datasets.labelled import Line, as_found, read_labelled_paths
from vibench.datasets.listing import Sample, located
from vibench.datasets.llcm import (
    FOLDERS,
    TEST_IDS,
    assign_splits,
    parse_test_name,
    read_name,
    read_test_ids,
    read_training_list,
    split_contradictions,
    training_list,
)
from vibench.datasets.report import Count, Problem
from vibench.errors import UsageError
from vibench.modality import INFRARED, VISIBLE

IDENTITIES = 1064
IMAGES = 46767
TRAINING_IDENTITIES = 713
TRAINING_IMAGES = {VISIBLE: 16946, INFRARED: 13975}
"""Reported second-hand and not verified."""
_CAMERAS = {VISIBLE: 9, INFRARED: 8}


def check(root: Path, samples: Sequence[Sample], synthetic: bool) -> tuple[list[Count], list[Problem]]:
    """Counts and problems of a copy, image contents apart."""
    problems: list[Problem] = []
    lists: dict[str, list[Line]] = {modality: [] for modality in FOLDERS}
    test_pids: set[int] = set()
    on_disk = {sample.path for sample in samples}
    for modality in FOLDERS:
        try:
            lists[modality] = as_found(read_training_list(root, modality), on_disk)
        except UsageError as error:
            problems.append(Problem("list", training_list(modality), str(error)))
    try:
        test_pids = set(read_test_ids(root))
    except UsageError as error:
        problems.append(Problem("list", TEST_IDS, str(error)))
    if not problems:
        problems += list_problems(lists, test_pids, samples)
    problems += image_problems(lists, test_pids, samples)
    problems += optional_list_problems(root, on_disk)
    training = {line.path for lines in lists.values() for line in lines}
    return counts(assign_splits(samples, training, test_pids)), problems


def counts(samples: Sequence[Sample]) -> list[Count]:
    """The published numbers (Zhang and Wang, CVPR 2023) against the images found, whose splits are assigned.

    The images per split and modality are reported second-hand and not verified.
    """

    def images(split: str, modality: str) -> int:
        return sum(sample.split == split and sample.modality == modality for sample in samples)

    def identities(*splits: str) -> int:
        return len({sample.pid for sample in samples if sample.split in splits})

    def cameras(modality: str) -> int:
        return len({sample.camera for sample in samples if sample.split == "test" and sample.modality == modality})

    used = sum(sample.split != "unused" for sample in samples)
    return [
        Count("identities", IDENTITIES, identities("train", "test")),
        Count("images", IMAGES, used),
        Count("training identities", TRAINING_IDENTITIES, identities("train")),
        Count("test identities", 351, identities("test")),
        Count("visible cameras of the test images", _CAMERAS[VISIBLE], cameras(VISIBLE)),
        Count("infrared cameras of the test images", _CAMERAS[INFRARED], cameras(INFRARED)),
        Count("training visible images", TRAINING_IMAGES[VISIBLE], images("train", VISIBLE), verified=False),
        Count("training infrared images", TRAINING_IMAGES[INFRARED], images("train", INFRARED), verified=False),
        Count("test visible images", 8680, images("test", VISIBLE), verified=False),
        Count("test infrared images", 7166, images("test", INFRARED), verified=False),
    ]


def list_problems(lists: Mapping[str, Sequence[Line]], test_pids: set[int], samples: Sequence[Sample]) -> list[Problem]:
    """Contradictions between the training lists and the test identities."""
    # Listed images that do not exist are reported as missing images.
    listed = [Sample(line.path, 0, 0, "", "train") for lines in lists.values() for line in lines]
    contradictions = split_contradictions(lists, test_pids, [*samples, *listed])
    return [Problem("list", file, sentence) for file, sentence in contradictions]


def image_problems(
    lists: Mapping[str, Sequence[Line]], test_pids: set[int], samples: Sequence[Sample]
) -> list[Problem]:
    """Training images that are missing; images that neither lists nor test identities name."""
    found = {sample.path for sample in samples}
    training = {line.path for lines in lists.values() for line in lines}
    problems = [
        Problem("missing", path, "no such file, though a training list names it") for path in sorted(training - found)
    ]
    problems += [
        Problem("surplus", sample.path, "in no training list and of no test identity; it is not used", warning=True)
        for sample in assign_splits(samples, training, test_pids)
        if sample.split == "unused"
    ]
    return problems


def optional_list_problems(root: Path, found: set[str]) -> list[Problem]:
    """Test images that the optional lists of test images name and the folders lack."""
    problems = []
    for folder in FOLDERS.values():
        file = f"idx/test_{folder}.txt"
        path = located(root, file)
        if not path.exists():
            continue
        try:
            listed = {line.path for line in as_found(read_labelled_paths(path, read_name), found)}
        except UsageError as error:
            problems.append(Problem("list", file, str(error), warning=True))
            continue
        recognised = {path for path in listed if parse_test_name(path) is not None}
        problems += [
            Problem("missing", path, f"no such file, though {file} lists it") for path in sorted(recognised - found)
        ]
        if listed - recognised:
            detail = f"{len(listed - recognised)} lines name no image of a test folder; they were not checked"
            problems.append(Problem("list", file, detail, warning=True))
    return problems
