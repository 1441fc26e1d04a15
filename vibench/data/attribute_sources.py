"""Attribute labels from the forms they come in, and whom of a data set they describe.

The official labels of SYSU-MM01 (released with PAENet, Zheng et al., ACM MM 2022) are six MATLAB files
``cam1_att.mat`` ... ``cam6_att.mat``, each one uint8 variable of the file's name, 8 × N: a row per attribute in the
order of `vibench.data.attributes.ATTRIBUTES`, a column per identity, the first that of identity 1. Eight ones stand
for "no label"; no labelled person has that code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vibench.data.attributes import TWIN_FILE, AttributeTable, check_identities, read_attributes
from vibench.datasets.attribute_names import ATTRIBUTES
from vibench.datasets.index import test_rows, training_rows
from vibench.datasets.matlab import read_variable
from vibench.datasets.registry import Dataset
from vibench.datasets.training_split import everybody
from vibench.errors import UsageError

if TYPE_CHECKING:
    from vibench.datasets.index import SampleIndex

TWIN = "twin"
"""The source that means the labels a twin is made with."""

OFFICIAL_IDENTITIES = {1: 332, 2: 332, 3: 533, 4: 533, 5: 533, 6: 333}
"""Camera -> identities that the official file of SYSU-MM01 has a column for."""

_FOLDER = "sysu_attribute"
"""Folder of the MATLAB files in the official archive."""
_FOREIGN_TABLE = "label_finished.xlsx"
"""The archive's table of "RegDB", in its other folder."""


@dataclass(frozen=True)
class Coverage:
    """Whom of one part of a data set the labels describe."""

    part: str
    """``training``, ``test`` or, of a data set whose splits depend on the trial, ``all``."""
    identities: int
    pairs: int
    """Pairs of an identity and a camera that has images of it."""
    labelled_pairs: int
    codes: int
    """Different combinations of the eight attributes among the labelled pairs."""
    missing: tuple[int, ...]
    """Identities without any label."""
    missing_pairs: tuple[tuple[int, int], ...]
    """Pairs without label of the other identities."""


def read_source(source: str, dataset: Dataset, root: Path, index: SampleIndex) -> AttributeTable:
    """The labels of the identities in ``index``, which has all images of the data set.

    ``source`` is ``twin``, a folder with the official files or the whole official archive, or a CSV file
    (`vibench.data.attributes`). Raises `UsageError` where it is malformed or does not belong to the data set.
    """
    if source == TWIN:
        if not dataset.synthetic:
            raise UsageError(
                f"--from twin: {dataset.name} is no twin; give the folder of its label files, or a CSV file."
            )
        path = root / TWIN_FILE
        if not path.is_file():
            raise UsageError(f"{path}: is missing, so {root} is no whole twin; make it with 'vibench data twin'.")
        table = read_attributes(path)
    else:
        path = Path(source)
        if not path.exists():
            raise UsageError(f"--from {path}: there is no such file or folder; give twin, label files or a CSV file.")
        _refuse_other_formats(path, dataset)
        if path.is_dir():
            # The files describe more people than a copy without the unused identities has.
            table = _read_official(path, dataset).of_identities(index["pid"].unique())
            if not len(table):
                raise UsageError(f"--from {path}: has a label of nobody whose images are in {root}; check --root.")
            return table
        table = read_attributes(path)
    check_identities(table, path, dataset, everybody(dataset, root, index))
    return table


def coverage(table: AttributeTable, index: SampleIndex) -> list[Coverage]:
    """Whom the labels describe: of the training and the test part, or of all images where ``index`` has no split."""
    parts = {"training": training_rows(index), "test": test_rows(index)}
    if all(rows.empty for rows in parts.values()):
        parts = {"all": index}
    return [_coverage(part, table, rows) for part, rows in parts.items()]


def _coverage(part: str, table: AttributeTable, rows: SampleIndex) -> Coverage:
    pairs = np.unique(rows[["pid", "camera"]].to_numpy(dtype=np.int64), axis=0)
    bits, known = table.lookup(pairs[:, 0], pairs[:, 1])
    pids = set(pairs[:, 0].tolist())
    missing = pids - set(pairs[known, 0].tolist())
    return Coverage(
        part=part,
        identities=len(pids),
        pairs=len(pairs),
        labelled_pairs=int(known.sum()),
        codes=len(np.unique(bits[known], axis=0)),
        missing=tuple(sorted(missing)),
        missing_pairs=tuple((pid, camera) for pid, camera in pairs[~known].tolist() if pid not in missing),
    )


def _read_official(folder: Path, dataset: Dataset) -> AttributeTable:
    if dataset.layout != "sysu-mm01" or dataset.synthetic:
        raise UsageError(
            f"--from {folder}: label files in a folder are those of SYSU-MM01, not of {dataset.name}; give "
            f"{'twin' if dataset.synthetic else 'a CSV file'}."
        )
    inner = folder / _FOLDER
    if inner.is_dir():
        folder = inner
    if not any(folder.glob("cam*_att.mat")):
        raise UsageError(
            f"--from {folder}: holds no cam1_att.mat to cam6_att.mat; give the folder of the official label files."
        )
    pids, cameras, bits = [], [], []
    for camera, identities in OFFICIAL_IDENTITIES.items():
        labels = _read_camera(folder / f"cam{camera}_att.mat", camera, identities)
        labelled = np.flatnonzero(~labels.all(axis=0))
        pids.append(labelled + 1)
        cameras.append(np.full(len(labelled), camera))
        bits.append(labels[:, labelled].T)
    return AttributeTable(np.concatenate(pids), np.concatenate(cameras), np.concatenate(bits))


def _read_camera(path: Path, camera: int, identities: int) -> np.ndarray:
    """(8, identities) uint8."""
    labels = read_variable(path, path.stem)
    shape = (len(ATTRIBUTES), identities)
    if labels.shape != shape or labels.dtype.kind not in "uifb":
        found = " x ".join(map(str, labels.shape))
        raise UsageError(
            f"{path}: holds {labels.dtype} {found}, but the labels of camera {camera} are {shape[0]} attributes x "
            f"{shape[1]} identities; copy it again from the official archive."
        )
    wrong = np.argwhere((labels != 0) & (labels != 1))
    if len(wrong):
        row, column = wrong[0]
        raise UsageError(
            f"{path}: '{ATTRIBUTES[row]}' of identity {column + 1} is {labels[row, column]}; it must be 0 or 1; copy "
            "the file again from the official archive."
        )
    return labels.astype(np.uint8)


def _refuse_other_formats(path: Path, dataset: Dataset) -> None:
    suffix = path.suffix.lower()
    foreign = path / _FOREIGN_TABLE
    of_regdb = dataset.layout == "regdb" and path.is_dir() and any(path.rglob(_FOREIGN_TABLE))
    if suffix == ".xlsx" or foreign.exists() or of_regdb:
        named = path if suffix == ".xlsx" else next(path.rglob(_FOREIGN_TABLE))
        raise UsageError(
            f"{named}: spreadsheets are not read, and the official table of this kind is not RegDB's: its 96 rows are "
            "the test identities of SYSU-MM01 with other attributes than the eight, so for RegDB make a CSV file of "
            "your own labels."
        )
    if suffix == ".zip":
        raise UsageError(f"{path}: is still packed; unpack it and give the folder.")
    if suffix == ".mat":
        raise UsageError(f"{path}: is the file of one camera; give the folder {path.parent} with those of all six.")
