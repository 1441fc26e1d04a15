"""Attribute labels of people: the table that training and evaluation look them up in, and its CSV file.

The file has a column ``pid``, a column for each of `ATTRIBUTES` with 0 or 1 and, where labels depend on the camera, a
column ``camera``. Who is in no row is not labelled. ``vibench data attributes`` makes ``attributes.csv`` in the data
set's folder from label files of other forms (`vibench.data.attribute_sources`); a twin has its own.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vibench.datasets.attribute_names import ATTRIBUTES
from vibench.datasets.listing import located, read_lines
from vibench.datasets.registry import Dataset
from vibench.errors import UsageError, suggestion
from vibench.files.writing import write_text

if TYPE_CHECKING:
    from vibench.datasets.index import SampleIndex

FILE_NAME = "attributes.csv"
"""Of the labels, in a data set's folder."""
TWIN_FILE = "truth/attributes.csv"
"""Of the labels that a twin is made with, in its folder."""
EVERY_CAMERA = 0
"""Camera of a row that holds whichever camera has seen the person."""

_WHAT = f"a table of attributes with the columns pid, {', '.join(ATTRIBUTES)} and, if labels depend on it, camera"


@dataclass(frozen=True)
class AttributeTable:
    """M labels: the attributes of a person as one camera, or every camera, has seen them."""

    pids: np.ndarray
    """(M,) int64."""
    cameras: np.ndarray
    """(M,) int64; `EVERY_CAMERA` in all rows of a table without cameras."""
    bits: np.ndarray
    """(M, 8) uint8, 0 or 1, in the order of `ATTRIBUTES`."""

    def __len__(self) -> int:
        return len(self.pids)

    def lookup(self, pids: Iterable[int], cameras: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """The attributes (N, 8) uint8 of N images by identity and camera, and whether they are known, (N,) bool.

        Zeros stand where they are not.
        """
        rows = np.array(
            [
                self._row.get((int(pid), int(camera)), self._row.get((int(pid), EVERY_CAMERA), -1))
                for pid, camera in zip(pids, cameras, strict=True)
            ],
            dtype=np.int64,
        )
        known = rows >= 0
        bits = np.zeros((len(rows), len(ATTRIBUTES)), dtype=np.uint8)
        bits[known] = self.bits[rows[known]]
        return bits, known

    def identity_level(self) -> AttributeTable:
        """One row per person: of each attribute the value in more than half of the person's rows, 0 for a tie."""
        pids, person = np.unique(self.pids, return_inverse=True)
        ones = np.zeros((len(pids), len(ATTRIBUTES)), dtype=np.int64)
        np.add.at(ones, person.reshape(-1), self.bits)
        rows = np.bincount(person.reshape(-1), minlength=len(pids))
        bits = (2 * ones > rows[:, None]).astype(np.uint8)
        return AttributeTable(pids, np.full(len(pids), EVERY_CAMERA), bits)

    def of_identities(self, pids: Iterable[int]) -> AttributeTable:
        """The rows of these people only."""
        kept = np.isin(self.pids, list(pids))
        return AttributeTable(self.pids[kept], self.cameras[kept], self.bits[kept])

    @cached_property
    def _row(self) -> dict[tuple[int, int], int]:
        keys = zip(self.pids.tolist(), self.cameras.tolist(), strict=True)
        return {key: row for row, key in enumerate(keys)}


def find_attributes(dataset: Dataset, root: Path) -> Path | None:
    """The labels that a copy of a data set comes with: ``attributes.csv``, else a twin's truth, else None."""
    names = (FILE_NAME, TWIN_FILE) if dataset.synthetic else (FILE_NAME,)
    return next((found for name in names if (found := located(root, name)).is_file()), None)


def attributes_file(dataset: Dataset, root: Path, file: Path | None = None) -> Path:
    """The labels to use with a copy of a data set: ``file`` if given, else `find_attributes`.

    Raises `UsageError` where there are none.
    """
    if file is not None:
        if not file.is_file():
            raise UsageError(
                f"--attributes {file}: there is no such file; give {_WHAT}, such as 'vibench data attributes' writes."
            )
        return file
    found = find_attributes(dataset, root)
    if found is None:
        raise UsageError(
            f"{root}: holds no attributes of {dataset.name}, which are expected in {root / FILE_NAME}; make that file "
            f"with 'vibench data attributes --dataset {dataset.name} --root {root} --from LABELS', or name one with "
            "--attributes FILE."
        )
    return found


def attributes_of(
    dataset: Dataset, root: Path, index: SampleIndex, file: Path | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The attributes (N, 8) uint8 of the N rows of a sample index, and whether they are known, (N,) bool.

    ``file`` takes the place of `attributes_file`. Raises `UsageError` where there is no such file, it is malformed, or
    it describes nobody in ``index``. Labels of test images are information about who they show: a result that was
    reached with them must say so.
    """
    path = attributes_file(dataset, root, file)
    bits, known = read_attributes(path).lookup(index["pid"], index["camera"])
    if not known.any():
        raise UsageError(
            f"{path}: has labels for none of the {len(index)} images of {dataset.name} that are asked for."
        )
    return bits, known


def read_attributes(path: Path) -> AttributeTable:
    """Read a table of attributes; `UsageError` names the file, the line and what is wrong with it."""
    lines = read_lines(path, _WHAT)
    try:
        # Spreadsheets separate by semicolons or tabs, as the language of their system has it.
        separator = next((mark for mark in ",;\t" if lines and mark in lines[0]), ",")
        table = csv.reader(lines, delimiter=separator)
        rows = [(number, row) for number, row in enumerate(table, start=1) if any(map(str.strip, row))]
    except csv.Error as error:
        raise UsageError(f"{path}: is no CSV file ({error}); it must be {_WHAT}.") from None
    if not rows:
        raise UsageError(f"{path}: is empty; it must be {_WHAT}.")
    columns = [name.strip().lower() for name in rows[0][1]]
    _check_columns(path, columns)
    per_camera = "camera" in columns
    line_of: dict[tuple[int, int], int] = {}
    bits = []
    for number, row in rows[1:]:
        if len(row) != len(columns):
            raise UsageError(f"{path}, line {number}: has {len(row)} values for {len(columns)} columns.")
        values = dict(zip(columns, map(str.strip, row), strict=True))
        pid = _whole_number(path, number, "pid", values)
        key = (pid, _whole_number(path, number, "camera", values) if per_camera else EVERY_CAMERA)
        if key in line_of:
            camera = f" in camera {key[1]}" if per_camera else ""
            raise UsageError(
                f"{path}, line {number}: describes identity {pid}{camera} a second time, after line {line_of[key]}; "
                "remove one of the two."
            )
        line_of[key] = number
        for name in ATTRIBUTES:
            if values[name] not in ("0", "1"):
                raise UsageError(
                    f"{path}, line {number}: '{name}' of identity {pid} is {values[name]!r}; it must be 0 or 1, and "
                    "who is not labelled must be left out."
                )
        bits.append([int(values[name]) for name in ATTRIBUTES])
    if not bits:
        raise UsageError(f"{path}: has a header but describes nobody; it must be {_WHAT}.")
    keys = np.array(list(line_of), dtype=np.int64)
    return AttributeTable(keys[:, 0], keys[:, 1], np.array(bits, dtype=np.uint8))


def write_attributes(path: Path, table: AttributeTable) -> None:
    """Write a table as `read_attributes` reads it, atomically, in the order of identity and camera."""
    per_camera = bool((table.cameras != EVERY_CAMERA).any())
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("pid", *(["camera"] if per_camera else []), *ATTRIBUTES))
    for row in np.lexsort((table.cameras, table.pids)):
        key = (table.pids[row], table.cameras[row]) if per_camera else (table.pids[row],)
        writer.writerow((*key, *table.bits[row]))
    write_text(path, text.getvalue())


def check_identities(table: AttributeTable, path: Path, dataset: Dataset, index: SampleIndex) -> None:
    """Raise `UsageError` where the table of the file ``path`` names a person or camera that ``index`` has not.

    ``index`` has everybody of the data set (`vibench.datasets.training_split.everybody`).
    """
    for column, named in (("pid", table.pids), ("camera", table.cameras[table.cameras != EVERY_CAMERA])):
        unknown = np.setdiff1d(named, index[column].to_numpy())
        if len(unknown):
            what = "identity" if column == "pid" else "camera"
            more = f" (and {len(unknown) - 1} more unknown ones)" if len(unknown) > 1 else ""
            raise UsageError(
                f"{path}: describes {what} {unknown[0]}{more}, which {dataset.name} has no image of; check that the "
                "labels belong to this data set, and remove those lines."
            )


def _check_columns(path: Path, columns: list[str]) -> None:
    known = ("pid", "camera", *ATTRIBUTES)
    for name in columns:
        if name not in known:
            raise UsageError(f"{path}: has the unknown column {name!r}{suggestion(name, known)}; it must be {_WHAT}.")
        if columns.count(name) > 1:
            raise UsageError(f"{path}: has the column {name!r} twice; remove one of the two.")
    missing = [name for name in ("pid", *ATTRIBUTES) if name not in columns]
    if missing:
        raise UsageError(f"{path}: lacks the column {', '.join(missing)}; it must be {_WHAT}.")


def _whole_number(path: Path, line: int, column: str, values: dict[str, str]) -> int:
    text = values[column]
    # Ten digits and more are no number of a person, and would not fit into the table.
    if not (text.isascii() and text.isdecimal() and len(text) < 10) or (column == "camera" and int(text) == 0):
        least = 0 if column == "pid" else 1
        raise UsageError(f"{path}, line {line}: '{column}' is {text!r}; it must be a whole number from {least} on.")
    return int(text)
