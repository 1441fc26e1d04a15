"""RegDB (Nguyen et al., Sensors 2017; splits of Ye et al., AAAI 2018): layout and splits.

::

    Visible/<pid>/<name>.bmp    Thermal/<pid>/<name>.bmp            ten images each
    idx/{train,test}_{visible,thermal}_{1...10}.txt                 lines "Visible/285/x.bmp 0": path, space, label

Labels run from 0 within one list and are shared by the visible and the thermal list of a split. The folder's name
is the true identity. There are no camera numbers: visible counts as camera 1, infrared (thermal) as camera 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
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
    require_root,
    sample_index,
)
from vibench.errors import UsageError
from vibench.modality import INFRARED, VISIBLE

if TYPE_CHECKING:
    from vibench.datasets.index import SampleIndex

TRIALS = tuple(range(1, 11))
KINDS = ("train", "test")
FOLDERS = {VISIBLE: "Visible", INFRARED: "Thermal"}
IMAGE_FOLDERS = tuple(FOLDERS.values())
CAMERA = {VISIBLE: 1, INFRARED: 2}
MODALITY_OF_CAMERA = {camera: modality for modality, camera in CAMERA.items()}
NAME_FORM = "Visible/285/male_back_v_05528_285.bmp or Thermal/285/male_back_t_05528_285.bmp"
_MODALITY = {folder: modality for modality, folder in FOLDERS.items()}
_NAME = re.compile(r"(Visible|Thermal)/([0-9]{1,9})/[^/\\.\x00-\x1f][^/\\\x00-\x1f]*\.bmp")
_FILE = re.compile(
    r"(visible|thermal)/([0-9]{1,9})/([^/\\.\x00-\x1f][^/\\\x00-\x1f]*)" + IMAGE_SUFFIX, re.IGNORECASE | re.ASCII
)


def parse_name(name: str) -> Sample | None:
    """The image that a relative path names (split ``test``), or None when it is not of this layout."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    modality = _MODALITY[match[1]]
    return Sample(name, int(match[2]), CAMERA[modality], modality, "test")


parse_test_name = parse_name
"""A name does not tell the split."""


def read_name(path: str) -> Sample | None:
    """The image that a file is, by the data set's own name, whatever case, extension and zeros the path has."""
    match = _FILE.fullmatch(path)
    return None if match is None else parse_name(f"{match[1].capitalize()}/{int(match[2])}/{match[3]}.bmp")


def index_from_names(names: Iterable[str]) -> SampleIndex:
    """Rows for image names in the given order, split ``test``; `UsageError` for a name that does not fit."""
    return sample_index(parse_names(names, parse_name, "RegDB", NAME_FORM))


def list_root(root: Path) -> Listing:
    """All images of ``root``, visible before infrared, then by identity and name; splits are not looked up."""
    listing = list_images(root, IMAGE_FOLDERS, read_name)
    listing.samples.sort(key=lambda sample: (sample.camera, sample.pid, sample.path))
    return listing


def index(root: Path, trial: int | None = None, missing_ok: bool = False) -> SampleIndex:
    """All images of a copy, visible before infrared, then by identity and name.

    ``trial`` 1...10 takes the split from that trial's idx files; images in none of them, and all images without
    a trial, are ``unused``. Raises `UsageError` for a missing or contradictory idx file and, unless ``missing_ok``,
    for images that a list names and the copy lacks.
    """
    require_root(root, "RegDB", IMAGE_FOLDERS)
    listing = list_root(root)
    listing.require_unambiguous(root)
    samples = listing.samples
    if not samples:
        raise UsageError(f"{root} holds no RegDB image such as {NAME_FORM}; check --root")
    splits: dict[str, str] = {}
    if trial is not None:
        found = {sample.path for sample in samples}
        lists = read_trial(root, trial, found)
        refuse_contradictions(split_contradictions(lists, None if missing_ok else found, trial), root)
        splits = {line.path: kind for (kind, _), lines in lists.items() for line in lines}
    return sample_index(sample._replace(split=splits.get(sample.path, "unused")) for sample in samples)


def idx_path(kind: str, modality: str, trial: int) -> str:
    """Relative path of the idx file of ``kind`` train | test."""
    return f"idx/{kind}_{FOLDERS[modality].lower()}_{trial}.txt"


def read_idx(root: Path, kind: str, modality: str, trial: int) -> list[Line]:
    """The lines of one idx file in file order; `UsageError` when it is absent or a line has another form."""
    return read_labelled_paths(located(root, idx_path(kind, modality, trial)), read_name)


def read_trial(root: Path, trial: int, found: set[str]) -> dict[tuple[str, str], list[Line]]:
    """The four lists of a trial by (train | test, modality), spelled as the images ``found`` on disk."""
    return {(kind, mod): as_found(read_idx(root, kind, mod, trial), found) for kind in KINDS for mod in FOLDERS}


def split_contradictions(
    lists: Mapping[tuple[str, str], Sequence[Line]], found: set[str] | None, trial: int
) -> list[tuple[str, str]]:
    """What is wrong with one trial's four idx files, as (idx file, sentence) pairs; empty when all is well.

    ``lists`` has the keys (train | test, modality); ``found`` holds the relative paths of all images on disk, None
    accepts lists of others.
    """
    wrong: list[tuple[str, str]] = []
    pids = {}
    for kind in KINDS:
        files = {modality: idx_path(kind, modality, trial) for modality in FOLDERS}
        lines = {modality: lists[kind, modality] for modality in FOLDERS}
        wrong += label_contradictions(lines, files, parse_name, found)
        pids[kind] = identities(lines, parse_name)
    for pid in sorted(pids["train"] & pids["test"]):
        wrong.append((idx_path("test", VISIBLE, trial), f"identity {pid} is also a training identity of trial {trial}"))
    return wrong
