"""LLCM (Zhang and Wang, Diverse Embedding Expansion Network ..., CVPR 2023): layout and splits.

::

    vis/<pid>/<name>.jpg               nir/<pid>/<name>.jpg               training images, named by the idx lists
    test_vis/cam<1...9>/<pid>/*.jpg    test_nir/cam<1,2,4...9>/<pid>/*.jpg    test images, found by their folders
    idx/train_vis.txt  train_nir.txt   lines "nir/0001/0001_c01_s185535_f7010_nir.jpg 0": path, space, label
    idx/test_id.txt                    one line of comma-separated identities

Identities are folder names of four digits. A training image's camera is the ``c01`` part of its file name, 0 where
the name has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vibench.datasets.labelled import (
    Line,
    as_found,
    identities,
    label_contradictions,
    read_labelled_paths,
    refuse_contradictions,
)
from vibench.datasets.listing import (
    IMAGE_SUFFIX,
    Listing,
    Sample,
    list_images,
    located,
    parse_names,
    read_id_list,
    require_root,
    sample_index,
)
from vibench.modality import INFRARED, VISIBLE

if TYPE_CHECKING:
    from vibench.datasets.index import SampleIndex

TEST_IDS = "idx/test_id.txt"
FOLDERS = {VISIBLE: "vis", INFRARED: "nir"}
MODALITY_OF_CAMERA: dict[int, str] = {}
"""Every camera takes both."""
NAME_FORM = "test_vis/cam3/0012/0001.jpg or test_nir/cam4/0012/0001.jpg"
_MODALITY = {folder: modality for modality, folder in FOLDERS.items()}
_TRAINING_NAME = re.compile(r"(vis|nir)/([0-9]{4})/[^/\\.\x00-\x1f][^/\\\x00-\x1f]*\.jpg")
_TEST_NAME = re.compile(r"test_(vis|nir)/cam([1-9])/([0-9]{4})/[^/\\.\x00-\x1f][^/\\\x00-\x1f]*\.jpg")
_FILE = re.compile(
    r"(?:(vis|nir)|test_(vis|nir)/cam0*([1-9]))/0*([0-9]{1,4})/([^/\\.\x00-\x1f][^/\\\x00-\x1f]*)" + IMAGE_SUFFIX,
    re.IGNORECASE | re.ASCII,
)
IMAGE_FOLDERS = ("nir", "test_nir", "test_vis", "vis")
_CAMERA_PART = re.compile(r"c([0-9]{1,9})")


def parse_test_name(name: str) -> Sample | None:
    """The test image that a relative path names, or None when it is not of this layout."""
    match = _TEST_NAME.fullmatch(name)
    if match is None:
        return None
    return Sample(name, int(match[3]), int(match[2]), _MODALITY[match[1]], "test")


def parse_training_name(name: str) -> Sample | None:
    """The training image that a relative path names (split ``train``), or None when it is not of this layout."""
    match = _TRAINING_NAME.fullmatch(name)
    if match is None:
        return None
    cameras = [_CAMERA_PART.fullmatch(part) for part in PurePosixPath(name).stem.split("_")]
    camera = next((int(part[1]) for part in cameras if part is not None), 0)
    return Sample(name, int(match[2]), camera, _MODALITY[match[1]], "train")


def parse_name(name: str) -> Sample | None:
    """The training or test image that a relative path names, or None."""
    return parse_test_name(name) or parse_training_name(name)


def read_name(path: str) -> Sample | None:
    """The image that a file is, by the data set's own name, whatever case, extension and zeros the path has."""
    match = _FILE.fullmatch(path)
    if match is None:
        return None
    training, test, camera, pid, stem = match.groups()
    folder = training.lower() if training else f"test_{test.lower()}/cam{camera}"
    return parse_name(f"{folder}/{int(pid):04d}/{stem}.jpg")


def index_from_names(names: Iterable[str]) -> SampleIndex:
    """Rows for names of test images in the given order; `UsageError` for a name that does not fit."""
    return sample_index(parse_names(names, parse_test_name, "LLCM", NAME_FORM))


def list_root(root: Path) -> Listing:
    """All images of ``root``, sorted by path: split ``test`` in the test folders, ``train`` elsewhere."""
    return list_images(root, IMAGE_FOLDERS, read_name)


def index(root: Path, trial: int | None = None, missing_ok: bool = False) -> SampleIndex:
    """All images of a copy, sorted by path. The data set has one train/test split: no trials.

    Training images are those of the training lists, test images those in test folders of the identities of
    ``test_id.txt``; all others are ``unused``. Raises `UsageError` for a missing or contradictory idx file and, unless
    ``missing_ok``, for images that a list names and the copy lacks.
    """
    require_root(root, "LLCM", IMAGE_FOLDERS)
    listing = list_root(root)
    listing.require_unambiguous(root)
    samples = listing.samples
    lists = read_training_lists(root, {sample.path for sample in samples})
    test_pids = set(read_test_ids(root))
    refuse_contradictions(split_contradictions(lists, test_pids, samples, missing_ok), root)
    training = {line.path for lines in lists.values() for line in lines}
    return sample_index(assign_splits(samples, training, test_pids))


def assign_splits(samples: Sequence[Sample], training: set[str], test_pids: set[int]) -> list[Sample]:
    """The samples with ``unused`` as split where neither the training paths nor the test identities name them."""
    return [
        sample
        if (sample.path in training if sample.split == "train" else sample.pid in test_pids)
        else sample._replace(split="unused")
        for sample in samples
    ]


def split_contradictions(
    lists: Mapping[str, Sequence[Line]], test_pids: set[int], samples: Sequence[Sample], missing_ok: bool = False
) -> list[tuple[str, str]]:
    """What is wrong with the training lists and the test identities, as (idx file, sentence) pairs.

    ``lists`` holds the training lines per modality, ``samples`` all images on disk; ``missing_ok`` accepts that lists
    name others.
    """
    files = {modality: training_list(modality) for modality in FOLDERS}
    found = None if missing_ok else {sample.path for sample in samples}
    wrong = label_contradictions(lists, files, parse_training_name, found)
    for pid in sorted(identities(lists, parse_training_name) & test_pids):
        wrong.append((TEST_IDS, f"names identity {pid}, which is also a training identity"))
    if missing_ok:
        return wrong
    photographed = {sample.pid for sample in samples if sample.split == "test"}
    for pid in sorted(test_pids - photographed):
        wrong.append((TEST_IDS, f"names identity {pid}, which has no image in the test folders"))
    return wrong


def training_list(modality: str) -> str:
    """Relative path of a modality's list of training images."""
    return f"idx/train_{FOLDERS[modality]}.txt"


def read_training_list(root: Path, modality: str) -> list[Line]:
    """A modality's training images with labels, in file order."""
    return read_labelled_paths(located(root, training_list(modality)), read_name)


def read_training_lists(root: Path, found: set[str]) -> dict[str, list[Line]]:
    """The training lines per modality, spelled as the images ``found`` on disk."""
    return {modality: as_found(read_training_list(root, modality), found) for modality in FOLDERS}


def read_test_ids(root: Path) -> tuple[int, ...]:
    """The test identities in file order."""
    return read_id_list(located(root, TEST_IDS))
