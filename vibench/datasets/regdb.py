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
    identities,
    label_contradictions,
    read_labelled_paths,
    refuse_contradictions,
)
from vibench.datasets.listing import (
    Listing,
    Sample,
    list_images,
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
CAMERA = {VISIBLE: 1, INFRARED: 2}
MODALITY_OF_CAMERA = {camera: modality for modality, camera in CAMERA.items()}
NAME_FORM = "Visible/285/male_back_v_05528_285.bmp or Thermal/285/male_back_t_05528_285.bmp"
_MODALITY = {folder: modality for modality, folder in FOLDERS.items()}
_NAME = re.compile(r"(Visible|Thermal)/([0-9]{1,9})/[^/\\.\x00-\x1f][^/\\\x00-\x1f]*\.bmp")


def parse_name(name: str) -> Sample | None:
    """The image that a relative path names (split ``test``), or None when it is not of this layout."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    modality = _MODALITY[match[1]]
    return Sample(name, int(match[2]), CAMERA[modality], modality, "test")


parse_test_name = parse_name
"""A name does not tell the split."""


def index_from_names(names: Iterable[str]) -> SampleIndex:
    """Rows for image names in the given order, split ``test``; `UsageError` for a name that does not fit."""
    return sample_index(parse_names(names, parse_name, "RegDB", NAME_FORM))


def list_root(root: Path) -> Listing:
    """All images of ``root``, visible before infrared, then by identity and name; splits are not looked up."""
    listing = list_images(root, list(FOLDERS.values()), parse_name)
    listing.samples.sort(key=lambda sample: (sample.camera, sample.pid, sample.path))
    return listing


def index(root: Path, trial: int | None = None) -> SampleIndex:
    """All images of a copy, visible before infrared, then by identity and name.

    ``trial`` 1...10 takes the split from that trial's idx files; images in none of them, and all images without
    a trial, are ``unused``. Raises `UsageError` for a missing or contradictory idx file.
    """
    require_root(root, "RegDB")
    samples = list_root(root).samples
    if not samples:
        raise UsageError(f"{root} holds no RegDB image such as {NAME_FORM}; check --root")
    splits: dict[str, str] = {}
    if trial is not None:
        found = {sample.path for sample in samples}
        lists = {(kind, mod): read_idx(root, kind, mod, trial) for kind in KINDS for mod in FOLDERS}
        refuse_contradictions(split_contradictions(lists, found, trial), root)
        splits = {line.path: kind for (kind, _), lines in lists.items() for line in lines}
    return sample_index(sample._replace(split=splits.get(sample.path, "unused")) for sample in samples)


def idx_path(kind: str, modality: str, trial: int) -> str:
    """Relative path of the idx file of ``kind`` train | test."""
    return f"idx/{kind}_{FOLDERS[modality].lower()}_{trial}.txt"


def read_idx(root: Path, kind: str, modality: str, trial: int) -> list[Line]:
    """The lines of one idx file in file order; `UsageError` when it is absent or a line has another form."""
    return read_labelled_paths(root / idx_path(kind, modality, trial))


def split_contradictions(
    lists: Mapping[tuple[str, str], Sequence[Line]], found: set[str], trial: int
) -> list[tuple[str, str]]:
    """What is wrong with one trial's four idx files, as (idx file, sentence) pairs; empty when all is well.

    ``lists`` has the keys (train | test, modality); ``found`` holds the relative paths of all images on disk.
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
